"""What the doors of the MCP gateway refuse, and how; what a key sees there, and what it does not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway_project.core.ids import uuid7
from gateway_project.core.snapshot import Section, Snapshot
from security_app.registry.counters import LimitRule
from security_app.registry.limits import LimitsConfig
from security_app.services.limiting import limiting
from tests.tools.mcp_door import ask, configuration, found, modern, request, server
from tests.tools.setup import MODULES, context, entry, principal, schema
from tests.usage.entries import ALICE
from tools_app.services.mcp_gateway import paging, sessions
from tools_app.services.mcp_gateway.offer import Offer
from tools_app.services.mcp_gateway.sessions import LIFETIME_S, Sessions

NUMBERS = schema(a="integer", b="integer")
VERSION = "mcp-protocol-version"
DEEP = b"[" * 1000 + b"]" * 1000


@pytest.fixture(autouse=True)
def modules(settings: Any) -> None:
    """The functions of tests may be called."""
    settings.TOOL_MODULES = MODULES


@pytest.fixture(autouse=True)
def nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing new in the database that a second look could find."""

    async def nothing() -> Snapshot:
        return configuration()

    monkeypatch.setattr("gateway_project.api.mcp.reloaded_snapshot", nothing)


@pytest.fixture(autouse=True)
async def limiter() -> AsyncIterator[None]:
    """Counters of this test alone."""
    await limiting.start()
    yield
    await limiting.stop()


def catalogue() -> Snapshot:
    """Two servers, and a tool of the gateway's own."""
    crm, wiki = server("crm"), server("wiki")
    crm = replace(
        crm,
        prompts=({"name": "greet", "description": "Greets."},),
        resources=({"uri": "crm://all", "name": "all"},),
        templates=({"uriTemplate": "crm://{id}", "name": "one"},),
    )
    own = entry("add", parameters=NUMBERS)
    return configuration(
        own, found(crm, "find"), found(crm, "drop table"), found(wiki, "read"), servers=(crm, wiki)
    )


def names(listed: dict[str, Any], kind: str = "tools", member: str = "name") -> list[str]:
    """What was listed."""
    return [item[member] for item in listed[kind]]


@pytest.mark.parametrize(
    ("raw", "code", "status"),
    [
        (b"{", -32700, 400),
        (b"\xff", -32700, 400),
        (b"[]", -32600, 400),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, 400),
        (b'"ping"', -32600, 400),
        (b'{"id":1,"method":"ping"}', -32600, 400),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, 400),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, 400),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, 400),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, 400),
        (b'{"jsonrpc":"2.0","id":1}', -32600, 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600, 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":3}}', -32600, 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/make"}', -32601, 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"server/discover"}', -32601, 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}', -32602, 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nothing"}}', -32602, 200),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%b}}' % DEEP,
            -32602,
            200,
        ),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":[]}}',
            -32602,
            200,
        ),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"!"}}', -32602, 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":7}}', -32602, 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"loud"}}', -32602, 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"mcp://crm"}}', -32002, 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"crm__none"}}', -32602, 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}', -32602, 200),
    ],
)
async def test_bad_messages_are_refused_in_the_protocols_form(raw: bytes, code: int, status: int) -> None:
    answer = await ask(catalogue(), None, raw=raw)

    assert (answer.status, answer.error["code"]) == (status, code), answer.json
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.json["id"] == (1 if status == 200 else None) or b'"id":1' in raw


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"accept": "text/html"}, 406),
        ({"origin": "https://evil.example", "host": "testserver"}, 403),
        ({"origin": "http://localhost:6274", "host": "evil.example"}, 403),
        ({"origin": "http://localhost.evil.example", "host": "testserver"}, 403),
        ({"origin": "null", "host": "testserver"}, 403),
        ({VERSION: "1999-01-01"}, 400),
        ({"mcp-session-id": "made-up"}, 404),
        ({"content-length": str(10**10)}, 413),
        ({"content-encoding": "gzip"}, 415),
    ],
)
async def test_requests_that_are_wrong_outside_of_the_message(headers: dict[str, str], status: int) -> None:
    answer = await ask(catalogue(), request("ping"), headers=headers)

    assert answer.status == status, answer.json
    assert set(answer.error) >= {"code", "message"}


