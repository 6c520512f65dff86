"""Two administrators at the same moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections

from agents_app.models import AgentLink
from tests.management.caller import Caller
from upstreams_app.models import Route, RouteTarget, Upstream

WRITERS = 4
pytestmark = pytest.mark.usefixtures("admin", "database_of_threads")


@pytest.fixture
def database_of_threads(admin: Caller, tmp_path: Path) -> Iterator[None]:
    """A database as in production: SQLite's in memory, which tests have, refuses instead of letting wait."""
    if connection.vendor != "sqlite":
        yield
        return
    path = tmp_path / "copy.sqlite3"
    connection.ensure_connection()
    with closing(sqlite3.connect(path)) as copy:
        connection.connection.backup(copy)
    in_memory, name = connections[DEFAULT_DB_ALIAS], connections.settings[DEFAULT_DB_ALIAS]["NAME"]
    connections.settings[DEFAULT_DB_ALIAS]["NAME"] = str(path)
    connections[DEFAULT_DB_ALIAS] = on_disk = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        yield
    finally:
        on_disk.close()
        connections.settings[DEFAULT_DB_ALIAS]["NAME"] = name
        connections[DEFAULT_DB_ALIAS] = in_memory


def at_once(work: Callable[[int], int]) -> list[int]:
    """The results of `work(0)` to `work(3)`, begun at the same moment in threads of their own."""
    barrier = Barrier(WRITERS)

    def run(number: int) -> int:
        barrier.wait()
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(run, range(WRITERS)))


def test_models_added_at_once_share_one_upstream_and_one_route(admin: Caller) -> None:
    def add(number: int) -> int:
        params = {"model": f"openai/m{number}", "api_base": "http://127.0.0.1:9"}
        body = {"model_name": "chat", "litellm_params": params}
        return admin.with_key(admin.key).request("POST", "/model/new", body).status_code

    assert at_once(add) == [200] * WRITERS

    assert Upstream.objects.count() == Route.objects.count() == 1
    assert RouteTarget.objects.count() == WRITERS


def test_an_alias_given_at_once_is_taken_once(admin: Caller) -> None:
    def make(_number: int) -> int:
        return admin.with_key(admin.key).request("POST", "/key/generate", {"key_alias": "x"}).status_code

    assert sorted(at_once(make)) == [200, 409, 409, 409]


def test_changes_of_names_and_prices_at_once_do_not_wait_for_each_other_forever(admin: Caller) -> None:
    price = {"input_cost_per_token": "0.000001", "output_cost_per_token": "0.000002"}
    for number in range(WRITERS):
        params = {"model": "openai/m", "api_base": f"http://127.0.0.1:{number + 1}"}
        admin.ok(
            "POST", "/model/new", {"model_name": f"m{number}", "litellm_params": params, "model_info": price}
        )

    def change(number: int) -> int:
        caller = admin.with_key(admin.key)
        if number % 2:
            return caller.request(
                "PATCH", f"/upstreams/local-{number + 1}", {"name": f"new-{number}"}
            ).status_code
        params = {"model": "openai/other", "api_base": f"http://127.0.0.1:{number + 1}"}
        body = {"model_name": "o", "litellm_params": params, "model_info": price}
        return caller.request("POST", "/model/new", body).status_code

    assert at_once(change) == [200] * WRITERS


def test_links_made_at_once_make_no_circle(admin: Caller) -> None:
    agents = [f"desk/n{number}" for number in range(WRITERS)]
    for agent in agents:
        admin.ok("POST", "/agents", {"id": agent})

    def close_the_circle(number: int) -> int:
        links = [{"target": agents[(number + 1) % WRITERS], "kind": "as_tool"}]
        path = f"/agents/{agents[number]}"
        return admin.with_key(admin.key).request("PATCH", path, {"links": links}).status_code

    statuses = at_once(close_the_circle)

    assert sorted(statuses) == [200] * (WRITERS - 1) + [400]
    assert AgentLink.objects.count() == WRITERS - 1
