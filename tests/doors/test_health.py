"""Health from outside: a dead upstream turns red in time, maintenance answers 503, readiness in detail."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.doors.gateway import Gateway, database_template
from tests.doors.rows import ADMIN_KEY, KEY, METRICS_KEY, MODEL
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until
from upstreams_app.services.probes import TIMEOUT_S

INTERVAL_S = 2


class WholeGateway(Gateway):
    """With its worker and beat."""

    options = ()


@pytest.fixture(scope="module")
def probing() -> Iterator[tuple[WholeGateway, FakeVendor]]:
    """A gateway that probes every other second, and a vendor of its own that may die."""
    with (
        FakeVendor() as vendor,
        database_template(vendor.port) as template,
        WholeGateway(template.copy(), GATEWAY_HEALTH_INTERVAL_S=str(INTERVAL_S)) as gateway,
    ):
        yield gateway, vendor


def state(gateway: Gateway, name: str) -> str:
    """The state of one upstream."""
    with gateway.client(ADMIN_KEY) as client:
        rows = client.get("/health/upstreams").json()["upstreams"]
    return {row["name"]: str(row["state"]) for row in rows}[name]


def test_maintenance_keeps_calls_away_and_ends(probing: tuple[WholeGateway, FakeVendor]) -> None:
    gateway, _ = probing
    ask = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    with gateway.client(ADMIN_KEY) as admin, gateway.client(KEY) as client:
        admin.patch("/upstreams/fake", json={"is_in_maintenance": True})
        for more in ({}, {"stream": True}):
            answer = client.post("/v1/chat/completions", json=ask | more)

            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "upstream_in_maintenance"
            assert answer.headers["retry-after"] == "60"
        # The route's other target serves meanwhile.
        assert client.post("/v1/chat/completions", json=ask | {"model": "pair"}).status_code == 200
        assert MODEL in [item["id"] for item in client.get("/v1/models").json()["data"]]
        assert state(gateway, "fake") == "maintenance"

        admin.patch("/upstreams/fake", json={"is_in_maintenance": False})
        assert client.post("/v1/chat/completions", json=ask).status_code == 200


def test_readiness_tells_strangers_little(probing: tuple[WholeGateway, FakeVendor]) -> None:
    gateway, _ = probing
    for path in ("/readyz", "/health/readiness"):
        for key, is_detailed in (("", False), ("sk-wrong", False), (KEY, False), (METRICS_KEY, True)):
            with gateway.client(key) as client:
                answer = client.get(path)

            assert answer.status_code == 200
            assert ("components" in answer.json()) == is_detailed


def test_readiness_in_detail_names_every_part(probing: tuple[WholeGateway, FakeVendor]) -> None:
    gateway, _ = probing

    def parts() -> dict[str, str]:
        with gateway.client(ADMIN_KEY) as client:
            return {part["name"]: part["state"] for part in client.get("/readyz").json()["components"]}

    wait_until(lambda: parts()["worker and beat"] == "ok", 30, "the first round of probes")
    found = parts()
    assert found["database"] == found["journal"] == found["configuration"] == "ok"
    # Two of the upstreams are dead from the start.
    assert found["upstreams"] == "warning"


def test_a_dead_upstream_turns_red_in_time(probing: tuple[WholeGateway, FakeVendor]) -> None:
    gateway, vendor = probing
    wait_until(lambda: state(gateway, "backup") == "healthy", 30, "a healthy upstream")

    vendor.__exit__(None, None, None)
    died = time.monotonic()

    wait_until(
        lambda: state(gateway, "backup") == "down", 2 * INTERVAL_S + TIMEOUT_S, "the upstream to be red"
    )
    assert time.monotonic() - died <= 2 * INTERVAL_S + TIMEOUT_S
    wait_until(lambda: '"upstream.state_changed"' in gateway.log, 5, "the event")