@pytest.mark.parametrize("origin", ["http://localhost:6274", "https://named.example", "https://gw.example"])
async def test_pages_of_this_machine_and_those_that_are_named_may_ask(origin: str, settings: Any) -> None:
    settings.CORS_ORIGINS = ["*", "https://named.example"]
    settings.PUBLIC_URL = "https://gw.example"

    answer = await ask(catalogue(), request("ping"), headers={"origin": origin, "host": "testserver"})

    assert answer.result == {}


async def test_a_session_is_of_one_key_at_one_door_and_ends() -> None:
    snapshot, alice = catalogue(), principal()
    bob = alice._replace(key_id=uuid7())
    begun = await ask(snapshot, request("initialize", protocolVersion="2025-06-18"), caller=alice)
    mine = {"mcp-session-id": begun.headers["mcp-session-id"]}
    ping = request("ping")

    assert begun.result["protocolVersion"] == "2025-06-18"
    assert (await ask(snapshot, ping, headers=mine, caller=alice)).status == 200
    assert (await ask(snapshot, ping, headers=mine, caller=bob)).status == 404
    assert (await ask(snapshot, ping, "/mcp/crm", headers=mine, caller=alice)).status == 404
    assert (await ask(snapshot, None, method="DELETE", headers=mine, caller=bob)).status == 404
    assert (await ask(snapshot, None, method="DELETE", caller=alice)).status == 400
    assert (await ask(snapshot, None, method="DELETE", headers=mine, caller=alice)).status == 204
    assert (await ask(snapshot, ping, headers=mine, caller=alice)).status == 404
    assert (await ask(snapshot, ping, caller=alice)).status == 200


def test_a_session_is_over_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    key, known, other = principal(), Sessions(), Sessions()
    text = known.begin(key, "", "2025-11-25")
    began = known.read(text, key, "").began

    # Another process reads it as well.
    assert other.read(text, key, "").version == "2025-11-25"
    monkeypatch.setattr(time, "time", lambda: began + LIFETIME_S + 1)
    with pytest.raises(sessions.UnknownSession):
        other.read(text, key, "")
    with pytest.raises(sessions.UnknownSession):
        other.read(text[:-4] + "AAAA", key, "")


@pytest.mark.parametrize(
    ("wanted", "spoken"),
    [("2025-11-25", "2025-11-25"), ("2025-03-26", "2025-03-26"), ("2031-01-01", "2025-11-25")],
)
async def test_the_revision_is_agreed_on(wanted: str, spoken: str) -> None:
    begun = await ask(catalogue(), request("initialize", protocolVersion=wanted))

    assert begun.result["protocolVersion"] == spoken
    assert begun.result["serverInfo"]["name"] == "agent-gateway"


async def test_notifications_and_responses_are_taken_without_an_answer() -> None:
    for message in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}},
        {"jsonrpc": "2.0", "id": 7, "result": {}},
    ):
        answer = await ask(catalogue(), message)

        assert (answer.status, answer.json) == (202, None)


async def test_a_key_sees_its_own_tools_under_the_names_of_the_door() -> None:
    snapshot, some = catalogue(), principal("crm__*", "add")

    everything = await ask(snapshot, request("tools/list"))
    mine = await ask(snapshot, request("tools/list"), caller=some)
    of_crm = await ask(snapshot, request("tools/list"), "/mcp/crm", caller=some)
    of_wiki = await ask(snapshot, request("tools/list"), "/mcp/wiki", caller=some)
    of_nobody = await ask(snapshot, request("tools/list"), "/mcp/nobody", caller=some)

    assert "wiki__read" in names(everything.result)
    assert len(names(mine.result)) == 3
    assert not any(name.startswith("wiki") for name in names(mine.result))
    assert names(of_crm.result) == ["drop table", "find"]
    assert of_wiki.status == of_nobody.status == 404
    assert of_wiki.error["message"].replace("wiki", "nobody") == of_nobody.error["message"]


