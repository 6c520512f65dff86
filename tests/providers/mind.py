"""What every fake vendor "thinks": from what it was asked, in its own wire format, to what it says.

A fake reads its vendor's request into an `Asked`, and writes the `Said` in its vendor's answer. So what a
client gets at the end tells what arrived at the vendor: a field that was lost or put in the wrong place
changes the answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
End = Literal["end", "length", "stop", "calls", "refused"]
CITIES = ("Zürich", "Oslo", "Lima")
FORBIDDEN = "forbidden"
REFUSAL = "This is not for me to say."
CACHED_TOKENS = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the vendor understood it. `text` is the last user's; `media` are "<type> of <n> bytes".

    `results` are the tools' results in the last turn by the name of the tool that was called. `choice` is
    auto, none, any or a tool's name. `effort` is "" where the model is not to reason.
    """

    text: str
    system: str = ""
    history: tuple[str, ...] = ()
    results: tuple[tuple[str, str], ...] = ()
    media: tuple[str, ...] = ()
    tools: Mapping[str, Json] = field(default_factory=dict)
    choice: str = "auto"
    is_parallel: bool = True
    schema: Json | None = None
    effort: str = ""
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    has_cache_marker: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """What the model answers. `calls` are names and arguments; `input` holds `cached`, `output` `thought`."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, Json], ...] = ()
    end: End = "end"
    input: int = 0
    cached: int = 0
    output: int = 0
    thought: int = 0
    stop: str = ""


def think(asked: Asked) -> Said:
    """The answer to a request; always the same for the same."""
    reasoning = f"Thinking with {asked.effort} effort about: {asked.text}" if asked.effort else ""
    calls = _calls(asked)
    text = "" if calls else _text(asked)
    end: End = "calls" if calls else "end"
    if FORBIDDEN in asked.text:
        text, calls, end = REFUSAL, (), "refused"
    stop = next((mark for mark in asked.stop if mark in text), "")
    if stop:
        text, end = text.partition(stop)[0], "stop"
    words = text.split(" ")
    if asked.max_tokens is not None and len(words) > asked.max_tokens:
        text, end = " ".join(words[: asked.max_tokens]), "length"
    thought = len(reasoning.split())
    cached = CACHED_TOKENS if asked.has_cache_marker else 0
    return Said(
        text=text,
        reasoning=reasoning,
        calls=calls,
        end=end,
        input=len(asked.text.split()) + len(asked.system.split()) + cached,
        cached=cached,
        output=thought + len(text.split()) + 5 * len(calls),
        thought=thought,
        stop=stop,
    )


def _calls(asked: Asked) -> tuple[tuple[str, Json], ...]:
    """One call for each city that the text names, if there is a tool for it and no result as yet."""
    if not asked.tools or asked.results or asked.choice == "none":
        return ()
    name = asked.choice if asked.choice in asked.tools else next(iter(asked.tools))
    cities = [city for city in CITIES if city in asked.text]
    if not cities and asked.choice != "auto":
        cities = [CITIES[0]]
    return tuple((name, {"city": city}) for city in (cities if asked.is_parallel else cities[:1]))


def _text(asked: Asked) -> str:
    if asked.results:
        told = "; ".join(f"{name}: {text}" for name, text in asked.results)
        return f"The tools say {told}."
    if asked.schema is not None:
        return json.dumps(instance(asked.schema, asked.schema), ensure_ascii=False)
    said = f"You said: {asked.text}"
    if asked.media:
        said += f" I see {', '.join(asked.media)}."
    if asked.system:
        said = f"{asked.system} {said}"
    if asked.history:
        said += f" Before: {' | '.join(asked.history)}."
    return said


def instance(schema: Json, root: Json) -> Any:
    """The simplest value that a JSON schema allows."""
    if "$ref" in schema:
        target: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        return instance(target, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return instance(schema[name][0], root)
    kind = str(schema.get("type", "object")).lower()
    if kind == "object":
        return {name: instance(value, root) for name, value in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema.get("items", {"type": "string"}), root)]
    return {"string": CITIES[0], "integer": 21, "number": 21.5, "boolean": True, "null": None}[kind]
