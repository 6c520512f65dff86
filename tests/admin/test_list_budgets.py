"""A list costs the same number of queries however many rows it shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from security_app.models import ApiKey
from security_app.services.keys import create_key
from tests.admin import rows

Budget = Callable[..., AbstractContextManager[CaptureQueriesContext]]
LISTS = [
    "/admin/security_app/apikey/",
    "/admin/security_app/auditevent/",
    "/admin/security_app/finding/",
    "/admin/security_app/organization/",
    "/admin/security_app/team/",
    "/admin/security_app/gatewayuser/",
    "/admin/security_app/enduser/",
    "/admin/security_app/tokenissuer/",
    "/admin/security_app/accessrule/",
    "/admin/security_app/accessgroup/",
    "/admin/security_app/limit/",
    "/admin/security_app/budget/",
    "/admin/security_app/contentpolicy/",
    "/admin/upstreams_app/upstream/",
    "/admin/upstreams_app/upstreammodel/",
    "/admin/upstreams_app/route/",
    "/admin/upstreams_app/cachepolicy/",
    "/admin/agents_app/agent/",
    "/admin/agents_app/run/",
    "/admin/agents_app/dropinpolicy/",
    "/admin/tools_app/tool/",
    "/admin/tools_app/mcpserver/",
    "/admin/tools_app/mcptool/",
    "/admin/upstreams_app/healthsample/",
    "/admin/upstreams_app/statechange/",
    "/admin/usage_app/usagerecord/",
    "/admin/usage_app/price/",
    "/admin/usage_app/pricechange/",
    "/admin/usage_app/report/",
    "/admin/usage_app/reportexport/",
    "/admin/usage_app/alert/",
    "/admin/usage_app/alertrule/",
    "/admin/usage_app/alertchannel/",
    "/admin/usage_app/usagesink/",
    "/admin/usage_app/bucket/",
    "/admin/usage_app/spendcounter/",
]


@pytest.mark.parametrize("path", LISTS)
def test_a_list_does_not_query_for_each_row(path: str, admin_client: Client) -> None:
    rows.one_of_each(0)
    # The first page of a session writes to it.
    admin_client.get(path)
    with CaptureQueriesContext(connection) as few:
        assert admin_client.get(path).status_code == 200
    for number in range(1, 4):
        rows.one_of_each(number)

    with CaptureQueriesContext(connection) as many:
        answer = admin_client.get(path)

    assert answer.status_code == 200
    assert len(many) == len(few)
    assert len(many) <= 8


def test_a_page_of_keys_holds_fifty_of_them(
    admin_client: Client, django_assert_max_num_queries: Budget
) -> None:
    for number in range(60):
        create_key(actor="test", name=f"key {number}")
    assert ApiKey.objects.count() == 60

    with django_assert_max_num_queries(8):
        page = admin_client.get("/admin/security_app/apikey/").content.decode()

    assert page.count('name="_selected_action"') == 50


def test_the_start_page_needs_few_queries(
    admin_client: Client, django_assert_max_num_queries: Budget
) -> None:
    for number in range(5):
        rows.one_of_each(number)

    with django_assert_max_num_queries(24):
        assert admin_client.get("/admin/").status_code == 200