async def test_what_a_key_may_not_use_is_unknown_to_it_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []
    monkeypatch.setattr("gateway_project.api.mcp.note_denial", lambda *a, **k: noted.append(a))
    snapshot, some = catalogue(), principal("crm__*")

    denied = await ask(snapshot, request("tools/call", name="wiki__read"), caller=some)
    unknown = await ask(snapshot, request("tools/call", name="wiki__nope"), caller=some)
    prompt = await ask(snapshot, request("prompts/get", name="crm__greet"), caller=principal("wiki__*"))

    assert denied.error["message"].replace("read", "nope") == unknown.error["message"]
    assert prompt.error["message"] == "Unknown prompt: crm__greet"
    assert [what for _, _, what in noted] == ["MCP wiki__read", "MCP crm__prompt:greet"]
    assert {reason for _, reason, _ in noted} == {"insufficient_permissions"}


async def test_arguments_that_do_not_fit_are_told_as_the_revision_has_it() -> None:
    call = request("tools/call", name="add", arguments={"a": "x", "b": 2})

    before = await ask(catalogue(), call, headers={VERSION: "2025-06-18"})
    since = await ask(catalogue(), call, headers={VERSION: "2025-11-25"})

    assert before.error["code"] == -32602
    assert "a: 'x' is not of type 'integer'" in before.error["message"]
    assert since.result["isError"] is True
    assert "a: 'x' is not of type 'integer'" in since.result["content"][0]["text"]


async def test_a_tool_of_the_gateway_is_called() -> None:
    answer = await ask(catalogue(), request("tools/call", "x7", name="add", arguments={"a": 2, "b": 3}))

    assert answer.json["id"] == "x7"
    assert answer.result == {"content": [{"type": "text", "text": "5"}], "isError": False}


async def test_arguments_that_would_end_the_session_with_a_server_are_not_sent() -> None:
    nested: Any = 1
    for _ in range(254):
        nested = [nested]
    call = request("tools/call", name="crm__find", arguments={"a": nested})

    answer = await ask(catalogue(), call)

    assert answer.error["code"] == -32602
    assert "nested too deeply" in answer.error["message"]


async def test_calls_count_for_the_limit_of_the_key_and_lists_do_not() -> None:
    rules = LimitsConfig()
    rules.put(LimitRule(uuid7().hex, "key", ALICE.hex, "", "requests", 60_000, 1, is_fail_open=False))
    snapshot = Snapshot({**catalogue().sections, "limits": Section(rules.seal(), 1)})
    call = request("tools/call", 4, name="add", arguments={"a": 1, "b": 1})

    wrong = await ask(snapshot, request("tools/call", name="add", arguments={"a": "x"}))
    first = await ask(snapshot, call)
    second = await ask(snapshot, call)
    listed = await ask(snapshot, request("tools/list"))

    # What never came to the tool counts for nothing.
    assert wrong.error["code"] == -32602
    assert first.result["isError"] is False
    assert (second.status, second.error["data"]["code"]) == (429, "rate_limit_exceeded")
    assert second.json["id"] == 4
    assert int(second.headers["retry-after"]) > 0
    assert listed.status == 200


async def test_addresses_in_results_lead_to_the_server_but_for_those_on_the_web() -> None:
    crm = server("crm")
    offer = Offer(context(), None)
    link = {"type": "resource_link", "uri": "crm://7", "name": "seven"}
    inner = {"type": "resource", "resource": {"uri": "crm://8", "text": "eight"}}
    web = {"type": "resource_link", "uri": "https://example.org/", "name": "web"}

    assert offer.shown_block(crm, link)["uri"] == "mcp://crm/crm://7"
    assert offer.shown_block(crm, inner)["resource"]["uri"] == "mcp://crm/crm://8"
    assert offer.shown_block(crm, web) == web


async def test_a_server_that_is_away_is_an_error_of_that_call_alone() -> None:
    answer = await ask(catalogue(), request("tools/call", name="crm__find"))

    assert answer.status == 200
    assert answer.result["isError"] is True
    assert "the MCP server 'crm'" in answer.result["content"][0]["text"]


