"""`/v1/mcp/server` and its neighbours: servers as rows, their groups, their states, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import AccessGroup, AuditEvent
from security_app.services.configuration import store
from security_app.services.keys import create_key
from tests.management.caller import Caller
from tools_app.models import McpServer, McpServerState
from tools_app.registry import servers_of
from tools_app.services.server_states import ServerStates

TOKEN = "ghp-0123456789-wxyz"
GITHUB: dict[str, Any] = {
    "server_name": "github",
    "description": "Code and issues.",
    "url": "https://mcp.example.com/mcp",
    "transport": "http",
    "auth_type": "bearer_token",
    "credentials": {"auth_value": TOKEN},
    "static_headers": {"X-Team": "0123456789-team-abcd"},
    "allowed_tools": ["read_*"],
    "argument_guards": ["path_traversal"],
    "mcp_access_groups": ["developers"],
    "timeout": 30,
}


def served() -> set[str]:
    """The servers that this process knows."""
    return set(servers_of(store.current.sections))


def test_a_server_is_made_shown_changed_and_deleted(admin: Caller) -> None:
    made = admin.ok("POST", "/v1/mcp/server", GITHUB)

    assert made["server_id"].startswith("mcp_")
    assert made == made | {
        "server_name": "github",
        "alias": "github",
        "transport": "streamable_http",
        "auth_type": "bearer",
        "credentials": {"auth_value": "…wxyz"},
        "static_headers": {"X-Team": "…abcd"},
        "allowed_tools": ["read_*"],
        "argument_guards": ["path_traversal"],
        "mcp_access_groups": ["developers"],
        "call_timeout_s": 30,
        "status": "unknown",
        "problem": "",
        "tools": {},
    }
    assert served() == {"github"}
    by_id = f"/v1/mcp/server/{made['server_id']}"
    assert admin.ok("GET", "/v1/mcp/server/github") == admin.ok("GET", by_id) == made
    assert admin.ok("GET", "/v1/mcp/server") == [made]

    changed = admin.ok("PATCH", "/v1/mcp/server/github", {"description": "Code.", "enabled": False})

    assert changed == made | {
        "description": "Code.",
        "enabled": False,
        "updated_at": changed["updated_at"],
    }
    assert served() == set()
    gone = {"server_id": made["server_id"], "server_name": "github", "deleted": True}
    assert admin.ok("DELETE", by_id) == gone
    assert admin.refused("GET", "/v1/mcp/server/github")["status"] == 404
    assert not any(TOKEN.encode() in answer for answer in admin.answers)


def test_a_put_changes_what_it_names_and_has_the_lists_read_again(admin: Caller) -> None:
    made = admin.ok("POST", "/v1/mcp/server", GITHUB)
    before = servers_of(store.current.sections)["github"].version

    by_path = admin.ok("PUT", "/v1/mcp/server/github", {"max_sessions": 2})
    in_body = admin.ok("PUT", "/v1/mcp/server", {"server_id": made["server_id"], "timeout": 7})
    masked = admin.ok("PUT", "/v1/mcp/server/github", {"credentials": made["credentials"]})

    assert (by_path["max_sessions"], in_body["call_timeout_s"]) == (2, 7)
    assert masked["credentials"] == made["credentials"]
    server = servers_of(store.current.sections)["github"]
    assert (server.secret, server.call_timeout_s) == (TOKEN, 7)
    # Sessions and lists belong to one version of a server.
    assert server.version > before
    other = admin.refused("PUT", "/v1/mcp/server/github", {"server_id": "mcp_" + "0" * 32})
    assert (other["status"], other["param"]) == (400, "server_id")


# What is changed in a right body, the field that is named then, and words of the message.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"server_name": None}, "server_name", "a name"),
    ({"server_name": "two words"}, "server_name", "letters and digits"),
    ({"server_name": "a__b"}, "server_name", "letters and digits"),
    ({"alias": "other"}, "alias", "one name"),
    ({"surprise": 1}, "surprise", "Unknown field"),
    ({"transport": "carrier-pigeon"}, "transport", "'http'"),
    ({"url": "ftp://mcp.example.com"}, "url", ""),
    ({"url": ""}, "url", "URL"),
    ({"url": "http://169.254.169.254/mcp"}, "url", ""),
    ({"command": "npx"}, "command", "stdio"),
    ({"auth_type": "psychic"}, "auth_type", "'none'"),
    ({"auth_type": "oauth2"}, "token_url", "URL"),
    ({"auth_type": "basic"}, "auth_name", "user name"),
    ({"credentials": {"auth_value": "…wxyz"}}, "credentials.auth_value", "masked"),
    ({"credentials": {"auth_value": "a", "client_secret": "b"}}, "credentials.client_secret", "either"),
    ({"credentials": {"token": "x"}}, "credentials.token", "Unknown field"),
    ({"static_headers": {"X-Team": "a\nb"}}, "static_headers", ""),
    ({"env": {"PYTHONPATH": "/tmp"}}, "env", "PYTHONPATH"),
    ({"timeout": 0}, "timeout", "0.05"),
    ({"timeout": 3, "call_timeout_s": 3}, "timeout", "one of them"),
    ({"max_sessions": 33}, "max_sessions", "32"),
    ({"mcp_access_groups": ["no spaces please"]}, "mcp_access_groups", "letters"),
    ({"allowed_tools": [""]}, "allowed_tools.0", "1"),
    ({"argument_guards": ["luck"]}, "argument_guards.0", "shell_characters"),
    ({"argument_guards": ["path_traversal"] * 2}, "argument_guards", "once"),
]


def test_a_wrong_server_is_refused_and_the_field_named(admin: Caller) -> None:
    wrong: list[Any] = []
    for change, param, words in WRONG:
        body = {name: value for name, value in (GITHUB | change).items() if value is not None}
        error = admin.refused("POST", "/v1/mcp/server", body)

        is_told = (error["status"], error["param"]) == (400, param) and words in error["message"]
        wrong += [] if is_told else [(change, error)]
    assert wrong == []
    assert not McpServer.objects.exists()
    assert not AccessGroup.objects.exists()


def test_a_name_is_given_once_and_stays(admin: Caller) -> None:
    admin.ok("POST", "/v1/mcp/server", GITHUB)

    twice = admin.refused("POST", "/v1/mcp/server", GITHUB | {"server_name": "GitHub"})
    renamed = admin.refused("PATCH", "/v1/mcp/server/github", {"server_name": "gitlab"})

    assert (twice["status"], twice["param"]) == (409, "server_name")
    assert (renamed["status"], renamed["param"]) == (400, "server_name")


def test_programs_run_only_where_the_operator_allows_it(admin: Caller, settings: Any) -> None:
    body = {"server_name": "files", "transport": "stdio", "command": "npx", "args": ["-y", "files"]}
    settings.MCP_STDIO_COMMANDS = ()
    off = admin.refused("POST", "/v1/mcp/server", body)
    settings.MCP_STDIO_COMMANDS = ("uvx",)
    other = admin.refused("POST", "/v1/mcp/server", body)
    settings.MCP_STDIO_COMMANDS = ("npx",)
    made = admin.ok("POST", "/v1/mcp/server", body | {"env": {"TOKEN": TOKEN}})

    assert (off["param"], other["param"]) == ("transport", "command")
    assert (made["command"], made["args"], made["env"]) == ("npx", ["-y", "files"], {"TOKEN": "…wxyz"})


def test_secrets_are_given_again_when_the_host_changes(admin: Caller) -> None:
    admin.ok("POST", "/v1/mcp/server", GITHUB)

    error = admin.refused("PATCH", "/v1/mcp/server/github", {"url": "https://evil.example.com/mcp"})

    assert (error["status"], error["param"]) == (400, "static_headers")
    assert McpServer.objects.get().url == GITHUB["url"]


def test_changes_are_in_the_audit_without_secrets(admin: Caller) -> None:
    admin.ok("POST", "/v1/mcp/server", GITHUB)
    admin.ok("PATCH", "/v1/mcp/server/github", {"description": "Code."})

    events = [vars(event) for event in AuditEvent.objects.order_by("seq")]

    told = json.dumps(events, default=str)
    assert "github" in told
    assert "developers" in told
    assert TOKEN not in told


def test_groups_hold_servers_and_lists_go_by_them(admin: Caller) -> None:
    admin.ok("POST", "/access_group/new", {"access_group": "developers", "tool_names": ["orders"]})
    admin.ok("POST", "/v1/mcp/server", GITHUB)
    admin.ok("POST", "/v1/mcp/server", {"server_name": "wiki", "url": "https://wiki.example.com/mcp"})

    assert admin.ok("GET", "/v1/mcp/access_groups") == {"access_groups": ["developers"]}
    assert admin.ok("GET", "/access_group/developers/info")["tool_names"] == ["orders", "github__*"]
    found = admin.ok("GET", "/v1/mcp/server?access_group=developers")
    assert [server["server_name"] for server in found] == ["github"]

    changed = admin.ok("PATCH", "/v1/mcp/server/github", {"mcp_access_groups": ["support"]})

    assert changed["mcp_access_groups"] == ["support"]
    assert admin.ok("GET", "/access_group/developers/info")["tool_names"] == ["orders"]
    assert admin.ok("GET", "/v1/mcp/server?access_group=developers") == []
    published = admin.ok("GET", "/v1/mcp/registry.json?access_group=support")
    assert [one["server"]["title"] for one in published["servers"]] == ["github"]


def test_the_health_of_servers_is_told_with_its_latency(admin: Caller) -> None:
    made = admin.ok("POST", "/v1/mcp/server", GITHUB)
    admin.ok("POST", "/v1/mcp/server", {"server_name": "wiki", "url": "https://wiki.example.com/mcp"})
    looked = timezone.now()
    McpServerState.objects.create(
        server=McpServer.objects.get(name="github"), state="ready", latency_ms=12.5, checked_at=looked
    )
    McpServerState.objects.create(
        server=McpServer.objects.get(name="wiki"), state="failing", error="it can't be reached"
    )

    both = {one["server_name"]: one for one in admin.ok("GET", "/v1/mcp/server/health")}
    some = admin.ok("GET", f"/v1/mcp/server/health?server_ids={made['server_id']}&server_ids=github")

    assert (both["github"]["status"], both["github"]["latency_ms"]) == ("healthy", 12.5)
    assert (both["wiki"]["status"], both["wiki"]["health_check_error"]) == (
        "unhealthy",
        "it can't be reached",
    )
    assert [one["server_name"] for one in some] == ["github"]
    assert admin.refused("GET", "/v1/mcp/server/health?server_ids=nobody")["status"] == 404
    assert admin.refused("GET", "/v1/mcp/server/health?ids=github")["param"] == "ids"


def test_connecting_now_tells_why_it_fails(admin: Caller, settings: Any) -> None:
    settings.ALLOW_PRIVATE_HOSTS = True
    admin.ok("POST", "/v1/mcp/server", {"server_name": "wiki", "url": "http://127.0.0.1:9/mcp"})

    found = admin.ok("POST", "/v1/mcp/server/wiki/test")

    assert (found["status"], found["tools"]) == ("error", [])
    assert "failed" in found["error"]


def test_a_registry_names_this_gateway_as_the_remote_of_each_server(admin: Caller, settings: Any) -> None:
    settings.PUBLIC_URL = "https://gateway.example.com"
    admin.ok("POST", "/v1/mcp/server", GITHUB | {"description": "x" * 300})
    admin.ok(
        "POST", "/v1/mcp/server", {"server_name": "off", "url": "https://a.example.com/mcp", "enabled": False}
    )

    found = admin.ok("GET", "/v1/mcp/registry.json")

    assert found["metadata"] == {"count": 1}
    server = found["servers"][0]["server"]
    assert (server["name"], server["title"]) == ("com.example.gateway/github", "github")
    assert len(server["description"]) == 100
    assert server["remotes"][0]["type"] == "streamable-http"
    assert server["remotes"][0]["url"] == "https://gateway.example.com/mcp/github"


def test_a_key_sees_in_the_registry_what_it_may_use(admin: Caller) -> None:
    for name in ("github", "wiki"):
        admin.ok("POST", "/v1/mcp/server", {"server_name": name, "url": "https://a.example.com/mcp"})
    some = admin.with_key(create_key(actor="t", allowed_tools=["wiki__*"]).plain)
    none = admin.with_key(create_key(actor="t", allowed_tools=["orders"]).plain)

    titles = [one["server"]["title"] for one in some.ok("GET", "/v1/mcp/registry.json")["servers"]]

    assert titles == ["wiki"]
    assert none.ok("GET", "/v1/mcp/registry.json")["servers"] == []


def test_ids_of_nothing_are_not_found(admin: Caller) -> None:
    for path in ("server/mcp_00", f"server/{public_id('mcp', uuid7())}", "tools/nobody__add"):
        assert admin.refused("GET", f"/v1/mcp/{path}")["status"] == 404


@pytest.mark.asyncio
async def test_states_are_what_the_process_that_looks_wrote_down(snapshots: SnapshotStore) -> None:
    from gateway_project.core.db import in_thread

    def write() -> McpServer:
        row = McpServer(name="crm", url="http://127.0.0.1:9/mcp")
        row.save(force_insert=True)
        McpServerState.objects.create(server=row, state="failing")
        return row

    row = await in_thread(write)

    known = ServerStates()
    assert await known.current() == {row.id: "failing"}
    await in_thread(McpServerState.objects.all().delete)
    assert await known.current() == {row.id: "failing"}
