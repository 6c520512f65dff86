"""A request as each kind of target takes it.

Vendors with a wire format of their own get all that Anthropic's request said. OpenAI's wire has no cache
markers, no signed thoughts, no images in the results of tools and no error flag there: what has a meaning is
said in another way, and what only saves money is left out.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Final

import msgspec

from gateway_project.api.anthropic.checks import Json, unsupported
from gateway_project.core.codec import RawFields, dumps_loosely, split_object
from upstreams_app.kinds import AZURE, KINDS
from upstreams_app.registry import Target

_ERROR: Final = "Error: "
_ASK_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')
# Of Anthropic's alone; OpenAI's servers refuse what they don't know.
_OWN: Final = ("thinking", "cache_control", "speed", "inference_geo")
_OPENAIS: Final = frozenset({"openai", AZURE})


class Fields:
    """The members of one request, for whoever serves it."""

    def __init__(self, fields: Json) -> None:
        self._fields = fields
        self._made: dict[str, RawFields] = {}

    def for_agent(self) -> RawFields:
        """As OpenAI's clients ask agents."""
        return self._kept("agent", openai_fields(self._fields))

    def for_target(self, target: Target) -> RawFields:
        """For an upstream; InvalidRequest names what it has nothing for."""
        kind = target.upstream.kind
        if not KINDS[kind].provider:
            form = "openai" if kind in _OPENAIS else "compatible"
        elif "claude" in target.model.lower() or kind == "anthropic":
            if kind != "anthropic":
                _refuse_region(self._fields)
            form = "anthropic"
        else:
            form = "vendor"
        made = self._made.get(form)
        if made is None:
            made = self._kept(form, self._form(form))
        if "stream" in made and target.upstream.asks_stream_usage:
            return {**made, "stream_options": _ASK_USAGE}
        return dict(made)

    def _kept(self, form: str, fields: Json) -> RawFields:
        made = self._made[form] = split_object(dumps_loosely(fields))
        return made

    def _form(self, form: str) -> Json:
        if form == "anthropic":
            # For Claude nothing is lost.
            return self._fields
        if form == "vendor":
            return _vendor_fields(self._fields)
        made = openai_fields(self._fields)
        if form == "openai":
            # Its models that reason take no other; other servers may know only the older name.
            made["max_completion_tokens"] = made.pop("max_tokens")
        return made


def _vendor_fields(fields: Json) -> Json:
    """For other vendors' own formats, which have efforts instead of Anthropic's `thinking`."""
    _refuse_region(fields)
    made = {name: value for name, value in fields.items() if name not in _OWN}
    if effort := _effort(fields):
        made["reasoning_effort"] = effort
    made["messages"] = [_marked(message) for message in fields["messages"]]
    return made


def _marked(message: Json) -> Json:
    """A failed tool's result that says so in its text."""
    if not message.get("is_error"):
        return message
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    made = {name: value for name, value in message.items() if name != "is_error"}
    return {**made, "content": [{"type": "text", "text": _ERROR}, *parts]}


def openai_fields(fields: Json) -> Json:
    """For whoever speaks OpenAI's wire format."""
    _refuse_region(fields)
    made = {name: value for name, value in fields.items() if name not in _OWN}
    if effort := _effort(fields):
        made["reasoning_effort"] = effort
    made["messages"] = _openai_messages(fields["messages"])
    if "tools" in fields:
        made["tools"] = [_bare(tool) for tool in fields["tools"]]
    return made


def _refuse_region(fields: Json) -> None:
    """Where data may be processed is nothing to pass over."""
    if fields.get("inference_geo") not in (None, "global"):
        raise unsupported("inference_geo", "what serves this model can't be told where to run.")


def _effort(fields: Json) -> str:
    """The effort that was asked for; a budget of thoughts stands for one."""
    effort: str = fields.get("reasoning_effort", "")
    thinking = fields.get("thinking", {})
    if not effort and thinking.get("type") == "enabled":
        budget = thinking["budget_tokens"]
        effort = "low" if budget <= 4096 else "medium" if budget <= 16_384 else "high"
    return "high" if effort == "max" else effort


def _bare(value: Json) -> Json:
    return {name: item for name, item in value.items() if name != "cache_control"}


def _openai_messages(messages: list[Json]) -> list[Json]:
    made: list[Json] = []
    shown: list[Json] = []
    for message in messages:
        role = message["role"]
        if role == "tool":
            text, media = _result(message)
            made.append({"role": "tool", "tool_call_id": message["tool_call_id"], "content": text})
            shown += media
            continue
        if shown and role != "user":
            made.append({"role": "user", "content": shown})
            shown = []
        if role == "assistant":
            made.append(_assistant(message))
        elif role == "system":
            made.append({"role": "system", "content": _joined(message["content"], "\n\n")})
        else:
            made.append({"role": "user", "content": _user(message["content"], shown)})
            shown = []
    return [*made, {"role": "user", "content": shown}] if shown else made


def _joined(content: str | list[Json], separator: str) -> str:
    return content if isinstance(content, str) else separator.join(part["text"] for part in content)


def _assistant(message: Json) -> Json:
    content = message["content"]
    made: Json = {"role": "assistant", "content": None if content is None else _joined(content, "")}
    if "tool_calls" in message:
        made["tool_calls"] = [_bare(call) for call in message["tool_calls"]]
    return made


def _user(content: str | list[Json], shown: list[Json]) -> str | list[Json]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    made = [*shown, *(_part(part) for part in parts)]
    return str(made[0]["text"]) if len(made) == 1 and made[0]["type"] == "text" else made


def _result(message: Json) -> tuple[str, list[Json]]:
    """A result's text, and what else it holds: only the user can show that."""
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    made = [_part(part) for part in parts]
    text = "\n".join(part["text"] for part in made if part["type"] == "text")
    return (_ERROR + text if message.get("is_error") else text), [p for p in made if p["type"] != "text"]


def _part(part: Json) -> Json:
    """A part without its marker. A file needs a name, and one that is text is text."""
    if part["type"] != "file":
        return _bare(part)
    data, name = part["file"]["file_data"], part["file"].get("filename", "")
    head, _, encoded = data.partition(",")
    if head.startswith("data:text/"):
        body = b64decode(encoded).decode("utf-8", "replace")
        return {"type": "text", "text": f"{name}\n\n{body}" if name else body}
    return {"type": "file", "file": {"filename": name or "document.pdf", "file_data": data}}