async def test_prompts_and_resources_carry_their_servers_names() -> None:
    snapshot, others = catalogue(), principal("wiki__*")

    prompts = await ask(snapshot, request("prompts/list"))
    resources = await ask(snapshot, request("resources/list"))
    templates = await ask(snapshot, request("resources/templates/list"))
    hidden = await ask(snapshot, request("resources/list"), caller=others)
    read = await ask(snapshot, request("resources/read", uri="mcp://crm/crm://all"), caller=others)
    own = await ask(snapshot, request("resources/list"), "/mcp/crm")

    assert names(prompts.result, "prompts") == ["crm__greet"]
    assert names(resources.result, "resources", "uri") == ["mcp://crm/crm://all"]
    assert names(templates.result, "resourceTemplates", "uriTemplate") == ["mcp://crm/crm://{id}"]
    assert hidden.result["resources"] == []
    assert read.error["code"] == -32002
    assert names(own.result, "resources", "uri") == ["crm://all"]


async def test_a_server_that_completes_nothing_is_not_asked() -> None:
    argument = {"name": "name", "value": "A"}
    prompt, template = {"type": "ref/prompt", "name": "crm__greet"}, {"type": "ref/resource", "uri": "x://y"}

    known = await ask(catalogue(), request("completion/complete", ref=prompt, argument=argument))
    unknown = await ask(catalogue(), request("completion/complete", ref=template, argument=argument))

    assert known.result == {"completion": {"values": []}}
    assert unknown.error["code"] == -32602


async def test_lists_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_ITEMS", 2)
    crm = server("crm")
    snapshot = configuration(*(found(crm, f"t{number}") for number in range(5)), servers=(crm,))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = (await ask(snapshot, request("tools/list", **cursor))).result
        seen += names(page)
        cursor = {"cursor": page.get("nextCursor", "")}

    assert seen == [f"crm__t{number}" for number in range(5)]
    assert cursor == {"cursor": ""}


async def test_the_revision_without_sessions_says_all_in_each_request() -> None:
    message, headers = modern("tools/call", name="add", arguments={"a": 1, "b": 1})
    good = await ask(catalogue(), message, headers=headers)
    message, plain = modern("server/discover")
    discovered = await ask(catalogue(), message, headers=plain)

    assert good.result["resultType"] == "complete"
    assert good.result["content"][0]["text"] == "2"
    assert "mcp-session-id" not in good.headers
    assert discovered.result["supportedVersions"][0] == "2026-07-28"
    assert discovered.result["cacheScope"] == "private"


@pytest.mark.parametrize(
    ("changed", "code", "status"),
    [
        ({"mcp-name": "other"}, -32020, 400),
        ({"mcp-method": "tools/list"}, -32020, 400),
        ({"mcp-name": "=?base64?!!?="}, -32020, 400),
        ({"mcp-name": "=?base64?YWRk?="}, 0, 200),
    ],
)
async def test_its_headers_must_say_what_the_request_does(
    changed: dict[str, str], code: int, status: int
) -> None:
    message, headers = modern("tools/call", name="add", arguments={"a": 1, "b": 1})

    answer = await ask(catalogue(), message, headers=headers | changed)

    assert answer.status == status
    assert not code or answer.error["code"] == code


async def test_a_header_that_is_there_twice_is_refused() -> None:
    message, headers = modern("tools/call", name="add", arguments={"a": 1, "b": 1})

    answer = await ask(catalogue(), message, headers=headers, twice="mcp-name")

    assert (answer.status, answer.error["code"]) == (400, -32600)


async def test_it_knows_no_methods_of_sessions_and_no_envelope_is_refused() -> None:
    message, headers = modern("ping")
    ping = await ask(catalogue(), message, headers=headers)
    bare = await ask(catalogue(), request("tools/list"), headers={**headers, "mcp-method": "tools/list"})

    assert (ping.status, ping.error["code"]) == (404, -32601)
    assert (bare.status, bare.error["code"]) == (400, -32602)
