"""The rule by which the demo calls tools.

With `tool_choice` auto a tool fits if the last user message has its full name, or words that score 2: a word
of the name counts 2, one of the description 1, common words nothing. All tools named in full are called, in
the order of the message, else the best one. Each tool is called once for a user message, and after a result
only tools that are named, or whose name shares a word with the message that no called tool has; so each turn
ends in a text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.conversation import Conversation
from upstreams_app.demo.hints import Hints, name_words
from upstreams_app.demo.schema import make_instance
from upstreams_app.demo.schema_check import NoInstance
from upstreams_app.demo.tools import Tool, ToolPlan

MIN_SCORE: Final = 2
MAX_READ: Final = 4000
MAX_DESCRIPTION: Final = 1000
_COMMON: Final = frozenset(
    """
    about after agent all also and any are ask assistant call can data does find for from function
    get gets give given handle handles handoff has have help how into its list look make more not
    one out request return returns run set show take takes tell text than that the their them then
    there they this tool transfer use used user uses using value want was what when where which who
    will with you your
    """.split()  # noqa: SIM905 - Eighty words in quotes would be a page.
)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the demo makes; `arguments` is JSON text."""

    name: str
    arguments: str


def choose_calls(plan: ToolPlan, conversation: Conversation) -> list[ToolCall]:
    """The calls that the demo makes now; none means that it answers in text.

    Raises InvalidRequest if a call is demanded for whose schema no arguments are found.
    """
    if not plan.tools or plan.mode == "none":
        return []
    text = conversation.question.text[:MAX_READ]
    called = {call.name for call in conversation.calls_of_turn()}
    if plan.mode == "auto":
        chosen = _fitting(plan.tools, called, text)
    elif plan.mode == "named":
        chosen = [tool for tool in plan.tools if tool.name == plan.named][:1]
    else:
        rest = [tool for tool in plan.tools if tool.name not in called] or list(plan.tools)
        chosen = _fitting(tuple(rest), set(), text) or rest[:1]
    return _calls(chosen if plan.is_parallel else chosen[:1], plan, Hints(text))


def _calls(chosen: list[Tool], plan: ToolPlan, hints: Hints) -> list[ToolCall]:
    calls = []
    for tool in chosen:
        try:
            arguments = make_instance(tool.parameters or {"type": "object"}, hints, fill_optional=False)
        except NoInstance as error:
            if plan.mode == "auto":
                continue
            param = f"tools[{plan.tools.index(tool)}].function.parameters"
            raise InvalidRequest(
                f"Invalid schema for function '{tool.name}': {error}", param=param
            ) from error
        calls.append(ToolCall(tool.name, dumps(arguments if isinstance(arguments, dict) else {}).decode()))
    return calls


def _fitting(tools: tuple[Tool, ...], called: set[str], text: str) -> list[Tool]:
    rest = [tool for tool in tools if tool.name not in called]
    places = {tool.name: _place(tool.name, text) for tool in rest}
    named = [tool for tool in rest if places[tool.name] >= 0]
    if named:
        return sorted(named, key=lambda tool: places[tool.name])
    spoken = _content_words(text)
    if any(tool.name in called for tool in tools):
        # A tool that was called but is no longer offered led here (a handoff); it answered nothing.
        done = set().union(*(_content_words(tool.name) for tool in tools if tool.name in called))
        wanted = spoken - done
        rest = [tool for tool in rest if _content_words(tool.name) & wanted]
    score, best = max(
        ((_score(tool, spoken), tool) for tool in rest), key=lambda pair: pair[0], default=(0, None)
    )
    return [best] if best is not None and score >= MIN_SCORE else []


def _place(name: str, text: str) -> int:
    """Where the text has the full name, as it is or with spaces for its separators; -1 if nowhere."""
    spoken = re.sub(r"[_.-]+", " ", name).strip() or name
    found = re.search(rf"(?<!\w)(?:{re.escape(name)}|{re.escape(spoken)})(?!\w)", text, re.IGNORECASE)
    return found.start() if found else -1


def _score(tool: Tool, spoken: set[str]) -> int:
    in_name = _content_words(tool.name)
    in_description = _content_words(tool.description[:MAX_DESCRIPTION]) - in_name
    return 2 * len(in_name & spoken) + len(in_description & spoken)


def _content_words(text: str) -> set[str]:
    """The words that say something: three letters and more, without plural s, common words left out."""
    words = {word for word in name_words(text) if len(word) >= 3} - _COMMON
    return {word.removesuffix("s") if len(word) > 3 else word for word in words}
