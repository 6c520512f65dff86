"""`object_permission` of keys and teams: LiteLLM's words for lists of tools; an allow and a deny each."""

from __future__ import annotations

from typing import Any

import pytest

from security_app.registry import Principal
from security_app.services.authentication import authenticate_in
from security_app.services.configuration import store
from security_app.services.permissions import decide_tool
from tests.management.caller import Caller
from tools_app.mcp_definitions import exposed_name
from tools_app.services.mcp_management import create_mcp_server

GITHUB, WIKI = "github__read", "wiki__read"


@pytest.fixture(autouse=True)
def servers(admin: Caller) -> dict[str, str]:
    """Two servers, by their names: their ids."""
    made = {}
    for name in ("github", "wiki"):
        row = create_mcp_server(actor="t", name=name, url=f"https://{name}.example.com/mcp")
        made[name] = row.public_id
    return made


def generated(admin: Caller, permission: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A new key."""
    made: dict[str, Any] = admin.ok("POST", "/key/generate", {"object_permission": permission, **fields})
    return made


def may(key: str, tool: str) -> bool:
    """Whether a key may use a tool."""
    principal: Principal = authenticate_in(store.current, key)
    return decide_tool(principal, tool).is_allowed


def test_a_key_may_use_the_servers_that_are_named_and_no_others(
    admin: Caller, servers: dict[str, str]
) -> None:
    made = generated(admin, {"mcp_servers": ["github"]})
    by_id = generated(admin, {"mcp_servers": [servers["wiki"]]}, allowed_tools=["orders"])

    assert made["allowed_tools"] == ["github__*"]
    assert made["object_permission"] == {
        "mcp_servers": ["github"],
        "mcp_access_groups": [],
        "mcp_tool_permissions": {},
    }
    assert (may(made["key"], GITHUB), may(made["key"], WIKI)) == (True, False)
    assert by_id["allowed_tools"] == ["orders", "wiki__*"]
    assert (may(by_id["key"], WIKI), may(by_id["key"], GITHUB), may(by_id["key"], "orders")) == (
        True,
        False,
        True,
    )


def test_a_key_may_use_what_its_groups_hold(admin: Caller) -> None:
    admin.ok("PATCH", "/v1/mcp/server/github", {"mcp_access_groups": ["developers"]})

    made = generated(admin, {"mcp_access_groups": ["developers"]})

    assert made["allowed_tools"] == ["group:developers"]
    assert (may(made["key"], GITHUB), may(made["key"], WIKI)) == (True, False)


def test_named_tools_narrow_their_server(admin: Caller) -> None:
    long = "x" * 80

    made = generated(
        admin, {"mcp_servers": ["github", "wiki"], "mcp_tool_permissions": {"github": ["read", long]}}
    )

    assert made["allowed_tools"] == ["wiki__*", GITHUB, exposed_name("github", long)]
    assert (may(made["key"], GITHUB), may(made["key"], WIKI)) == (True, True)
    assert not may(made["key"], "github__write")
    assert may(made["key"], exposed_name("github", long))


def test_a_denying_rule_beats_what_a_key_is_given(admin: Caller) -> None:
    made = generated(admin, {"mcp_servers": ["github"]})
    rule = {"name": "no writing", "kind": "tool", "pattern": "github__write", "effect": "deny"}
    admin.ok("POST", "/security/rules", rule)

    assert may(made["key"], GITHUB)
    assert not may(made["key"], "github__write")


def test_a_team_bounds_its_keys(admin: Caller) -> None:
    team = admin.ok("POST", "/team/new", {"object_permission": {"mcp_servers": ["wiki"]}})
    made = generated(admin, {"mcp_servers": ["github", "wiki"]}, team_id=team["team_id"])

    assert (team["allowed_tools"], team["object_permission"]["mcp_servers"]) == (["wiki__*"], ["wiki"])
    assert (may(made["key"], WIKI), may(made["key"], GITHUB)) == (True, False)

    body = {"team_id": team["team_id"], "object_permission": {"mcp_servers": ["github"]}}
    assert admin.ok("POST", "/team/update", body)["allowed_tools"] == ["github__*"]
    assert (may(made["key"], WIKI), may(made["key"], GITHUB)) == (False, True)


def test_an_update_leaves_what_it_does_not_name(admin: Caller) -> None:
    made = generated(
        admin,
        {"mcp_servers": ["github"], "mcp_tool_permissions": {"wiki": ["read"]}},
        allowed_tools=["orders"],
    )

    def updated(**permission: Any) -> list[str]:
        body = {"key": made["key_id"], "object_permission": permission}
        tools: list[str] = admin.ok("POST", "/key/update", body)["allowed_tools"]
        return tools

    assert updated() == ["orders", "github__*", WIKI]
    assert updated(mcp_servers=["wiki"]) == ["orders", WIKI]
    assert updated(mcp_tool_permissions={}) == ["orders"]
    assert updated(mcp_access_groups=["developers"]) == ["orders", "group:developers"]


@pytest.mark.parametrize(
    ("permission", "param"),
    [
        ({"mcp_servers": ["nobody"]}, "object_permission.mcp_servers"),
        ({"mcp_tool_permissions": {"nobody": ["read"]}}, "object_permission.mcp_tool_permissions"),
        ({"mcp_tool_permissions": {"github": []}}, "object_permission.mcp_tool_permissions.github"),
        (
            {"mcp_tool_permissions": {"github": ["a"] * 150, "wiki": ["b"] * 150}},
            "object_permission.mcp_tool_permissions",
        ),
        ({"vector_stores": ["a"]}, "object_permission.vector_stores"),
        ({"mcp_servers": "github"}, "object_permission.mcp_servers"),
        # An empty list would allow everything.
        ({"mcp_servers": []}, "object_permission"),
        ({}, "object_permission"),
    ],
)
def test_what_is_wrong_is_refused_and_the_field_named(
    admin: Caller, permission: dict[str, Any], param: str
) -> None:
    for path in ("/key/generate", "/team/new"):
        error = admin.refused("POST", path, {"object_permission": permission})

        assert (error["status"], error["param"]) == (400, param)


def test_taking_the_last_server_away_does_not_open_all(admin: Caller) -> None:
    made = generated(admin, {"mcp_servers": ["github"]})

    body = {"key": made["key_id"], "object_permission": {"mcp_servers": []}}
    error = admin.refused("POST", "/key/update", body)

    assert error["param"] == "object_permission"
    assert not may(made["key"], WIKI)
