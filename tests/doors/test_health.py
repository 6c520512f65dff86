"""Health from outside: a dead upstream turns red in time, maintenance answers 503, readiness in detail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway_project.core.clock import utc_now
from tests.doors.gateway import Gateway, database_template, run_database_url
from tests.doors.rows import ADMIN_KEY, KEY, METRICS_KEY, MODEL
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until
from upstreams_app.services.probes import TIMEOUT_S

INTERVAL_S = 2


class WholeGateway(Gateway):
    """With its worker and beat."""

    options = ()


@pytest.fixture(scope="module")
def gateway() -> Iterator[WholeGateway]:
    """A gateway that probes every other second."""
    with (
        FakeVendor() as vendor,
        database_template(vendor.port, run_database_url()) as template,
    ):
        database = template.copy()
        # A probe of it lasts longer than the interval, and the others' with it.
        database.execute("UPDATE upstreams_app_upstream SET is_enabled = FALSE WHERE name = 'mute'")
        with WholeGateway(database, GATEWAY_HEALTH_INTERVAL_S=str(INTERVAL_S)) as running:
            yield running


def health(gateway: Gateway, name: str) -> dict[str, Any]:
    """What is told about one upstream."""
    with gateway.client(ADMIN_KEY) as client:
        rows: list[dict[str, Any]] = client.get("/health/upstreams").json()["upstreams"]
    return {row["name"]: row for row in rows}[name]


def test_maintenance_keeps_calls_away_and_ends(gateway: WholeGateway) -> None:
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
        assert health(gateway, "fake")["state"] == "maintenance"

        admin.patch("/upstreams/fake", json={"is_in_maintenance": False})
        assert client.post("/v1/chat/completions", json=ask).status_code == 200


def test_readiness_tells_strangers_little(gateway: WholeGateway) -> None:
    for path in ("/readyz", "/health/readiness"):
        for key, is_detailed in (("", False), ("sk-wrong", False), (KEY, False), (METRICS_KEY, True)):
            with gateway.client(key) as client:
                answer = client.get(path)

            assert answer.status_code == 200
            assert ("components" in answer.json()) == is_detailed


def test_readiness_in_detail_names_every_part(gateway: WholeGateway) -> None:
    def parts() -> dict[str, str]:
        with gateway.client(ADMIN_KEY) as client:
            return {part["name"]: part["state"] for part in client.get("/readyz").json()["components"]}

    wait_until(lambda: parts()["worker and beat"] == "ok", 30, "the first round of probes")
    found = parts()
    assert found["database"] == found["journal"] == found["configuration"] == "ok"
    # One of the upstreams is dead from the start.
    assert found["upstreams"] == "warning"


def test_a_dead_upstream_turns_red_in_time(gateway: WholeGateway) -> None:
    with FakeVendor() as vendor, gateway.client(ADMIN_KEY) as admin:
        mortal = {"name": "mortal", "kind": "openai-compatible", "base_url": vendor.url}
        assert admin.post("/upstreams", json=mortal).status_code == 201
        wait_until(lambda: health(gateway, "mortal")["state"] == "healthy", 30, "a healthy upstream")
    died = utc_now()

    def events() -> list[dict[str, Any]]:
        lines = gateway.log_lines('"upstream.state_changed"')
        return [line for line in lines if (line["upstream"], line["state"]) == ("mortal", "down")]

    wait_until(lambda: bool(events()), 30, "the event")
    found = health(gateway, "mortal")
    assert found["state"] == "down"
    # When it turned red and not when we saw it.
    turned_red = datetime.fromisoformat(found["since"])
    assert turned_red - died <= timedelta(seconds=2 * INTERVAL_S + TIMEOUT_S)
