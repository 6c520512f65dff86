"""A flood of refusals at the doors becomes few events of the audit, and none is lost at an orderly end."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from security_app.services.denials import MAX_FOLDS
from tests.doors.gateway import ROOT, Gateway, Template, environment
from tests.doors.rows import METRICS_KEY

FLOOD = 400


def test_a_flood_of_refusals_is_few_events_that_hold_all_of_them(template: Template) -> None:
    database = template.copy()
    with Gateway(database) as gateway:
        with gateway.client("") as client:

            def knock(number: int) -> int:
                key = f"sk-{number:04d}-nobody-has-{number:04d}"
                return client.get("/v1/models", headers={"x-api-key": key}).status_code

            # Side by side, for each unknown key waits for the next look at the configuration.
            with ThreadPoolExecutor(40) as guests:
                assert set(guests.map(knock, range(FLOOD))) == {401}
            assert client.get("/v1/models", headers={"x-api-key": METRICS_KEY}).status_code == 403
        assert gateway.stop() == 0

        events = database.fetch("SELECT * FROM security_app_auditevent WHERE action = 'denied'")
        told = [json.loads(event["detail"]) for event in events]
        counts = {one["reason"]: 0 for one in told}
        for one in told:
            counts[one["reason"]] += one["count"]
        assert counts == {"unknown": FLOOD, "insufficient_permissions": 1}
        # The flood may have met the end of a minute.
        assert len(events) <= 2 * (MAX_FOLDS + 2)
        known = [event for event in events if event["actor_kind"] == "key"]
        assert [event["object_name"] for event in known] == ["GET /v1/models"]

        checked = subprocess.run(
            [sys.executable, "manage.py", "verify_audit"],
            cwd=ROOT,
            env=environment(gateway.data, database.url),
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "The audit is whole" in checked.stdout
