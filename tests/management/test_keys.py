"""Keys over HTTP: made once, shown once, changed, blocked, listed and ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway_project.core.clock import utc_now
from gateway_project.core.crypto import new_api_key
from gateway_project.core.ids import parse_public_id
from security_app.models import ApiKey
from tests.management.caller import Caller
from usage_app.models import KeyUse


def _id(key_id: str) -> UUID:
    value = parse_public_id("key", key_id)
    assert value is not None
    return value


def test_a_new_key_is_told_once_and_works_at_once(admin: Caller) -> None:
    made = admin.ok(
        "POST", "/key/generate", {"key_alias": "billing", "models": ["openai/*"], "user_id": "ada"}
    )

    info = admin.with_key(made["key"]).ok("GET", "/key/info")

    assert made["key"].startswith("sk-gw-")
    assert made["token"] == made["token_id"] == made["key_id"] == info["key"]
    assert info["info"]["key_alias"] == "billing"
    assert info["info"]["models"] == ["openai/*"]
    assert info["info"]["scopes"] == ["inference"]
    assert info["info"]["status"] == "active"
    assert "key" not in info["info"]


def test_a_key_needs_nothing_said_of_it(admin: Caller) -> None:
    first = admin.ok("POST", "/key/generate", {})
    second = admin.ok("POST", "/key/generate", {})

    assert first["key"] != second["key"]
    assert first["key_alias"] is None


def test_a_key_of_ones_own_is_taken_and_can_not_be_given_twice(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {"key": "sk-my-own-key-0000001"})

    again = admin.refused("POST", "/key/generate", {"key": "sk-my-own-key-0000001"})

    assert made["key"] == "sk-my-own-key-0000001"
    assert (again["status"], again["param"]) == (409, "key")


def test_a_key_that_was_made_elsewhere_is_taken_over(admin: Caller) -> None:
    plain = new_api_key()

    admin.ok("POST", "/key/generate", {"key": plain, "scopes": ["admin"]})

    assert admin.with_key(plain).ok("GET", "/key/list")["total_count"] == 1


def test_an_alias_is_unique_among_living_keys(admin: Caller) -> None:
    first = admin.ok("POST", "/key/generate", {"key_alias": "one"})
    other = admin.ok("POST", "/key/generate", {"key_alias": "two"})

    assert admin.refused("POST", "/key/generate", {"key_alias": "one"})["status"] == 409
    assert admin.refused("POST", "/key/update", {"key": other["key_id"], "key_alias": "one"})["status"] == 409

    admin.ok("POST", "/key/delete", {"keys": [first["key_id"]]})
    assert admin.ok("POST", "/key/generate", {"key_alias": "one"})["key_alias"] == "one"


@pytest.mark.parametrize(
    ("key_type", "scopes"),
    [
        ("llm_api", ["inference"]),
        ("default", ["inference"]),
        ("management", ["admin"]),
        ("read_only", ["metrics"]),
    ],
)
def test_key_types_stand_for_scopes(admin: Caller, key_type: str, scopes: list[str]) -> None:
    assert admin.ok("POST", "/key/generate", {"key_type": key_type})["scopes"] == scopes


def test_a_key_with_the_admin_scope_manages(admin: Caller) -> None:
    other = admin.with_key(admin.ok("POST", "/key/generate", {"scopes": ["admin"]})["key"])

    made = other.ok("POST", "/key/generate", {})

    assert made["created_by"] == other.ok("GET", "/key/info")["key"]


def test_a_duration_counts_from_now_and_null_or_minus_one_take_it_away(admin: Caller) -> None:
    before = datetime.now(UTC)
    made = admin.ok("POST", "/key/generate", {"duration": "2h"})
    expires = datetime.fromisoformat(made["expires"])
    assert timedelta(hours=2) <= expires - before < timedelta(hours=2, minutes=1)

    for nothing in (None, "-1"):
        admin.ok("POST", "/key/update", {"key": made["key_id"], "duration": "1d"})
        assert (
            admin.ok("POST", "/key/update", {"key": made["key_id"], "duration": nothing})["expires"] is None
        )


def test_an_update_changes_what_it_names_and_nothing_else(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {"key_alias": "a", "user_id": "ada", "metadata": {"cost": 0.1}})

    row = admin.ok("POST", "/key/update", {"key": made["key"], "models": ["demo/*"], "user_id": None})

    assert row["models"] == ["demo/*"]
    assert row["user_id"] is None
    assert row["key_alias"] == "a"
    assert row["metadata"] == {"cost": 0.1}


def test_null_widens_nothing(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {"models": ["demo/*"], "metadata": {"a": 1}, "blocked": True})

    nulls = {"models": None, "metadata": None, "blocked": None, "scopes": None, "key_alias": "x"}
    row = admin.ok("POST", "/key/update", {"key": made["key_id"]} | nulls)

    assert (row["models"], row["metadata"], row["blocked"]) == (["demo/*"], {"a": 1}, True)


def test_a_concurrent_block_survives_an_update(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {})
    row = ApiKey.objects.get()
    admin.ok("POST", "/key/block", {"key": made["key_id"]})

    from security_app.services.keys import update_key

    update_key(row, actor="test", name="late")

    assert admin.ok("GET", f"/key/info?key={made['key_id']}")["info"]["blocked"] is True


def test_a_blocked_key_is_refused_until_it_is_unblocked(admin: Caller, traffic: Caller) -> None:
    assert admin.ok("POST", "/key/block", {"key": traffic.key})["status"] == "blocked"
    assert traffic.refused("GET", "/key/info")["code"] == "invalid_api_key"

    assert admin.ok("POST", "/key/unblock", {"key": traffic.key})["status"] == "active"
    assert traffic.ok("GET", "/key/info")["info"]["blocked"] is False


def test_an_expired_key_is_refused_with_the_same_words_as_an_unknown_one(
    admin: Caller, traffic: Caller
) -> None:
    ApiKey.objects.update(expires_at=utc_now() - timedelta(seconds=1))
    admin.ok("POST", "/upstreams/refresh")

    expired = traffic.refused("GET", "/key/info")
    unknown = admin.with_key("sk-gw-unknown-unknown").refused("GET", "/key/info")

    assert expired == unknown
    assert expired["status"] == 401


def test_deletion_is_all_or_nothing(admin: Caller) -> None:
    first = admin.ok("POST", "/key/generate", {})
    second = admin.ok("POST", "/key/generate", {})

    error = admin.refused("POST", "/key/delete", {"keys": [first["key"], "sk-nobody-has-this-key"]})
    assert (error["status"], error["param"]) == (404, "keys")
    assert "number 2" in error["message"]
    assert admin.ok("GET", "/key/list")["total_count"] == 2

    gone = admin.ok("POST", "/key/delete", {"keys": [first["key"], second["key_id"]]})
    assert sorted(gone["deleted_keys"]) == sorted([first["key_id"], second["key_id"]])
    assert admin.ok("GET", "/key/list")["total_count"] == 0
    assert admin.with_key(first["key"]).refused("GET", "/key/info")["status"] == 401


def test_keys_are_deleted_by_alias_unless_it_is_ambiguous(admin: Caller) -> None:
    admin.ok("POST", "/key/generate", {"key_alias": "a"})
    ids = [admin.ok("POST", "/key/generate", {"key_alias": name})["key_id"] for name in ("b", "c")]
    ApiKey.objects.filter(name="c").update(name="b")

    assert admin.refused("POST", "/key/delete", {"key_aliases": ["b"]})["status"] == 409
    assert admin.refused("POST", "/key/delete", {"key_aliases": ["a", "z"]})["status"] == 404
    assert len(admin.ok("POST", "/key/delete", {"key_aliases": ["a"]})["deleted_keys"]) == 1
    assert sorted(admin.ok("GET", "/key/list")["keys"]) == sorted(ids)


def test_a_deleted_key_is_still_known_by_its_id(admin: Caller, traffic: Caller) -> None:
    key_id = traffic.ok("GET", "/key/info")["key"]
    admin.ok("POST", "/key/delete", {"keys": [key_id]})

    info = admin.ok("GET", f"/key/info?key={key_id}")["info"]

    assert info["status"] == "deleted"
    assert info["deleted_at"] is not None
    assert admin.refused("POST", "/key/update", {"key": key_id, "blocked": False})["status"] == 404


def test_spend_is_exact_as_a_number_and_as_text(admin: Caller, traffic: Caller) -> None:
    key_id = traffic.ok("GET", "/key/info")["key"]
    spent = Decimal("1234567.000000001")
    KeyUse.objects.create(key_id=_id(key_id), last_used_at=utc_now(), requests=3, cost=spent)

    response = admin.get(f"/key/info?key={key_id}")

    info = json.loads(response.content, parse_float=Decimal)["info"]
    assert info["spend"] == spent
    assert info["spend_usd"] == "1234567.000000001"
    assert info["requests"] == 3
    assert info["last_active"] is not None


def test_a_key_sees_itself_and_no_other(admin: Caller, traffic: Caller) -> None:
    own = traffic.ok("GET", "/key/info")["key"]
    other = admin.ok("POST", "/key/generate", {})

    assert traffic.ok("GET", f"/key/info?key={own}")["key"] == own
    strangers = [
        traffic.refused("GET", f"/key/info?key={text}") for text in (other["key_id"], "sk-nobody-has-this")
    ]

    assert [error["status"] for error in strangers] == [403, 403]
    assert strangers[0] == strangers[1]


def test_the_master_key_is_no_row(admin: Caller) -> None:
    assert admin.refused("GET", "/key/info")["status"] == 404


def test_a_list_is_paged_filtered_and_sorted(admin: Caller) -> None:
    made = [
        admin.ok("POST", "/key/generate", {"key_alias": name, "user_id": user})["key_id"]
        for name, user in (("b", "ada"), ("a", "ada"), ("c", "bob"))
    ]

    first = admin.ok("GET", "/key/list?size=2")
    assert first == {"keys": [made[2], made[1]], "total_count": 3, "current_page": 1, "total_pages": 2}
    assert admin.ok("GET", "/key/list?size=2&page=2")["keys"] == [made[0]]
    assert admin.ok("GET", "/key/list?page=9")["keys"] == []
    assert admin.ok("GET", "/key/list?user_id=bob")["keys"] == [made[2]]
    assert admin.ok("GET", "/key/list?key_alias=a")["keys"] == [made[1]]
    assert admin.ok("GET", "/key/list?sort_by=key_alias&sort_order=asc")["keys"] == [
        made[1],
        made[0],
        made[2],
    ]


def test_a_list_is_filtered_by_status(admin: Caller) -> None:
    ids = [admin.ok("POST", "/key/generate", {})["key_id"] for _ in range(4)]
    admin.ok("POST", "/key/block", {"key": ids[1]})
    ApiKey.objects.filter(pk=_id(ids[2])).update(expires_at=utc_now())
    admin.ok("POST", "/key/delete", {"keys": [ids[3]]})

    for status, key_id in zip(("active", "blocked", "expired", "deleted"), ids, strict=True):
        page = admin.ok("GET", f"/key/list?status={status}&return_full_object=true")
        assert [row["key_id"] for row in page["keys"]] == [key_id]
        assert page["keys"][0]["status"] == status


def test_a_list_costs_the_same_number_of_queries_whatever_its_length(admin: Caller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.ok("GET", "/key/list?size=100&return_full_object=true")
        return len(captured)

    admin.ok("POST", "/key/generate", {})
    few = queries()
    for _ in range(8):
        admin.ok("POST", "/key/generate", {})

    assert queries() == few <= 5


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_budget": 10}, "max_budget"),
        ({"duration": "soon"}, "duration"),
        ({"duration": 30}, "duration"),
        ({"models": "demo/*"}, "models"),
        ({"models": ["ok", ""]}, "models"),
        ({"models": ["all-team-models"]}, "models"),
        ({"key": "short"}, "key"),
        ({"key": "with a space in the middle"}, "key"),
        ({"key": "sk-gw-my-own-key-0000001"}, "key"),
        ({"key_alias": "x" * 201}, "key_alias"),
        ({"key_alias": "a\0b"}, "key_alias"),
        ({"metadata": {"a": "\ud800"}}, "metadata.a"),
        ({"metadata": {"a": "x" * 20_000}}, "metadata"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"], "key_type": "llm_api"}, "key_type"),
        ({"blocked": "yes"}, "blocked"),
    ],
)
def test_a_wrong_body_names_its_field(admin: Caller, body: dict[str, object], param: str) -> None:
    error = admin.refused("POST", "/key/generate", body)

    assert (error["status"], error["param"]) == (400, param)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"models": [""]}, "Give a list of model ids or patterns such as openai/*."),
        ({"models": ["x" * 201]}, "At most 200 patterns of 200 characters."),
    ],
)
def test_a_refused_pattern_is_told_why(admin: Caller, body: dict[str, object], message: str) -> None:
    assert admin.refused("POST", "/key/generate", body)["message"] == message


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "/key/update", {"key_alias": "x"}, "key"),
        ("POST", "/key/update", {"key": "sk-nobody-has-this", "blocked": True}, "key"),
        ("POST", "/key/block", {}, "key"),
        ("POST", "/key/block", {"key": ""}, "key"),
        ("POST", "/key/delete", {}, "keys"),
        ("POST", "/key/delete", {"keys": []}, "keys"),
        ("POST", "/key/delete", {"keys": ["a"], "key_aliases": ["b"]}, "keys"),
        ("GET", "/key/list?page=0", None, "page"),
        ("GET", "/key/list?size=1000", None, "size"),
        ("GET", "/key/list?status=gone", None, "status"),
        ("GET", "/key/list?team_id=1", None, "team_id"),
        ("GET", "/key/list?page=1&page=2", None, "page"),
        ("GET", "/key/info?name=x", None, "name"),
    ],
)
def test_a_wrong_question_names_its_field(
    admin: Caller, method: str, path: str, body: object, param: str
) -> None:
    error = admin.refused(method, path, body)

    assert error["status"] in (400, 404)
    assert error["param"] == param


def test_litellms_word_for_every_model_is_understood(admin: Caller) -> None:
    assert admin.ok("POST", "/key/generate", {"models": ["all-proxy-models"]})["models"] == ["*"]


def test_no_answer_but_the_first_holds_the_key(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {"key_alias": "x"})
    admin.answers.clear()

    for method, path, body in (
        ("GET", f"/key/info?key={made['key']}", None),
        ("POST", "/key/update", {"key": made["key"], "user_id": "ada"}),
        ("POST", "/key/block", {"key": made["key"]}),
        ("POST", "/key/generate", {"key": made["key"]}),
        ("GET", "/key/list?return_full_object=true", None),
        ("POST", "/key/delete", {"keys": [made["key"], "sk-other-other-other"]}),
        ("POST", "/key/delete", {"keys": [made["key"]]}),
        ("GET", "/key/list?status=deleted&return_full_object=true", None),
    ):
        admin.request(method, path, body)

    digest = bytes(ApiKey.objects.get().digest).hex()
    for answer in admin.answers:
        assert made["key"].encode() not in answer
        assert digest.encode() not in answer
        assert b"sk-other-other-other" not in answer
