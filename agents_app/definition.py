"""What a declared agent is made of, as plain data, and what its parts may hold.

Nothing here looks at the database or the SDK: whether targets, models and guardrails exist is for
services/links.py and services/definitions.py, and what they become for sdk/builder.py.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agents_app.output_schema import check_output_schema
from gateway_project.core.errors import InvalidRequest

HANDOFF = "handoff"
AS_TOOL = "as_tool"
LINK_KINDS = (HANDOFF, AS_TOOL)
MAX_DISPLAY_NAME = 200
MAX_DESCRIPTION = 2_000
MAX_INSTRUCTIONS = 100_000
MAX_LINKS = 32
MAX_TOOLS = 64
MAX_GUARDRAILS = 16
MAX_SETTINGS_CHARS = 10_000
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Link:
    """Another agent that an agent hands over to, or calls as a tool; `target` is its model id."""

    target: str
    kind: str
    tool_name: str = ""
    description: str = ""

    @property
    def name(self) -> str:
        """What the model calls it: the name that was given, else one made from the target's."""
        if self.tool_name:
            return self.tool_name
        own = self.target.rpartition("/")[2].replace("-", "_")
        return f"transfer_to_{own}" if self.kind == HANDOFF else own


@dataclass(frozen=True, slots=True)
class Definition:
    """All that makes a declared agent answer as it does; a version is one of these."""

    display_name: str = ""
    description: str = ""
    instructions: str = ""
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    guardrails: tuple[str, ...] = ()
    output_schema: dict[str, Any] | None = None
    output_strict: bool = False
    links: tuple[Link, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Its fields by their names."""
        return {name: getattr(self, name) for name in FIELDS}

    def text(self) -> str:
        """As JSON, which `of_image` reads."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def of_image(cls, image: Mapping[str, Any]) -> Definition:
        """The definition that an image holds; what an older image lacks is as nobody had set it."""
        values = {name: image[name] for name in FIELDS if name in image}
        for name in ("tools", "guardrails"):
            if name in values:
                values[name] = tuple(values[name])
        values["links"] = tuple(Link(**link) for link in image.get("links", ()))
        return cls(**values)

    @property
    def tool_names(self) -> list[str]:
        """What the model sees as tools: those of the registry, and a tool for each link."""
        return [*self.tools, *(link.name for link in self.links)]


FIELDS = tuple(Definition.__dataclass_fields__)


def check(definition: Definition) -> None:
    """InvalidRequest names the first field that can't be as it is."""
    _check_length("display_name", definition.display_name, MAX_DISPLAY_NAME)
    _check_length("description", definition.description, MAX_DESCRIPTION)
    _check_length("instructions", definition.instructions, MAX_INSTRUCTIONS)
    _check_names("tools", definition.tools, MAX_TOOLS)
    _check_names("guardrails", definition.guardrails, MAX_GUARDRAILS)
    _check_links(definition.links)
    _check_tool_names(definition)
    _check_settings(definition)
    if definition.output_schema is not None:
        check_output_schema(definition.output_schema, is_strict=definition.output_strict)
    elif definition.output_strict:
        raise InvalidRequest("'output_strict' needs an 'output_schema'.", param="output_strict")


def _check_length(name: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidRequest(f"'{name}' may have at most {limit} characters.", param=name)


def _check_names(name: str, given: tuple[str, ...], limit: int) -> None:
    if len(given) > limit:
        raise InvalidRequest(f"'{name}' may have at most {limit} names.", param=name)
    for number, one in enumerate(given):
        if not TOOL_NAME.fullmatch(one):
            raise InvalidRequest(f"'{one[:200]}' is no name.", param=f"{name}[{number}]")
    if twice := [one for one, count in Counter(given).items() if count > 1]:
        raise InvalidRequest(f"'{twice[0]}' is there twice.", param=name)


def _check_links(links: tuple[Link, ...]) -> None:
    if len(links) > MAX_LINKS:
        raise InvalidRequest(f"An agent may have at most {MAX_LINKS} links.", param="links")
    seen = set()
    for number, link in enumerate(links):
        where = f"links[{number}]"
        if link.kind not in LINK_KINDS:
            raise InvalidRequest(f"'{where}.kind' must be handoff or as_tool.", param=f"{where}.kind")
        if (link.target, link.kind) in seen:
            raise InvalidRequest(f"There are two such links to '{link.target}'.", param=where)
        seen.add((link.target, link.kind))
        if len(link.description) > MAX_DESCRIPTION:
            message = f"'{where}.description' may have at most {MAX_DESCRIPTION} characters."
            raise InvalidRequest(message, param=f"{where}.description")
        if not TOOL_NAME.fullmatch(link.name):
            message = f"Give a tool name of 1 to 64 letters, digits, '_' or '-' for '{link.target}'."
            raise InvalidRequest(message, param=f"{where}.tool_name")


def _check_tool_names(definition: Definition) -> None:
    """A model tells tools apart by their names, whatever is behind them."""
    names = Counter(definition.tool_names)
    for number, link in enumerate(definition.links):
        if names[link.name] > 1:
            message = f"The agent has another tool '{link.name}'; give this one another tool name."
            raise InvalidRequest(message, param=f"links[{number}].tool_name")


def _is_number(low: float, high: float) -> Callable[[Any], bool]:
    def check_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return check_number


def _is_integer(low: int, high: int) -> Callable[[Any], bool]:
    def check_integer(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return check_integer


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64


def _is_verbosity(value: Any) -> bool:
    return value in ("low", "medium", "high")


def _is_stop(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return 0 < len(texts) <= 4 and all(isinstance(one, str) and one for one in texts)


# What each setting must be, in words and as a function.
SETTINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "temperature": ("a number from 0 to 2", _is_number(0, 2)),
    "top_p": ("a number from 0 to 1", _is_number(0, 1)),
    "frequency_penalty": ("a number from -2 to 2", _is_number(-2, 2)),
    "presence_penalty": ("a number from -2 to 2", _is_number(-2, 2)),
    "max_tokens": ("an integer from 1 to 10000000", _is_integer(1, 10_000_000)),
    "parallel_tool_calls": ("true or false", _is_flag),
    "tool_choice": ("auto, none, required or the name of a tool", _is_word),
    "reasoning_effort": ("a word", _is_word),
    "verbosity": ("low, medium or high", _is_verbosity),
    "seed": ("an integer", _is_integer(-(2**63), 2**63 - 1)),
    "stop": ("a text or an array of at most 4 texts", _is_stop),
    "service_tier": ("a word", _is_word),
}
_NEED_TOOLS = ("parallel_tool_calls", "tool_choice")


def _check_settings(definition: Definition) -> None:
    settings, names = definition.settings, definition.tool_names
    if len(json.dumps(settings)) > MAX_SETTINGS_CHARS:
        raise InvalidRequest("'settings' is too large.", param="settings")
    for name, value in settings.items():
        where = f"settings.{name}"
        if name not in SETTINGS:
            known = ", ".join(SETTINGS)
            raise InvalidRequest(f"There is no setting '{name[:100]}'; there are {known}.", param="settings")
        what, is_right = SETTINGS[name]
        if not is_right(value):
            raise InvalidRequest(f"'{where}' must be {what}.", param=where)
        if name in _NEED_TOOLS and not names:
            raise InvalidRequest(f"'{where}' needs tools or links.", param=where)
    choice = settings.get("tool_choice", "auto")
    if choice not in ("auto", "none", "required", *names):
        where = "settings.tool_choice"
        raise InvalidRequest(f"'{where}' must be {SETTINGS['tool_choice'][0]}.", param=where)
