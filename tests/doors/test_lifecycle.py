"""The gateway starts with a reason or not at all, drains before it stops, and leaves no process behind."""

from __future__ import annotations

import json
import signal
from typing import Any

import httpx
import pytest

from tests.doors.gateway import Gateway, Template
from tests.doors.rows import ADMIN_KEY, MODEL
from tests.fakes import bodies
from tests.fakes.behaviours import stream
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor
from tests.prepared import Database
from tests.services import TRUSTS_NOBODY, wait_until

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
CHUNKS = bodies.chat_chunks(["Hel", "lo"], model="fake-chat", usage=bodies.USAGE)


def started(gateway: Gateway) -> Gateway:
    """A gateway that is expected not to start: its process, ended."""
    process = gateway.launch()
    process.wait(30)
    return gateway


class Unstarted(Gateway):
    """A gateway whose folder exists, and that the test starts by itself."""

    def start(self) -> None:
        """Nothing yet."""

    def stop(self) -> int:
        """Only what was launched."""
        return super().stop() if self.process is not None else 0


def test_a_drain_tells_readiness_first_and_lets_streams_end(vendor: FakeVendor, template: Template) -> None:
    gate = Gate()
    vendor.script(
        stream([*bodies.sse_events(CHUNKS[:2], has_done=False), gate, *bodies.sse_events(CHUNKS[2:])])
    )
    with Gateway(template.copy(), GATEWAY_DRAIN_DELAY_S="4") as gateway, gateway.client() as client:
        with client.stream("POST", CHAT, json={**ASK, "stream": True}) as answered:
            pieces = answered.iter_text()
            text = next(pieces)
            pids = gateway.pids()
            assert gateway.process is not None
            gateway.process.terminate()

            wait_until(lambda: not gateway.is_ready(), 10, "readiness to tell")
            drained = client.get("/readyz")
            alive = client.get("/health")
            served = client.post(CHAT, json=ASK)
            gate.open()
            text += "".join(pieces)
        status = gateway.process.wait(30)

        assert (drained.status_code, drained.json()["problems"]) == (503, ["draining"])
        assert (alive.status_code, served.status_code) == (200, 200)
        assert "data: [DONE]" in text
        assert status == 0
        assert len(pids) == 2
        assert gateway.pids() == []
        for answer in (answered, served):
            assert gateway.record(answer.headers["x-request-id"])["state"] == "reported"
        assert list((gateway.data / "journal").glob("*.jsonl")) == []


def test_a_stream_that_outlives_the_drain_is_ended(vendor: FakeVendor, template: Template) -> None:
    vendor.script(stream(bodies.sse_events(CHUNKS[:2], has_done=False), ending="hang"))
    with Gateway(template.copy(), GATEWAY_STREAM_DRAIN_S="1") as gateway, gateway.client() as client:
        with client.stream("POST", CHAT, json={**ASK, "stream": True}) as answered:
            pieces = answered.iter_text()
            next(pieces)
            assert gateway.process is not None
            gateway.process.terminate()
            last = json.loads("".join(pieces).strip().rpartition("data: ")[2])
            status = gateway.process.wait(30)

        assert status == 0
        assert (last["choices"], last["error"]["type"]) == ([], "overloaded_error")
        record = gateway.record(answered.headers["x-request-id"])
        assert (record["status"], record["state"]) == (503, "aborted")
        vendor.requests[0].wait_aborted()


def test_killing_the_supervisor_leaves_no_server(template: Template) -> None:
    with Gateway(template.copy()) as gateway:
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGKILL)

        wait_until(lambda: gateway.pids() == [], 20, "the servers to end")


def test_a_killed_server_is_started_again(template: Template, vendor: FakeVendor) -> None:
    with Gateway(template.copy()) as gateway, gateway.client() as client:
        assert client.post(CHAT, json=ASK).status_code == 200
        (server,) = gateway.server_pids()

        gateway.kill_servers()
        wait_until(gateway.is_ready, 20, "the server to come back")

        assert gateway.server_pids() != [server]
        assert client.post(CHAT, json=ASK).status_code == 200
        assert "starting it again" in gateway.log


@pytest.mark.parametrize(
    "url", ["postgres://nobody:secret-word@127.0.0.1:1/none", "sqlite:////nonexistent/folder/db.sqlite3"]
)
def test_an_unusable_database_is_named(url: str) -> None:
    with Unstarted(Database(url)) as gateway:
        started(gateway)

        assert gateway.process is not None
        assert gateway.process.returncode != 0
        assert "database" in gateway.log.lower()
        assert "secret-word" not in gateway.log


def test_a_database_without_tables_is_refused(template: Template) -> None:
    with Unstarted(template.empty()) as gateway:
        started(gateway)

        assert gateway.process is not None
        assert gateway.process.returncode == 1
        assert "run `manage.py bootstrap`" in gateway.log


def test_a_port_in_use_is_named(template: Template, gateway: Gateway) -> None:
    with Unstarted(template.copy()) as second:
        second.port = gateway.port
        started(second)

        assert second.process is not None
        assert second.process.returncode == 1
        assert f"port {gateway.port}" in second.log


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("GATEWAY_KEY_PEPPERS", "", "gateway.E003"),
        ("GATEWAY_MASTER_KEY", "short", "gateway.E004"),
        ("GATEWAY_MAX_BODY", "many", "GATEWAY_MAX_BODY"),
    ],
)
def test_a_wrong_setting_is_named(template: Template, name: str, value: str, check: str) -> None:
    with Unstarted(template.copy(), **{name: value}) as gateway:
        started(gateway)

        assert gateway.process is not None
        assert gateway.process.returncode != 0
        assert check in gateway.log


def test_a_broken_row_is_shown_and_stops_nobody_else(vendor: FakeVendor, template: Template) -> None:
    database = template.copy()
    database.execute("UPDATE upstreams_app_upstream SET base_url = 'ftp://x' WHERE name = 'backup'")
    database.execute("UPDATE upstreams_app_upstream SET api_key_sealed = 'v1:t1:AAAA' WHERE name = 'hasty'")
    with Gateway(database) as gateway:
        with gateway.client(ADMIN_KEY) as admin:
            shown = admin.get("/health/upstreams").json()
        with gateway.client() as client:
            answered = client.post(CHAT, json=ASK)
            missing = client.post(CHAT, json={**ASK, "model": "hasty/fake-chat"})
            half = client.post(CHAT, json={**ASK, "model": "pair"})

    objects = {item["object"]: item["message"] for item in shown["diagnostics"]}
    assert set(objects) == {"upstream backup", "upstream hasty"}
    assert "http" in objects["upstream backup"]
    assert (answered.status_code, missing.status_code, half.status_code) == (200, 404, 200)


def test_a_client_on_a_kept_connection_survives_a_restart(vendor: FakeVendor, template: Template) -> None:
    with (
        Gateway(template.copy()) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, verify=TRUSTS_NOBODY) as client,
    ):
        client.get("/health")
        gateway.stop()
        gateway.start()

        assert client.get("/health").status_code == 200
