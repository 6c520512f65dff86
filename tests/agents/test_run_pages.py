"""Runs over HTTP and in the admin: what is told, to whom, and how it is found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents_app.models import Run
from agents_app.services.run_list import RunFilter, filtered, find_run, list_runs
from gateway_project.core.clock import utc_now
from gateway_project.core.ids import public_id, uuid7
from tests.admin import rows
from tests.admin.rows import permit
from tests.management.caller import Caller
from tests.usage.entries import ALICE, BOB, id_at, make_entry, store
from usage_app.services.spend import RecordFilter, list_records

pytestmark = pytest.mark.django_db
Budget = Callable[..., AbstractContextManager[CaptureQueriesContext]]
RUNS = "/admin/agents_app/run/"


def ids(admin: Caller, query: str = "") -> list[str]:
    """The runs of one page, by their ids."""
    return [run["id"] for run in admin.ok("GET", f"/runs{query}")["data"]]


def plan(wanted: Any) -> str:
    """How the database would find the rows of a query set, were there many."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
    return str(wanted.explain())


def test_a_run_is_told_with_its_steps(admin: Caller, django_assert_max_num_queries: Budget) -> None:
    parent = uuid7()
    run = rows.run(key_id=ALICE, key_name="alice", parent_id=parent)

    told = admin.ok("GET", f"/runs/{run.public_id}")

    with django_assert_max_num_queries(2):
        assert find_run(run.id) == told
    assert told["request_id"] == public_id("req", run.id)
    assert (told["status"], told["error_code"], told["cost"]) == (502, "upstream_failed", "0.001200000")
    assert (told["key_id"], told["parent_id"]) == (public_id("key", ALICE), public_id("req", parent))
    assert told["started_at"].endswith("Z")
    call = told["steps"][3]
    assert (call["number"], call["parent"], call["kind"], call["status"]) == (4, 3, "llm", "ok")
    assert (call["input_tokens"], call["cost"], call["content"]["input"]) == (
        1200,
        "0.000600000",
        "What was asked.",
    )
    assert "model" not in told["steps"][4]
    assert admin.ok("GET", f"/runs/{told['request_id']}") == told
    listed = admin.ok("GET", f"/spend/logs?parent_id={told['request_id']}")["data"]
    assert {one["request_id"] for one in listed} == {
        step["request_id"] for step in told["steps"] if step["kind"] == "llm"
    }
    assert admin.ok("GET", f"/spend/logs?parent_id={run.public_id}")["data"] == listed


def test_runs_are_listed_in_pages_and_filtered(admin: Caller) -> None:
    now = utc_now()
    for number in range(5):
        at = now - timedelta(hours=number)
        rows.run(
            "default/a" if number % 2 else "default/b",
            id=id_at(at),
            key_id=ALICE if number else BOB,
            status=200 if number < 3 else 502,
        )
    runs = [run.public_id for run in Run.objects.order_by("-id")]

    page = admin.ok("GET", "/runs?limit=3")
    rest = admin.ok("GET", f"/runs?limit=3&cursor={page['next_cursor']}")

    assert [run["id"] for run in page["data"] + rest["data"]] == runs
    assert (page["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)
    assert ids(admin, "?agent=default/a") == [runs[1], runs[3]]
    assert ids(admin, f"?api_key={public_id('key', BOB)}") == runs[:1]
    assert ids(admin, "?status=502") == runs[3:]
    since = (now - timedelta(hours=2, minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert ids(admin, f"?start_date={since}") == runs[:3]
    assert ids(admin, f"?end_date={since}") == runs[3:]
    assert ids(admin, "?start_date=0001-01-01&end_date=9999-12-30") == runs


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?limit=0", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?agents=x", "agents"),
        ("?cursor=!", "cursor"),
        ("?api_key=alice", "api_key"),
        ("?start_date=x", "start_date"),
        ("?start_date=2026-02-01&end_date=2026-01-01", "end_date"),
        ("/run_x", "id"),
        (f"/run_{'0' * 32}", "id"),
        (f"/run_{'0' * 32}?x=1", "x"),
    ],
)
def test_what_is_wrong_with_a_query_is_named(admin: Caller, query: str, param: str) -> None:
    assert admin.refused("GET", f"/runs{query}")["param"] == param


def test_runs_are_for_administrators(admin: Caller) -> None:
    traffic = admin.with_key(admin.ok("POST", "/key/generate", {"key_alias": "traffic"})["key"])
    run = rows.run()

    for caller, status in ((traffic, 403), (admin.with_key(None), 401)):
        for path in ("/runs", f"/runs/{run.public_id}"):
            assert caller.get(path).status_code == status


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RunFilter(), "pk"),
        (RunFilter(agent="default/a"), "run_agent"),
        (RunFilter(key_id=ALICE), "run_key"),
        (RunFilter(start=utc_now()), "pk"),
    ],
)
def test_an_index_leads_to_a_page_of_runs(wanted: RunFilter, index: str) -> None:
    found = plan(filtered(Run.objects.all(), wanted).order_by("-id")[:51])

    own = "sqlite_autoindex_agents_app_run_1" if connection.vendor == "sqlite" else "agents_app_run_pkey"
    assert (own if index == "pk" else index) in found
    assert "Sort" not in found
    assert "TEMP B-TREE" not in found
    assert list_runs(wanted, limit=50).rows == []


