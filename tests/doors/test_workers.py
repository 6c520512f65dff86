"""Several server processes on PostgreSQL and Valkey act as one."""

from __future__ import annotations

import subprocess
import sys

import httpx

from tests.doors.gateway import Gateway, environment
from tests.doors.rows import MASTER_KEY, MODEL, OTHER_KEY
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

# What an administrator's process does, which serves nothing itself.
BLOCK = """
import sys, django
django.setup()
from security_app.services.keys import find_key, update_key
update_key(find_key(sys.argv[1]), actor="tests", is_blocked=sys.argv[2] == "yes")
"""


def statuses(clients: list[httpx.Client], key: str) -> list[int]:
    """What each process answers to a key."""
    return [client.get("/v1/models", headers={"x-api-key": key}).status_code for client in clients]


def set_blocked(gateway: Gateway, key: str, *, blocked: bool) -> None:
    """Block or unblock a key in a process of its own."""
    command = [sys.executable, "-c", BLOCK, key, "yes" if blocked else "no"]
    variables = environment(gateway.data, gateway.database.url)
    subprocess.run(command, cwd=gateway.folder, env=variables, check=True, timeout=150)


def test_a_blocked_key_is_refused_by_all(pair_gateway: Gateway, pair_clients: list[httpx.Client]) -> None:
    """How soon is for tests/doors/test_poller.py to say, which no busy machine can delay."""
    assert statuses(pair_clients, OTHER_KEY) == [200, 200]

    set_blocked(pair_gateway, OTHER_KEY, blocked=True)
    wait_until(lambda: statuses(pair_clients, OTHER_KEY) == [401, 401], 10, "both to refuse the key")

    set_blocked(pair_gateway, OTHER_KEY, blocked=False)
    wait_until(lambda: statuses(pair_clients, OTHER_KEY) == [200, 200], 10, "both to accept the key")


def test_a_new_key_works_at_once_everywhere(pair_clients: list[httpx.Client]) -> None:
    administrator = {"authorization": f"Bearer {MASTER_KEY}"}
    for _ in range(3):
        made = pair_clients[0].post("/key/generate", json={}, headers=administrator)

        assert made.status_code == 200
        assert statuses(pair_clients, made.json()["key"]) == [200, 200]


def test_requests_of_both_are_in_one_ledger(
    vendor: FakeVendor, pair_gateway: Gateway, pair_clients: list[httpx.Client]
) -> None:
    ask = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}

    answers = [
        client.post("/v1/chat/completions", json=ask, headers={"x-api-key": OTHER_KEY})
        for client in pair_clients * 3
    ]

    records = [pair_gateway.record(answer.headers["x-request-id"]) for answer in answers]
    assert {record["key_name"] for record in records} == {"bob"}
    assert {record["user_id"] for record in records} == {"bob-7"}
