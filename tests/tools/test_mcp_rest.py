"""Tools over plain HTTP: what a key is shown, calls with MCP's results whole, refusals by field."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway_project.core.ids import public_id, uuid7
from gateway_project.core.snapshot import Section, Snapshot, SnapshotStore
from security_app.registry import Principal
from security_app.services.configuration import store
from tests.tools.mcp_peers import McpPeer
from tests.tools.rest_door import Answer, ask
from tests.tools.setup import MODULES, entry, principal, schema
from tools_app.arguments import argument_check
from tools_app.entry import ToolEntry
from tools_app.mcp_catalogue import mcp_tool_entry
from tools_app.mcp_definitions import fingerprint_of
from tools_app.mcp_entry import McpServerEntry, server_entry
from tools_app.models import McpServer, McpTool
from tools_app.registry import ToolsConfig
from tools_app.services import server_states as states

NUMBERS = schema(a="integer", b="integer")
CALL, LIST = "/mcp/tools/call", "/mcp/tools/list"


@pytest.fixture(autouse=True)
def modules(settings: Any) -> None:
    """The functions of tests may be called."""
    settings.TOOL_MODULES = MODULES


@pytest.fixture(autouse=True)
def known_states(monkeypatch: pytest.MonkeyPatch) -> Iterator[states.ServerStates]:
    """What is known of servers, without a database."""
    known = states.ServerStates()
    known._read_at = float("inf")
    monkeypatch.setattr("gateway_project.api.mcp_rest.server_states", known)
    yield known


def server(name: str, url: str = "http://127.0.0.1:9/mcp") -> McpServerEntry:
    """A server as calls need it."""
    return server_entry(McpServer(name=name, url=url))


def found(
    of: McpServerEntry, name: str, parameters: dict[str, Any] | None = None, **members: Any
) -> ToolEntry:
    """A tool that was found at a server."""
    definition = {
        "name": name,
        "description": f"Does {name}.",
        "inputSchema": parameters or NUMBERS,
        **members,
    }
    row = McpTool(
        server_id=of.id,
        name=name,
        exposed_name=f"{of.name}__{name}",
        definition=definition,
        fingerprint=fingerprint_of(definition),
    )
    return mcp_tool_entry(of, row)


def configuration(*tools: ToolEntry, servers: tuple[McpServerEntry, ...] = ()) -> Snapshot:
    """The tools of a configuration, and the servers of some."""
    config = ToolsConfig({one.name: one for one in tools}, {one.name: one for one in servers})
    return Snapshot({"tools": Section(config, 1)})


def names(answer: Answer) -> list[str]:
    """The names of the tools that were listed."""
    assert answer.status == 200, answer.json
    return [tool["name"] for tool in answer.json["tools"]]


async def test_all_tools_that_a_key_may_use_are_listed_as_mcp_describes_them() -> None:
    crm, wiki = server("crm"), server("wiki")
    own = entry("add", parameters=NUMBERS)
    hint = {"readOnlyHint": True}
    snapshot = configuration(
        own, found(crm, "find", annotations=hint), found(wiki, "read"), servers=(crm, wiki)
    )

    everything = await ask(snapshot, "GET", LIST)
    some = await ask(snapshot, "GET", "/mcp-rest/tools/list", caller=principal("crm__*"))

    assert names(everything) == ["add", "crm__find", "wiki__read"]
    assert everything.json["error"] is None
    assert some.json["tools"] == [
        {
            "name": "crm__find",
            "description": "Does find.",
            "inputSchema": NUMBERS,
            "annotations": hint,
            "mcp_info": {
                "server_id": public_id("mcp", crm.id),
                "server_name": "crm",
                "tool_name": "find",
            },
        }
    ]
    assert [one["server_name"] for one in some.json["servers"]] == ["crm"]


async def test_a_list_is_of_one_server_and_in_pages() -> None:
    crm, wiki = server("crm"), server("wiki")
    tools = [found(crm, f"t{number}") for number in range(5)]
    snapshot = configuration(*tools, found(wiki, "read"), servers=(crm, wiki))

    first = await ask(snapshot, "GET", f"{LIST}?server=crm&limit=3")
    second = await ask(snapshot, "GET", f"{LIST}?server=crm&limit=3&cursor={first.json['nextCursor']}")
    by_id = await ask(snapshot, "GET", f"{LIST}?server_id={public_id('mcp', wiki.id)}")

    assert names(first) + names(second) == [f"crm__t{number}" for number in range(5)]
    assert "nextCursor" not in second.json
    assert names(by_id) == ["wiki__read"]


async def test_a_page_is_bounded_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway_project.api.mcp_rest._MAX_PAGE_BYTES", 500)
    crm = server("crm")
    snapshot = configuration(*(found(crm, f"t{number}") for number in range(5)), servers=(crm,))

    listed: list[str] = []
    query, pages = LIST, 0
    while query:
        answer = await ask(snapshot, "GET", query)
        listed += names(answer)
        pages += 1
        query = f"{LIST}?cursor={answer.json['nextCursor']}" if "nextCursor" in answer.json else ""

    assert listed == [f"crm__t{number}" for number in range(5)]
    assert pages > 1


async def test_a_server_of_which_a_key_may_use_nothing_does_not_exist_for_it(
    snapshots: SnapshotStore,
) -> None:
    crm = server("crm")
    snapshot = configuration(found(crm, "find"), servers=(crm,))

    mine = await ask(snapshot, "GET", f"{LIST}?server=crm", caller=principal("crm__find"))
    others = await ask(snapshot, "GET", f"{LIST}?server=crm", caller=principal("wiki__*"))
    everything = await ask(snapshot, "GET", LIST, caller=principal("wiki__*"))

    assert names(mine) == ["crm__find"]
    assert (others.status, others.json["error"]["code"]) == (404, "server_not_found")
    assert (everything.json["tools"], everything.json["servers"]) == ([], [])


async def test_a_server_that_is_away_is_named_to_those_who_may_use_it(
    known_states: states.ServerStates,
) -> None:
    crm, wiki = server("crm"), server("wiki")
    known_states._states = {crm.id: "failing", wiki.id: "ready"}
    snapshot = configuration(found(crm, "find"), found(wiki, "read"), servers=(crm, wiki))

    both = await ask(snapshot, "GET", LIST)
    one = await ask(snapshot, "GET", LIST, caller=principal("wiki__*"))

    assert names(both) == ["crm__find", "wiki__read"]
    assert (both.json["error"], both.json["message"]) == (
        "partial_failure",
        "These servers don't answer now: crm.",
    )
    assert [server["status"] for server in both.json["servers"]] == ["unhealthy", "healthy"]
    assert one.json["error"] is None


async def test_a_call_is_answered_as_mcp_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with McpPeer() as peer:
        crm = server("crm", peer.url)
        snapshot = configuration(found(crm, "add"), found(crm, "fails", {"type": "object"}), servers=(crm,))

        by_name = await ask(snapshot, "POST", CALL, {"name": "crm__add", "arguments": {"a": 2, "b": 3}})
        by_server = await ask(
            snapshot,
            "POST",
            "/mcp-rest/tools/call",
            {"server_id": public_id("mcp", crm.id), "name": "add", "arguments": {"a": 2, "b": 4}},
        )
        failed = await ask(snapshot, "POST", CALL, {"name": "crm__fails"})

    assert (by_name.status, by_name.json) == (
        200,
        {"content": [{"type": "text", "text": "5"}], "structuredContent": {"result": 5}, "isError": False},
    )
    assert by_server.json["structuredContent"] == {"result": 6}
    kept = by_server.call
    assert (kept.operation, kept.model, kept.upstream, kept.status) == (
        "tools/call",
        "crm__add",
        "mcp:crm",
        200,
    )
    assert failed.call.error_code == "tool_error"
    assert failed.status == 200
    assert failed.json["isError"] is True
    assert "the cellar is flooded" in failed.json["content"][0]["text"]
    told = [record for record in caplog.records if record.getMessage() == "tool.invoke"]
    assert [getattr(record, "status", "") for record in told] == ["ok", "ok", "error"]


async def test_the_gateways_own_tools_are_called_as_well() -> None:
    snapshot = configuration(entry("add", parameters=NUMBERS))

    answer = await ask(snapshot, "POST", CALL, {"name": "add", "arguments": {"a": 2, "b": 3}})

    assert answer.json == {"content": [{"type": "text", "text": "5"}], "isError": False}


async def test_a_server_that_is_away_is_an_error_of_that_call_alone() -> None:
    crm = server("crm")
    snapshot = configuration(found(crm, "find"), servers=(crm,))

    answer = await ask(snapshot, "POST", CALL, {"name": "crm__find", "arguments": {"a": 1, "b": 2}})

    assert (answer.status, answer.json["error"]["code"]) == (502, "tool_failed")
    assert "'crm' can't be asked" in answer.json["error"]["message"]


async def test_a_tool_that_takes_too_long_is_a_timeout() -> None:
    snapshot = configuration(entry("wait_for_ever", timeout_s=0.05))

    answer = await ask(snapshot, "POST", CALL, {"name": "wait_for_ever"})

    assert (answer.status, answer.json["error"]["code"]) == (504, "tool_timeout")


async def test_a_tool_that_a_key_may_not_use_is_not_called() -> None:
    crm = server("crm")
    snapshot = configuration(found(crm, "find"), servers=(crm,))
    caller: Principal = principal("crm__other")

    answer = await ask(
        snapshot, "POST", CALL, {"name": "crm__find", "arguments": {"a": 1, "b": 2}}, caller=caller
    )

    assert (answer.status, answer.json["error"]["code"]) == (403, "tool_access_denied")
    assert answer.json["error"]["param"] == "name"


# A body, the field that is named then, the status, and words of the message.
WRONG: list[tuple[Any, str | None, int, str]] = [
    ([], None, 400, "JSON object"),
    ({}, "name", 400, "name"),
    ({"name": 7}, "name", 400, "name"),
    ({"name": "x" * 301}, "name", 400, "name"),
    ({"name": "add", "arguments": [1]}, "arguments", 400, "an object"),
    ({"name": "add", "arguments": {"a": 1}}, "arguments.b", 400, "'b' is a required property"),
    ({"name": "add", "arguments": {"a": "x", "b": 1}}, "arguments.a", 400, "a: 'x' is not of type"),
    ({"name": "add", "server": 7}, "server", 400, "name or id"),
    ({"name": "add", "surprise": 1}, "surprise", 400, "Unknown field"),
    ({"name": "add", "server": "a", "server_id": "b"}, "server_id", 400, "Unknown field"),
]
# What may have been added a moment ago: the database is asked once more.
ABSENT: list[tuple[Any, str, int, str]] = [
    ({"name": "add", "server": "nobody"}, "server", 404, "no MCP server"),
    ({"name": "missing"}, "name", 404, "There is no tool"),
]


@pytest.mark.parametrize(("body", "param", "status", "words"), WRONG)
async def test_a_wrong_call_is_refused_and_the_field_named(
    body: Any, param: str | None, status: int, words: str
) -> None:
    snapshot = configuration(entry("add", parameters=NUMBERS))

    answer = await ask(snapshot, "POST", CALL, body)

    error = answer.json["error"]
    assert (answer.status, error["param"]) == (status, param)
    assert words in error["message"]


async def test_what_does_not_exist_is_told_by_its_field(snapshots: SnapshotStore) -> None:
    for body, param, status, words in ABSENT:
        answer = await ask(store.current, "POST", CALL, body)

        assert (answer.status, answer.json["error"]["param"]) == (status, param)
        assert words in answer.json["error"]["message"]


async def test_a_text_that_a_servers_tools_must_not_get_is_refused_here() -> None:
    crm = replace(server("crm"), argument_guards=("path_traversal",))
    tool = found(crm, "read", schema(path="string"))
    snapshot = configuration(tool, servers=(crm,))

    answer = await ask(snapshot, "POST", CALL, {"name": "crm__read", "arguments": {"path": "../secrets"}})

    error = answer.json["error"]
    assert (answer.status, error["param"], error["code"]) == (400, "arguments.path", "invalid_arguments")


async def test_a_body_that_is_too_large_is_refused() -> None:
    answer = await ask(configuration(), "POST", CALL, {"name": "add", "arguments": {"a": "x" * 300_000}})

    assert (answer.status, answer.json["error"]["code"]) == (413, "request_too_large")


async def test_a_body_that_is_no_json_is_refused() -> None:
    answer = await ask(configuration(), "POST", CALL, raw=b"{")

    assert (answer.status, answer.json["error"]["message"]) == (400, "The body is not valid JSON.")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("page=1", "page"),
        ("server=a&server_id=b", "server_id"),
        ("cursor=a&cursor=b", "cursor"),
        ("&".join(f"x{number}=1" for number in range(30)), None),
    ],
)
async def test_a_wrong_query_is_refused(query: str, param: str | None) -> None:
    answer = await ask(configuration(), "GET", f"{LIST}?{query}")

    assert (answer.status, answer.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({}, "stops"),
        ({"stops": [{}]}, "stops.0.name"),
        ({"stops": [{"name": 1}]}, "stops.0.name"),
        ({"stops": 1}, "stops"),
    ],
)
def test_the_argument_that_is_wrong_is_told_by_its_path(arguments: Any, path: str) -> None:
    from tools_app.errors import ToolError

    stop = schema(name="string")
    check = argument_check(
        {"type": "object", "properties": {"stops": {"type": "array", "items": stop}}, "required": ["stops"]}
    )

    with pytest.raises(ToolError) as caught:
        check(arguments)

    assert caught.value.argument == path


def test_ids_that_nothing_has_lead_nowhere() -> None:
    from tests.tools.setup import principal as somebody
    from tools_app.services.tool_lists import find_server

    class Context:
        snapshot = configuration()
        principal = somebody()
        client_ip = ""

    assert find_server(Context(), public_id("mcp", uuid7())) is None  # type: ignore[arg-type]