def test_an_index_leads_to_the_calls_of_a_run() -> None:
    parent = uuid7()
    store(make_entry(parent_id=parent), make_entry(), make_entry(parent_id=uuid7()))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")

    with CaptureQueriesContext(connection) as queries:
        first = list_records(RecordFilter(parent_id=parent), limit=9)
        list_records(RecordFilter(parent_id=parent), limit=9, after=parent)
    plans = []
    with connection.cursor() as cursor:
        for one in queries:
            explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
            cursor.execute(explain + one["sql"].replace("%", "%%"))
            plans.append(str(cursor.fetchall()))

    assert len(first.rows) == 1
    # PostgreSQL names a partition's part of an index after its columns.
    name = "usage_parent" if connection.vendor == "sqlite" else "parent_id_id_idx"
    assert all(name in found for found in plans), plans


def test_the_page_of_a_run_shows_its_steps_in_time(
    admin_client: Client, django_assert_max_num_queries: Budget
) -> None:
    run = rows.run()
    call = run.steps.get(number=4)

    with django_assert_max_num_queries(6):
        page = admin_client.get(f"{RUNS}{run.pk}/change/").content.decode()

    assert page.count("<rect") == run.steps.count()
    assert '<rect class="gw-run-bar gw-run-llm" x="40" y="1" width="9"' in page
    assert "style=" not in page[page.index('class="gw-run"') :].split("</section>")[0]
    assert f'href="/admin/usage_app/usagerecord/{call.request_id}/change/"' in page
    assert f'href="/admin/usage_app/usagerecord/?q={run.public_id}"' in page
    assert "What was asked." in page
    assert "upstream_failed" in page


def test_records_and_runs_lead_to_each_other(admin_client: Client) -> None:
    run = rows.run()
    call = run.steps.get(number=4).request_id
    page = f'href="{RUNS}{run.pk}/change/"'

    of_run = admin_client.get(f"/admin/usage_app/usagerecord/{run.pk}/change/").content.decode()
    of_call = admin_client.get(f"/admin/usage_app/usagerecord/{call}/change/").content.decode()
    calls = admin_client.get("/admin/usage_app/usagerecord/", {"q": run.public_id}).content.decode()

    assert page in of_run
    assert page in of_call
    assert f'href="/admin/usage_app/usagerecord/?q={run.public_id}"' in of_run
    assert f'href="/admin/usage_app/usagerecord/{run.pk}/change/"' in of_call
    assert calls.count("/change/?") + calls.count('/change/"') >= 2
    assert str(call) in calls
    other = store(make_entry()) and admin_client.get("/admin/usage_app/usagerecord/").content.decode()
    assert run.public_id not in str(other)


def test_who_may_see_runs_sees_no_texts_and_no_records(charlie: User, charlies_client: Client) -> None:
    run = rows.run()
    url = f"{RUNS}{run.pk}/change/"
    assert charlies_client.get(url).status_code == 403

    permit(charlie, "view_run")
    page = charlies_client.get(url).content.decode()

    assert "Turn 1" in page
    assert "What was asked." not in page
    assert "usagerecord" not in page
    permit(charlie, "view_runstep")
    assert "What was asked." in charlies_client.get(url).content.decode()


def test_texts_beyond_their_time_are_shown_no_more(admin: Caller, admin_client: Client) -> None:
    run = rows.run()
    url = f"{RUNS}{run.pk}/change/"
    Run.objects.update(content_until=utc_now() + timedelta(hours=1))
    assert "Texts are kept until" in admin_client.get(url).content.decode()
    assert "What was asked." in str(admin.ok("GET", f"/runs/{run.public_id}"))

    Run.objects.update(content_until=utc_now())

    assert "What was asked." not in admin_client.get(url).content.decode()
    answer = admin.ok("GET", f"/runs/{run.public_id}")
    assert answer["content_until"].endswith("Z")
    assert "What was asked." not in str(answer)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x>'])
def test_names_and_texts_are_shown_as_they_are(admin_client: Client, text: str) -> None:
    run = rows.run()
    run.steps.update(name=text, content={"input": text})

    page = admin_client.get(f"{RUNS}{run.pk}/change/").content.decode()

    assert text not in page


def test_runs_are_found_by_ids_and_filters(admin_client: Client) -> None:
    run, other = rows.run("default/a", key_id=ALICE, status=200), rows.run("default/b", key_id=BOB)

    for query in (
        {"q": run.public_id},
        {"q": public_id("req", run.id)},
        {"q": public_id("key", ALICE)},
        {"q": "default/a"},
        {"agent": "default/a"},
        {"outcome": "ok"},
    ):
        page = admin_client.get(RUNS, query).content.decode()
        assert (str(run.pk) in page, str(other.pk) in page) == (True, False), query
    assert str(run.pk) in admin_client.get(RUNS, {"period": "hour"}).content.decode()
    assert str(run.pk) not in admin_client.get(RUNS, {"period": "last_month"}).content.decode()


def test_the_list_of_runs_is_never_counted(admin_client: Client) -> None:
    rows.run()

    with CaptureQueriesContext(connection) as queries:
        admin_client.get(RUNS, {"period": "week"})

    assert not [one["sql"] for one in queries if "COUNT(" in one["sql"] and "agents_app_run" in one["sql"]]
