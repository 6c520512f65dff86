"""The database of a live gateway goes and comes back: every answered request is in the ledger once."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from bench.soak import DriveResult
from tests.doors.gateway import Gateway, database_template
from tests.doors.load import ASK, CHAT, Load, assert_ledger_holds
from tests.fakes.vendor import FakeVendor
from tests.services import PostgresServer


@pytest.mark.parametrize("fault", ["killed", "paused"])
def test_answers_go_on_while_the_database_is_away(
    shared_vendor: FakeVendor, vendor: FakeVendor, postgres: PostgresServer, fault: str
) -> None:
    with (
        database_template(shared_vendor.port, postgres.url) as template,
        Gateway(template.copy(), WEB_CONCURRENCY="1") as gateway,
        gateway.client() as client,
        ExitStack() as resources,
    ):
        before = client.post(CHAT, json=ASK)
        revive = postgres.start if fault == "killed" else postgres.resume
        resources.callback(revive)
        postgres.kill() if fault == "killed" else postgres.pause()
        load = Load(gateway, requests=300, connections=4)
        load.start()
        result = load.finish()
        ready = client.get("/readyz")
        listed = client.get("/v1/models")
        unknown = client.post(CHAT, json={**ASK, "model": "fake/unknown"}, timeout=8)
        nobody = client.get("/v1/models", headers={"authorization": "Bearer sk-nobody-knows-this"}, timeout=8)
        revive()
        resources.pop_all()

        assert before.status_code == 200
        assert result.statuses == {200: 300}
        assert (ready.status_code, listed.status_code) == (200, 200)
        assert (unknown.status_code, nobody.status_code) == (404, 401)
        assert_ledger_holds(gateway, [result, DriveResult(request_ids=[before.headers["x-request-id"]])])
