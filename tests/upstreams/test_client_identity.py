"""When an upstream's changed row needs new connections, and when it keeps those that it has."""

from __future__ import annotations

from dataclasses import replace

from tests.upstreams.loopback import config
from upstreams_app.services.client import ClientPool


async def test_whose_credential_is_sent_is_part_of_a_client() -> None:
    known = config("http://127.0.0.1:9/v1")
    pool = ClientPool()

    first = pool.get(known)
    same = pool.get(replace(known, max_concurrency=5))
    other = pool.get(replace(known, takes_client_credential=True))
    await pool.close()

    assert same is first
    assert other is not first
