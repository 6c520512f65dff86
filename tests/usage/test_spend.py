"""`GET /spend/logs`: the ledger in pages, wrong questions answered with the field's name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path
from ninja import NinjaAPI

from gateway_project.core.errors import GatewayError
from gateway_project.core.ids import public_id, uuid7
from security_app.services.configuration import store as snapshots
from tests.usage.entries import ALICE, BOB, id_at, make_entry, store
from usage_app.api import router
from usage_app.services.spend import BadCursor, make_cursor, parse_cursor

pytestmark = pytest.mark.django_db

api = NinjaAPI(urls_namespace="test-spend")
api.add_router("", router)


@pytest.fixture(autouse=True)
def _snapshot(db: None) -> Iterator[None]:
    """What says who asks, as of this test's database."""
    snapshots.forget()
    snapshots.refresh()
    yield
    snapshots.forget()


@api.exception_handler(GatewayError)
def answer_error(request: HttpRequest, error: GatewayError | type[GatewayError]) -> HttpResponse:
    assert isinstance(error, GatewayError)
    return HttpResponse(json.dumps(error.body()), status=error.status)


urls = path("", api.urls)


def get(**query: Any) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {settings.GATEWAY_MASTER_KEY}"}
    request = RequestFactory().get("/spend/logs", query, headers=headers)
    match = urls.resolve("spend/logs")
    assert match is not None
    response = match.func(request)
    return response.status_code, json.loads(response.content)


def rows(**query: object) -> list[dict[str, Any]]:
    status, body = get(**query)
    assert status == 200, body
    data: list[dict[str, Any]] = body["data"]
    return data


def test_a_row_tells_everything_in_public_forms() -> None:
    entry = make_entry(id=id_at(datetime(2026, 1, 2, 3, 4, 5, 60_000, tzinfo=UTC)), end_user="zoë")
    store(entry)

    (row,) = rows()

    assert row["request_id"] == row["id"] == public_id("req", entry.id)
    assert row["at"] == "2026-01-02T03:04:05.060Z"
    assert row["key_id"] == public_id("key", ALICE)
    assert row["parent_id"] is None
    assert row["cost"] == row["spend"] == "0.005000000"
    assert (row["input_tokens"], row["output_tokens"], row["total_tokens"]) == (1000, 200, 1200)
    assert (row["end_user"], row["state"], row["status"]) == ("zoë", "reported", 200)


def test_a_request_without_a_price_has_no_cost_and_spends_nothing() -> None:
    store(make_entry(cost_nano=None, state="unpriced"))

    (row,) = rows()

    assert (row["cost"], row["spend"]) == (None, "0")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"api_key": public_id("key", BOB)}, {"key_id": BOB}),
        ({"api_key": str(BOB)}, {"key_id": BOB}),
        ({"user_id": "u7"}, {"user_id": "u7"}),
        ({"end_user": "zoë"}, {"end_user": "zoë"}),
        ({"model": "acme/big"}, {"model": "acme/big"}),
        ({"upstream": "other"}, {"upstream": "other"}),
        ({"status": 429}, {"status": 429}),
        ({"state": "aborted"}, {"state": "aborted"}),
    ],
)
def test_each_filter_finds_its_rows_only(query: dict[str, object], fields: dict[str, object]) -> None:
    wanted = make_entry(**fields)
    store(make_entry(), wanted, make_entry())

    assert [row["id"] for row in rows(**query)] == [public_id("req", wanted.id)]


def test_a_request_is_found_by_the_id_that_the_client_got() -> None:
    wanted = make_entry()
    store(make_entry(), wanted)

    assert len(rows(request_id=public_id("req", wanted.id))) == 1
    assert rows(request_id="req_" + "f" * 32) == []


def test_dates_include_the_last_day_and_times_exclude_their_end() -> None:
    days = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in (1, 2, 3)]
    store(*[make_entry(id=id_at(day)) for day in days])

    def found(**query: object) -> list[int]:
        return sorted(int(row["at"][8:10]) for row in rows(**query))

    assert found(start_date="2026-01-02") == [2, 3]
    assert found(end_date="2026-01-02") == [1, 2]
    assert found(start_date="2026-01-01T12:00:00Z", end_date="2026-01-02T12:00:00Z") == [1]
    assert found(start_date="2026-01-02T13:00:00+02:00", end_date="2026-01-02T15:00:00+02:00") == [2]
    assert found(start_date="2026-01-02T12:00:00") == [2, 3]


def test_pages_hold_every_row_once_the_newest_first_also_within_a_millisecond() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [id_at(moment + timedelta(milliseconds=number // 3), number) for number in range(25)]
    store(*[make_entry(id=identifier) for identifier in ids])

    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        _, body = get(limit=4, **({"cursor": cursor} if cursor else {}))
        assert body["has_more"] is (body["next_cursor"] is not None)
        seen += [row["id"] for row in body["data"]]
        cursor = body["next_cursor"]
        pages += 1
        # Newer requests don't shift the pages.
        store(make_entry())

    assert seen == [public_id("req", identifier) for identifier in sorted(ids, reverse=True)]
    assert pages == 7


def test_a_page_takes_one_query(django_assert_num_queries: Any) -> None:
    store(*[make_entry() for _ in range(30)])

    with django_assert_num_queries(1):
        rows(limit=10, model="acme/small", start_date="2026-01-01")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"apikey": "x"}, "apikey"),
        ({"api_key": "sk-gw-secret"}, "api_key"),
        ({"request_id": "42"}, "request_id"),
        ({"status": "ok"}, "status"),
        ({"status": "20²"}, "status"),
        ({"state": "fine"}, "state"),
        ({"start_date": "yesterday"}, "start_date"),
        ({"end_date": "9999-12-31"}, "end_date"),
        ({"start_date": "2026-02-01", "end_date": "2026-01-01"}, "end_date"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "-5"}, "limit"),
        ({"cursor": "§"}, "cursor"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"model": "a\0b"}, "model"),
        ({"model": ["a", "b"]}, "model"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(query: dict[str, object], param: str) -> None:
    status, body = get(**query)

    assert status == 400
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["param"] == param


def test_an_empty_parameter_means_any() -> None:
    store(make_entry())

    assert len(rows(model="", limit="")) == 1


def test_a_cursor_leads_back_to_its_place() -> None:
    last = uuid7()

    assert parse_cursor(make_cursor(last)) == last
    with pytest.raises(BadCursor):
        parse_cursor("////////////////////////")


def test_the_document_names_the_parameters() -> None:
    operation = api.get_openapi_schema(path_prefix="")["paths"]["/spend/logs"]["get"]

    assert {item["name"] for item in operation["parameters"]} >= {"request_id", "cursor", "limit", "api_key"}
