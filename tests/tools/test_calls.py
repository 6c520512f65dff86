"""The one door to tools: who may call what, with which arguments, for how long, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from gateway_project.core.ids import public_id
from gateway_project.observability import metrics
from tests.tools import functions
from tests.tools.setup import MODULES, call, context, entry, schema
from tools_app.errors import ToolError
from tools_app.services.call import call_tool

pytestmark = pytest.mark.asyncio
NUMBERS = schema(a="integer", b="integer")


@pytest.fixture(autouse=True)
def modules(settings: Any) -> None:
    """The functions of tests may be called."""
    settings.TOOL_MODULES = MODULES


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The lines of calls in the log."""
    return [record for record in caplog.records if record.getMessage() == "tool.invoke"]


async def test_a_function_gets_its_arguments_as_keywords() -> None:
    assert await call(entry("add", parameters=NUMBERS), {"a": 2, "b": 3}) == "5"


async def test_arguments_come_as_json_text_too() -> None:
    assert await call(entry("add", parameters=NUMBERS), '{"a": 2, "b": 3}') == "5"


async def test_an_async_function_runs_and_its_result_is_json() -> None:
    assert await call(entry("greet", parameters=schema(name="string")), {"name": "Zoë"}) == (
        '{"greeting": "Hello Zoë"}'
    )


async def test_a_blocking_function_runs_in_a_thread_of_its_own_pool() -> None:
    assert (await call(entry("thread_name"))).startswith("python-tool")


async def test_a_function_of_arguments_and_context_gets_both() -> None:
    tool = entry("whoami", parameters={"type": "object"})
    request = context(tool)

    found = await call_tool(request, "whoami", {"x": 1}, call_id="call_1", agent="default/clerk")

    request_id = public_id("req", request.request_id)
    assert found == (
        f'{{"given": {{"x": 1}}, "tool": "whoami", "agent": "default/clerk", "request": "{request_id}"}}'
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"a": 1}, "'b' is a required property"),
        ({"a": 1, "b": "x"}, "b: 'x' is not of type 'integer'"),
        ({"a": 1, "b": None}, "b: None is not of type 'integer'"),
        ("[1]", "must be a JSON object"),
        ("{", "not valid JSON"),
        ('"' + "x" * 256 * 1024 + '"', "too long"),
    ],
)
async def test_wrong_arguments_are_told_by_member_and_never_reach_the_tool(
    arguments: Any, words: str
) -> None:
    with pytest.raises(ToolError, match=words) as caught:
        await call(entry("add", parameters=NUMBERS), arguments)

    assert caught.value.status == "invalid"
    assert len(caught.value.message) < 320


async def test_a_schema_refers_to_its_own_definitions() -> None:
    parameters = {
        "type": "object",
        "properties": {"name": {"$ref": "#/$defs/name"}},
        "$defs": {"name": {"type": "string", "minLength": 2}},
    }

    with pytest.raises(ToolError, match="name: 'x' is too short"):
        await call(entry("greet", parameters=parameters), {"name": "x"})


async def test_a_tool_that_nobody_registered_is_not_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    with pytest.raises(ToolError, match="there is no tool 'other'") as caught:
        await call_tool(context(entry("add")), "other", {}, call_id="call_1")

    assert caught.value.status == "not_found"
    (line,) = told(caplog)
    assert (line.tool, line.kind, line.status) == ("other", "", "not_found")


@pytest.mark.parametrize("allowed", [(), ("add",), ("a*",), ("x", "*")])
async def test_a_key_may_use_what_its_patterns_name(allowed: tuple[str, ...]) -> None:
    assert await call(entry("add", parameters=NUMBERS), {"a": 1, "b": 1}, allowed=allowed) == "2"


@pytest.mark.parametrize("allowed", [("ad",), ("b*",), ("Add",), ("add ",)])
async def test_a_key_may_not_use_what_none_of_its_patterns_name(allowed: tuple[str, ...]) -> None:
    with pytest.raises(ToolError, match="this key may not use the tool 'add'") as caught:
        await call(entry("add", parameters=NUMBERS), {"a": 1, "b": 1}, allowed=allowed)

    assert caught.value.status == "denied"


@pytest.mark.parametrize("name", ["fail", "leave", "stop_iteration", "cancel_itself", "time_out_itself"])
async def test_what_a_tool_says_of_its_failure_is_for_the_log_alone(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ToolError) as caught:
        await call(entry(name))

    assert (caught.value.message, caught.value.status) == ("the tool failed", "error")
    (failed,) = [record for record in caplog.records if record.getMessage() == "tool.failed"]
    assert failed.exc_info is not None


async def test_a_call_ends_at_its_time_limit_and_cancels_the_tool() -> None:
    with pytest.raises(ToolError, match=r"did not answer within 0\.1 s") as caught:
        await call(entry("wait_for_ever", timeout_s=0.1))

    assert caught.value.status == "timeout"
    assert functions.ended.is_set()


async def test_a_thread_that_goes_on_holds_up_nobody() -> None:
    with pytest.raises(ToolError, match="did not answer"):
        await call(entry("block", parameters=schema(seconds="number"), timeout_s=0.05), {"seconds": 0.4})

    assert await call(entry("add", parameters=NUMBERS), {"a": 1, "b": 1}) == "2"


async def test_a_cancelled_call_cancels_its_tool(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    functions.ended.set()
    running = asyncio.create_task(call(entry("wait_for_ever")))
    while functions.ended.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert functions.ended.is_set()
    assert told(caplog)[0].status == "cancelled"


@pytest.mark.parametrize(("times", "is_cut"), [(64, False), (65, True), (1000, True)])
async def test_a_result_is_cut_at_the_limit_with_a_mark(times: int, is_cut: bool) -> None:
    tool = entry("repeat", parameters=schema(text="string", times="integer"), max_result_bytes=64)

    found = await call(tool, {"text": "x", "times": times})

    assert found == ("x" * 64 + "\n[The result was cut after 64 bytes.]" if is_cut else "x" * 64)


async def test_a_cut_leaves_no_half_of_a_character() -> None:
    tool = entry("repeat", parameters=schema(text="string", times="integer"), max_result_bytes=64)

    assert (await call(tool, {"text": "a€", "times": 40})).startswith("a€" * 16 + "\n[")


async def test_a_call_is_told_without_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tool = entry("greet", parameters=schema(name="string"))
    before = counted()

    await call(tool, {"name": "confidential"})

    (line,) = told(caplog)
    assert (line.tool, line.kind, line.source, line.status) == ("greet", "python", "gateway", "ok")
    assert (line.agent, line.latency_ms >= 0, line.request_id[:4]) == ("default/x", True, "req_")
    assert "confidential" not in str([vars(record) for record in caplog.records])
    assert counted() == before + 1


def counted() -> float:
    """Calls of greet so far that went well."""
    rows = metrics.numbers.dump()
    wanted = ["greet", "python", "gateway", "ok"]
    return sum(values[0] for name, labels, values in rows if (name, labels) == ("tool_invocations", wanted))


async def test_six_calls_at_once_are_kept_apart() -> None:
    tool = entry("echo", parameters=schema(value="string"))

    found = await asyncio.gather(*[call(tool, {"value": f"{number}"}) for number in range(6)])

    assert found == [f"echo {number}" for number in range(6)]
