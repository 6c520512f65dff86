"""Servers of OpenAI's format that ignore some members of its chats: what they mean comes about otherwise.

Whatever such a server can't do is refused by name: it would answer as if nothing had been asked.
"""

from __future__ import annotations

from typing import Any

from gateway_project.core import sse
from gateway_project.core.codec import dumps_loosely, loads, loads_loosely
from gateway_project.core.errors import InvalidRequest
from upstreams_app.kinds import KINDS
from upstreams_app.providers.wire import WireRequest
from upstreams_app.registry import UpstreamConfig
from upstreams_app.services.choices import CHAT, ask_together, shared_phases, single_requests, wanted_choices
from upstreams_app.services.client import HttpClient
from upstreams_app.services.outbound import UpstreamAnswer
from upstreams_app.services.phases import Phases
from upstreams_app.services.provider_client import translated

Json = dict[str, Any]


class LocalClient(HttpClient):
    """As `HttpClient`. A request without any such member costs nothing but the look for their names."""

    def __init__(self, config: UpstreamConfig) -> None:
        super().__init__(config)
        kind = KINDS[config.kind]
        self._label, self._lacks = kind.label, kind.lacks
        self._marks = [f'"{name}"'.encode() for name in kind.lacks]

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        """As `UpstreamClient.post`; InvalidRequest for what the server has nothing for."""
        if path != CHAT or not any(mark in body for mark in self._marks):
            return await super().post(path, body, phases=phases, credential=credential, model=model)
        try:
            fields: Json = loads_loosely(body)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("The body has a number too large, or is nested too deeply.") from error
        wanted = wanted_choices(fields)
        fields = fitted(fields, self._lacks, self._label)
        if wanted == 1:
            return await super().post(
                path, dumps_loosely(fields), phases=phases, credential=credential, model=model
            )
        is_stream = fields.get("stream") is True
        return await ask_together(
            [
                self._one(dumps_loosely(request), one, credential, is_stream=is_stream)
                for request, one in zip(
                    single_requests(fields, wanted), shared_phases(phases, wanted), strict=True
                )
            ],
            is_stream=is_stream,
        )

    async def _one(self, body: bytes, phases: Phases, credential: str, *, is_stream: bool) -> UpstreamAnswer:
        answer = await super().post(CHAT, body, phases=phases, credential=credential)
        return translated(answer, _Checked(), is_stream=is_stream)


def fitted(fields: Json, lacks: frozenset[str], label: str) -> Json:
    """A chat in the members that a server reads; InvalidRequest names what they can't say."""
    given = {name for name in lacks & fields.keys() if fields[name] is not None}
    kept = {name: value for name, value in fields.items() if name not in lacks}
    if "max_completion_tokens" in given:
        # The older name for it, which is for all models there.
        kept["max_tokens"] = fields["max_completion_tokens"]
    if "reasoning_content" in lacks and isinstance(messages := kept.get("messages"), list):
        kept["messages"] = [_with_their_name(message) for message in messages]
    if "tool_choice" in given and fields["tool_choice"] != "auto":
        if fields["tool_choice"] != "none":
            raise _nothing(label, "tool_choice")
        kept.pop("tools", None)
    if "parallel_tool_calls" in given and fields["parallel_tool_calls"] is not True and kept.get("tools"):
        raise _nothing(label, "parallel_tool_calls")
    for name in ("logit_bias", "logprobs", "top_logprobs"):
        if name in given and fields[name]:
            raise _nothing(label, name)
    if "modalities" in given and fields["modalities"] != ["text"]:
        raise _nothing(label, "modalities")
    for name in ("audio", "web_search_options"):
        if name in given:
            raise _nothing(label, name)
    return kept


def _with_their_name(message: Any) -> Any:
    """An assistant's thoughts under the name that the server reads, too."""
    thoughts = message.get("reasoning_content") if isinstance(message, dict) else None
    return {"reasoning": thoughts, **message} if isinstance(thoughts, str) else message


def _nothing(label: str, name: str) -> InvalidRequest:
    return InvalidRequest(f"{label} has nothing for '{name}'.", param=name, code="unsupported_parameter")


class _Checked:
    """An answer of OpenAI's form that stays as it is, once it is certain to have that form."""

    def __init__(self) -> None:
        self.request = WireRequest("", b"")
        self._splitter = sse.EventSplitter()

    def answer(self, body: bytes) -> bytes:
        """As `Exchange.answer`."""
        _check(body, ("choices",))
        return body

    def feed(self, piece: bytes) -> bytes:
        """As `Exchange.feed`."""
        return self._events(self._splitter.feed(piece))

    def finish(self) -> bytes:
        """As `Exchange.finish`; who joins streams sees for himself which has come to an end."""
        return self._events(self._splitter.flush())

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """As `Exchange.error`."""
        return status, body

    def _events(self, block: bytes) -> bytes:
        for _, data in sse.iter_events(block):
            if data is not None and data != b"[DONE]":
                _check(data, ("choices", "error"))
        return block


def _check(text: bytes, names: tuple[str, ...]) -> None:
    fields = loads(text)
    if not isinstance(fields, dict) or not any(isinstance(fields.get(name), list | dict) for name in names):
        raise ValueError("no answer of OpenAI's form")
