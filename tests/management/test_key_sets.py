"""Several keys in one request, and the lists of their names."""

from __future__ import annotations

from tests.management.caller import Caller
from tests.management.people import new_key


def test_several_keys_are_shown_at_once(admin: Caller) -> None:
    first, second = new_key(admin), new_key(admin)

    shown = admin.ok("POST", "/v2/key/info", {"keys": [first["key_id"], second["key"]]})
    missing = admin.refused("POST", "/v2/key/info", {"keys": [first["key_id"], "sk-gw-none"]})

    assert set(shown["key"]) == {first["key_id"], second["key_id"]}
    assert len(shown["info"]) == 2
    assert (missing["status"], missing["param"]) == (404, "keys")


def test_a_bulk_update_tells_what_came_of_each(admin: Caller) -> None:
    key = new_key(admin)
    items = [
        {"key": key["key_id"], "models": ["a/*"]},
        {"key": "key_none", "models": ["a/*"]},
        {"key": key["key_id"], "models": [""]},
    ]

    result = admin.ok("POST", "/key/bulk_update", {"keys": items})

    assert result["total_requested"] == 3
    assert [item["key_info"]["models"] for item in result["successful_updates"]] == [["a/*"]]
    assert [(item["position"], item["param"]) for item in result["failed_updates"]] == [
        (1, "key"),
        (2, "models"),
    ]


def test_aliases_are_listed_in_order_and_by_what_they_hold(admin: Caller) -> None:
    for name in ("gamma", "alpha", "Beta"):
        new_key(admin, key_alias=name)
    new_key(admin)

    page = admin.ok("GET", "/key/aliases?size=2")
    found = admin.ok("GET", "/key/aliases?search=BET")

    assert (page["total_count"], page["total_pages"], len(page["aliases"])) == (3, 2, 2)
    assert found["aliases"] == ["Beta"]


def test_any_key_may_ask_whether_it_is_good(admin: Caller, traffic: Caller) -> None:
    health = traffic.ok("POST", "/key/health")

    assert health["key"] == "healthy"
    assert health["key_id"].startswith("key_")
    assert admin.with_key("sk-gw-none").refused("POST", "/key/health")["status"] == 401


def test_grants_by_update_are_in_force_at_once(admin: Caller) -> None:
    key = new_key(admin, models=["a/*"])

    admin.ok("POST", "/key/update", {"key": key["key_id"], "models": ["b/*"], "scopes": ["admin"]})

    assert admin.with_key(key["key"]).ok("GET", "/key/info")["info"]["models"] == ["b/*"]
    assert admin.with_key(key["key"]).get("/key/list").status_code == 200
