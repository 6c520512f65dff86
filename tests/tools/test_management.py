"""`/tools` of the management API: rows, what is wrong with them, and trials."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from gateway_project.core.errors import NotFound
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import ConfigVersion
from security_app.services.configuration import store
from tests.admin import rows
from tests.agents.answers import says
from tests.agents.dropins import write_agent
from tests.fakes.vendor import FakeVendor
from tests.management.caller import Caller
from tests.tools.functions import SECRET
from tests.tools.setup import MODULES, schema
from tools_app.models import Tool
from tools_app.registry import tools_of
from tools_app.services.management import update_tool
from usage_app.models import UsageRecord
from usage_app.services.ledger import ledger

ADD: dict[str, Any] = {
    "name": "add",
    "kind": "python",
    "description": "Adds numbers.",
    "config": {"callable": "tests.tools.functions:add"},
    "parameters": schema(a="integer", b="integer"),
}
FAIL = ADD | {"name": "fail", "config": {"callable": "tests.tools.functions:fail"}, "parameters": {}}
ORDERS: dict[str, Any] = {
    "name": "orders",
    "kind": "http",
    "description": "Finds orders.",
    "config": {
        "method": "POST",
        "url": "http://127.0.0.1:9/orders",
        "headers": {"authorization": "Bearer 0123456789-wxyz", "x-team": "file:/run/secrets/team"},
    },
}


@pytest.fixture(autouse=True)
def modules(settings: Any) -> None:
    """The functions of tests may be called."""
    settings.TOOL_MODULES = MODULES


@pytest.fixture
def file_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """References to files stand for something."""
    monkeypatch.setattr("tools_app.kinds.http_config.read_reference", lambda _: "from-file")


def served() -> set[str]:
    """The tools that this process serves."""
    return set(tools_of(store.current.sections))


def test_a_tool_is_made_shown_changed_and_deleted(admin: Caller) -> None:
    made = admin.ok("POST", "/tools", ADD)

    assert made["id"].startswith("tool_")
    assert made == made | ADD | {
        "timeout_s": 30,
        "max_result_bytes": 65_536,
        "enabled": True,
        "problem": "",
        "managed_by": "admin",
    }
    assert served() == {"add"}
    assert admin.ok("GET", "/tools")["data"] == [made]
    assert admin.ok("GET", "/tools/add") == admin.ok("GET", f"/tools/{made['id']}") == made

    changed = admin.ok("PATCH", "/tools/add", {"name": "sum", "timeout_s": 0.5, "enabled": False})

    assert changed == made | {
        "name": "sum",
        "timeout_s": 0.5,
        "enabled": False,
        "updated_at": changed["updated_at"],
    }
    assert served() == set()
    assert admin.ok("DELETE", "/tools/sum") == {"id": made["id"], "name": "sum", "deleted": True}
    assert admin.refused("GET", "/tools/sum")["status"] == 404


# What is changed in a right body, the field that is named then, and words of the message.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "a b"}, "name", "pattern"),
    ({"name": "x" * 65}, "name", "pattern"),
    ({"name": "refresh"}, "name", "No tool can be named"),
    ({"kind": "mcp"}, "kind", "'python'"),
    ({"description": " "}, "description", "Say what the tool is for"),
    ({"description": "x" * 4001}, "description", "4000"),
    ({"config": {"callable": "os:system"}}, "config.callable", "GATEWAY_TOOL_MODULES does not allow"),
    ({"config": {"callable": "tests.tools.functions.add"}}, "config.callable", "module:function"),
    ({"config": {"callable": "tests.tools.functions:missing"}}, "config.callable", "has no 'missing'"),
    ({"config": {"callable": "tests.tools.functions:getcwd"}}, "config.callable", "only imported there"),
    ({"config": {"callable": "tests.tools.functions:NoFunction"}}, "config.callable", "no function"),
    ({"config": {"callable": "tests.tools.functions:NOTHING"}}, "config.callable", "no function"),
    ({"config": {"callable": "tests.tools.functions:__name__"}}, "config.callable", "module:function"),
    ({"config": {"callable": "tests.tools.functions:add", "x": 1}}, "config.x", "no such member"),
    ({"config": {}}, "config.callable", "module:function"),
    ({"config": {"headers": {"x-a": "secret"}}, "enabled": False}, "config.headers", "Only tools of"),
    ({"config": {"x": "y" * 17_000}, "enabled": False}, "config", "16384"),
    ({"parameters": {"type": "array"}}, "parameters", "'object'"),
    ({"parameters": {"type": "object", "properties": []}}, "parameters", "properties: "),
    ({"parameters": schema(a="number") | {"required": "a"}}, "parameters", "required: 'a'"),
    (
        {"parameters": {"type": "object", "patternProperties": {"(": {}}}},
        "parameters",
        "patternProperties: ",
    ),
    (
        {"parameters": {"type": "object", "properties": {"a": {"$ref": "http://x.example/s"}}}},
        "parameters",
        "leads out of the schema",
    ),
    (
        {"parameters": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}},
        "parameters",
        "leads to nothing",
    ),
    ({"parameters": {"type": "object", "$ref": "#"}}, "parameters", "to itself"),
    ({"parameters": {"type": "object", "description": "x" * 66_000}}, "parameters", "65536"),
    ({"timeout_s": 0}, "timeout_s", "greater than"),
    ({"timeout_s": 3601}, "timeout_s", "less than"),
    ({"max_result_bytes": 10}, "max_result_bytes", "greater than"),
    ({"enabled": "yes"}, "enabled", "boolean"),
    ({"module": "x"}, "module", "Unknown field"),
]
WRONG_AGENT: list[tuple[dict[str, Any], str, str]] = [
    ({"config": {}}, "config.agent", "id of an agent"),
    ({"config": {"agent": 7}}, "config.agent", "id of an agent"),
    ({"config": {"agent": "default/nobody"}}, "config.agent", "no agent 'default/nobody'"),
    ({"config": {"agent": "default/x", "url": "y"}}, "config.url", "no such member"),
    (
        {"config": {"agent": "default/nobody"}, "parameters": schema(task="string")},
        "parameters",
        "'input'",
    ),
]


def test_a_wrong_tool_names_the_field_and_is_not_made(admin: Caller) -> None:
    bodies = [(ADD | change, *told) for change, *told in WRONG]
    ask = {"name": "ask", "kind": "agent", "config": {}}
    bodies += [(ask | change, *told) for change, *told in WRONG_AGENT]

    for body, param, words in bodies:
        error = admin.refused("POST", "/tools", body)
        assert (error["status"], error["param"]) == (400, param), (body, error)
        assert words in error["message"], (body, error)

    assert not Tool.objects.exists()


def test_no_function_may_be_called_unless_the_setting_names_it(admin: Caller, settings: Any) -> None:
    settings.TOOL_MODULES = []

    assert admin.refused("POST", "/tools", ADD)["param"] == "config.callable"


def test_a_name_that_exists_is_a_conflict(admin: Caller) -> None:
    admin.ok("POST", "/tools", ADD)

    error = admin.refused("POST", "/tools", ADD)

    assert (error["status"], error["param"]) == (409, "name")


def test_a_tool_that_is_gone_is_not_changed(admin: Caller) -> None:
    admin.ok("POST", "/tools", ADD)
    row = Tool.objects.get()
    admin.ok("DELETE", "/tools/add")

    with pytest.raises(NotFound):
        update_tool(row, actor="tests", timeout_s=3.0)

    assert not Tool.objects.exists()


def test_secrets_of_headers_are_encrypted_masked_and_kept(admin: Caller, file_secrets: None) -> None:
    made = admin.ok("POST", "/tools", ORDERS)

    assert made["config"]["headers"] == {"authorization": "…wxyz", "x-team": "file:/run/secrets/team"}
    row = Tool.objects.get()
    assert "0123456789" not in str(row.config) + row.headers_sealed
    sent = dict(tools_of(store.current.sections)["orders"].prepared.headers)
    assert sent == {"authorization": "Bearer 0123456789-wxyz", "x-team": "from-file"}

    admin.ok("PATCH", "/tools/orders", {"config": {"method": "PUT"}})
    admin.ok("PATCH", "/tools/orders", {"config": {"headers": made["config"]["headers"] | {"x-new": "1"}}})

    prepared = tools_of(store.current.sections)["orders"].prepared
    assert dict(prepared.headers) == sent | {"x-new": "1"}
    assert (prepared.method, prepared.path) == ("PUT", "/orders")
    assert b"0123456789" not in b"".join(admin.answers)


def test_a_secret_is_not_sent_to_another_host_unless_it_is_given_again(
    admin: Caller, file_secrets: None
) -> None:
    admin.ok("POST", "/tools", ORDERS)
    moved = {"url": "http://127.0.0.2:9/orders"}

    for config in (moved, moved | {"headers": {"authorization": "…wxyz"}}):
        error = admin.refused("PATCH", "/tools/orders", {"config": config})
        assert (error["status"], error["param"]) == (400, "config.headers")

    given = {"headers": {"authorization": "Bearer other-secret-9876"}}
    assert admin.ok("PATCH", "/tools/orders", {"config": moved | given})["config"]["url"] == moved["url"]
    assert admin.ok("PATCH", "/tools/orders", {"config": {"headers": None}})["config"].get("headers") is None


def test_a_tool_that_broke_is_told_of_and_can_be_turned_off(admin: Caller, settings: Any) -> None:
    admin.ok("POST", "/tools", ADD)
    settings.TOOL_MODULES = []

    (found,) = admin.ok("POST", "/tools/refresh")["data"]

    assert "GATEWAY_TOOL_MODULES" in found["problem"]
    assert served() == set()
    assert admin.ok("PATCH", "/tools/add", {"enabled": False})["problem"] == ""
    assert admin.refused("PATCH", "/tools/add", {"enabled": True})["param"] == "config.callable"


def test_a_trial_really_calls_the_tool(admin: Caller, caplog: pytest.LogCaptureFixture) -> None:
    admin.ok("POST", "/tools", ADD)
    caplog.set_level(logging.INFO)

    found = admin.ok("POST", "/tools/add/test", {"arguments": {"a": 2, "b": 3}})

    assert found.pop("latency_ms") >= 0
    assert found == {"tool": "add", "status": "ok", "result": "5", "error": None}
    (call,) = [record for record in caplog.records if record.getMessage() == "tool.invoke"]
    (trial,) = [record for record in caplog.records if record.getMessage() == "tool.tried"]
    assert (vars(call)["source"], vars(call)["status"]) == ("trial", "ok")
    assert (vars(trial)["tool"], vars(trial)["actor"]) == ("add", "master key")


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("add", {"arguments": {"a": 1, "b": "x"}}, "invalid", "b: 'x' is not of type 'integer'"),
        ("add", {}, "invalid", "'a' is a required property"),
        ("fail", {"arguments": {}}, "error", "the tool failed"),
    ],
)
def test_a_trial_that_fails_tells_what_a_model_would_be_told(
    admin: Caller, name: str, body: dict[str, Any], status: str, words: str
) -> None:
    for tool in (ADD, FAIL):
        admin.ok("POST", "/tools", tool)

    found = admin.ok("POST", f"/tools/{name}/test", body)

    assert (found["status"], found["result"]) == (status, None)
    assert words in found["error"]
    assert SECRET.encode() not in b"".join(admin.answers)


def test_a_tool_that_is_off_is_not_tried(admin: Caller) -> None:
    admin.ok("POST", "/tools", ADD | {"enabled": False})

    assert admin.ok("POST", "/tools/add/test", {})["status"] == "not_found"
    assert admin.refused("POST", "/tools/other/test", {})["status"] == 404
    assert admin.refused("POST", "/tools/add/test", {"arguments": []})["param"] == "arguments"


def test_tools_are_for_administrators(admin: Caller) -> None:
    admin.ok("POST", "/tools", ADD)
    traffic = admin.with_key(admin.ok("POST", "/key/generate", {})["key"])

    for method, path in (
        ("GET", "/tools"),
        ("POST", "/tools"),
        ("POST", "/tools/refresh"),
        ("GET", "/tools/add"),
        ("PATCH", "/tools/add"),
        ("DELETE", "/tools/add"),
        ("POST", "/tools/add/test"),
    ):
        assert traffic.refused(method, path)["status"] == 403
        assert admin.with_key(None).refused(method, path)["status"] == 401


def test_the_database_holds_no_other_rows(admin: Caller) -> None:
    admin.ok("POST", "/tools", ADD)
    admin.ok("POST", "/tools", ADD | {"name": "other"})
    wrong: list[dict[str, Any]] = [
        {"name": ""},
        {"kind": "mcp"},
        {"timeout_s": 0},
        {"timeout_s": 1e9},
        {"max_result_bytes": 1},
        {"name": "other"},
    ]

    for values in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            Tool.objects.filter(name="add").update(**values)


def test_a_change_is_one_version_of_one_section(admin: Caller, snapshots: SnapshotStore) -> None:
    before = dict(ConfigVersion.objects.values_list("section", "version"))

    admin.ok("POST", "/tools", ADD)

    after = dict(ConfigVersion.objects.values_list("section", "version"))
    assert {name for name in after if after[name] != before.get(name, 0)} == {"tools"}
    assert not connection.in_atomic_block or not snapshots.refresh()


def test_a_key_says_which_tools_it_may_use(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {"allowed_tools": ["crm_*", "add"]})

    assert made["allowed_tools"] == ["crm_*", "add"]
    assert policy_of(made["key_id"]) == ("crm_*", "add")
    assert admin.ok("GET", f"/key/info?key={made['key_id']}")["info"]["allowed_tools"] == ["crm_*", "add"]

    assert (
        admin.ok("POST", "/key/update", {"key": made["key_id"], "allowed_tools": ["x"]})["allowed_tools"]
    ) == ["x"]
    assert policy_of(made["key_id"]) == ("x",)
    for wrong in (["a", ""], ["x" * 201], ["x"] * 201):
        error = admin.refused("POST", "/key/update", {"key": made["key_id"], "allowed_tools": wrong})
        assert (error["status"], error["param"]) == (400, "allowed_tools")


def policy_of(key_id: str) -> tuple[str, ...]:
    """The tools of a key as this process knows it."""
    from gateway_project.core.ids import parse_public_id

    wanted = parse_public_id("key", key_id)
    keys = store.current.sections["security"].value.keys.values()
    (found,) = [one.policy.allowed_tools for one in keys if one.key_id == wanted]
    return tuple(found)


def test_an_agent_as_a_tool_is_tried_with_connections_of_its_own(
    admin: Caller, tmp_path: Path, settings: Any
) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Helper", "from agents import Agent\nagent = Agent(name='Helper')")
    with FakeVendor() as vendor:
        rows.model(rows.upstream("vendor", vendor.url))
        vendor.always(says("Not much."))
        assert [one["id"] for one in admin.ok("POST", "/agents/refresh")["data"]] == ["default/helper"]
        admin.ok("POST", "/tools", {"name": "ask", "kind": "agent", "config": {"agent": "default/helper"}})

        found = admin.ok("POST", "/tools/ask/test", {"arguments": {"input": "What is up?"}})

        assert (found["status"], found["result"]) == ("ok", "Not much.")
        assert vendor.requests[-1].json["messages"] == [{"role": "user", "content": "What is up?"}]
    ledger.flush_now()
    run = UsageRecord.objects.filter(kind="agent", model="default/helper").latest("id")
    (call,) = UsageRecord.objects.filter(parent_id=run.id)
    assert (run.key_name, call.kind) == ("master key", "llm")
