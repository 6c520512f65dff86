"""The audit over HTTP, in the admin, and as files."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gateway_project.core.acting import acting_as
from security_app.models import AuditEvent
from security_app.services.audit_check import check_audit
from security_app.services.keys import create_key
from tests.admin.rows import permit
from tests.audit.chains import make_chain
from tests.management.caller import Caller

Budget = Callable[..., AbstractContextManager[CaptureQueriesContext]]


def told(answer: HttpResponse) -> Any:
    return json.loads(answer.content)


@pytest.mark.django_db(transaction=True)
def test_events_come_in_pages_newest_first(admin: Caller) -> None:
    make_chain(5)

    first = told(admin.get("/audit?page_size=2"))
    second = told(admin.get(f"/audit?page_size=2&cursor={first['next_cursor']}"))
    third = told(admin.get(f"/audit?page_size=2&cursor={second['next_cursor']}"))

    pages = [first, second, third]
    assert [[row["seq"] for row in page["audit_logs"]] for page in pages] == [[5, 4], [3, 2], [1]]
    assert [page["has_more"] for page in pages] == [True, True, False]


@pytest.mark.django_db(transaction=True)
def test_events_are_found_by_who_what_and_when(admin: Caller) -> None:
    with acting_as("command:test", "req_7"):
        key = create_key(actor="test", name="mine").row
    make_chain(3)

    def found(query: str) -> list[str]:
        return [row["action"] for row in told(admin.get(f"/audit?{query}"))["audit_logs"]]

    assert found("changed_by=command:test") == ["revealed", "created"]
    assert found("action=denied") == ["denied"]
    assert found(f"table_name=security_app.apikey&object_id={key.pk.hex}") == ["revealed", "created"]
    assert found("request_id=req_7&action=created") == ["created"]
    assert found("end_date=2001-01-01") == []
    assert len(found("start_date=2001-01-01")) == 5
    row = told(admin.get("/audit?action=created&changed_by=command:test"))["audit_logs"][0]
    assert (row["before_value"], row["updated_values"]["name"]) == (None, "mine")
    assert told(admin.get(f"/audit/{row['id']}")) == told(admin.get(f"/audit/{row['seq']}")) == row


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("page=2", "page"),
        ("start_date=soon", "start_date"),
        ("page_size=0", "page_size"),
        ("cursor=x", "cursor"),
        ("action=a&action=b", "action"),
    ],
)
def test_a_wrong_query_is_named(admin: Caller, query: str, param: str) -> None:
    answer = admin.get(f"/audit?{query}")

    assert answer.status_code == 400
    assert told(answer)["error"]["param"] == param


@pytest.mark.django_db(transaction=True)
def test_only_administrators_read_it(admin: Caller) -> None:
    key = create_key(actor="test", name="mine")

    assert Caller(key.plain, []).get("/audit").status_code == 403
    assert admin.get("/audit/99").status_code == 404
    assert admin.get("/audit/nonsense").status_code == 404


@pytest.mark.django_db
def test_the_list_needs_few_queries_however_long_it_is(
    admin_client: Client, django_assert_max_num_queries: Budget
) -> None:
    make_chain(3)
    with CaptureQueriesContext(connection) as few:
        assert admin_client.get("/admin/security_app/auditevent/").status_code == 200
    make_chain(80)

    with django_assert_max_num_queries(min(len(few), 6)):
        page = admin_client.get("/admin/security_app/auditevent/").content.decode()

    assert "route 79" in page
    for query in (
        "period=day",
        "action=denied",
        "object=upstreams_app.route",
        "actor_kind__exact=system",
        "q=3",
    ):
        assert admin_client.get(f"/admin/security_app/auditevent/?{query}").status_code == 200
    assert "route 1<" not in admin_client.get("/admin/security_app/auditevent/?q=nobody").content.decode()


@pytest.mark.django_db
def test_an_event_can_be_looked_at_and_nothing_else(admin_client: Client) -> None:
    make_chain(3)

    path = f"/admin/security_app/auditevent/{AuditEvent.objects.get(object_name='route 1').seq}/"
    page = admin_client.get(f"{path}change/").content.decode()

    assert "+b" in page
    assert "-a" in page
    assert admin_client.get("/admin/security_app/auditevent/add/").status_code == 403
    assert admin_client.post(f"{path}delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{path}change/", {"actor": "x"}).status_code == 403
    assert AuditEvent.objects.filter(actor="x").count() == 0
    assert check_audit().is_whole


def exported(client: Client, query: str) -> str:
    answer = client.get(f"/admin/security_app/auditevent/export/?{query}")
    assert answer.status_code == 200

    async def collected() -> bytes:
        content: Any = answer.streaming_content  # type: ignore[attr-defined]
        return b"".join([piece async for piece in content])

    return asyncio.run(collected()).decode()


@pytest.mark.django_db(transaction=True)
def test_an_export_holds_all_that_matches_and_is_an_event(admin_client: Client) -> None:
    make_chain(6)

    lines = [json.loads(line) for line in exported(admin_client, "format=jsonl").splitlines()]
    table = list(csv.DictReader(io.StringIO(exported(admin_client, "format=csv&action=denied"))))

    assert [line["object_name"] for line in lines if line["object_type"] == "upstreams_app.route"] == [
        f"route {number}" for number in range(6)
    ]
    assert [row["action"] for row in table] == ["denied", "denied"]
    events = AuditEvent.objects.filter(action="exported").order_by("seq")
    assert [json.loads(one.detail)["filter"] for one in events] == [{}, {"action": "denied"}]
    assert {one.actor for one in events} == {"admin"}


@pytest.mark.django_db
def test_who_may_not_export_gets_no_file(charlies_client: Client, charlie: User) -> None:
    permit(charlie, "view_auditevent")

    page = charlies_client.get("/admin/security_app/auditevent/")

    assert page.status_code == 200
    assert "Export as" not in page.content.decode()
    assert charlies_client.get("/admin/security_app/auditevent/export/").status_code == 403
