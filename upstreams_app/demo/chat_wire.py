"""Choices in the wire form of chat completions: one object, or chunks that add up to the same message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Final

from upstreams_app.demo.choice import Choice
from upstreams_app.demo.tokens import logprob_of, top_logprobs_of

FINGERPRINT: Final = "fp_demo"
Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all chunks of one answer share; `call_id` is the start of its tool calls' ids."""

    id: str
    created: int
    model: str
    usage: Wire
    call_id: str
    top_logprobs: int | None

    def wrap(self, kind: str, choices: list[Wire], **more: Any) -> Wire:
        """An answer or a chunk around choices."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
            **more,
        }

    def logprobs(self, tokens: list[str]) -> Wire | None:
        """Invented log probabilities of content tokens, if the client wants some."""
        if self.top_logprobs is None:
            return None
        return {"content": [_token_logprob(token, self.top_logprobs) for token in tokens], "refusal": None}


def plain_chat(envelope: Envelope, choices: list[Choice]) -> Wire:
    """The whole answer as one object."""
    wires = [
        {
            "index": index,
            "message": _message(envelope, choice, index),
            "logprobs": envelope.logprobs(choice.content) if choice.content is not None else None,
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(choices)
    ]
    return envelope.wrap("chat.completion", wires, usage=envelope.usage)


def chat_chunks(envelope: Envelope, choices: list[Choice], *, has_usage_chunk: bool) -> Iterator[Wire]:
    """The answer as chunks, choices in turn; with a usage chunk at the end all others say `usage: null`."""
    more = {"usage": None} if has_usage_chunk else {}
    streams = [_choice_chunks(envelope, choice, index) for index, choice in enumerate(choices)]
    for wire in chain.from_iterable(zip_longest(*streams)):
        if wire is not None:
            yield envelope.wrap("chat.completion.chunk", [wire], **more)
    if has_usage_chunk:
        yield envelope.wrap("chat.completion.chunk", [], usage=envelope.usage)


def _message(envelope: Envelope, choice: Choice, index: int) -> Wire:
    content = None if choice.content is None else "".join(choice.content)
    message: Wire = {"role": "assistant", "content": content, "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.calls:
        message["tool_calls"] = [
            _call(envelope, index, order, name, "".join(arguments))
            for order, (name, arguments) in enumerate(choice.calls)
        ]
    return message


def _choice_chunks(envelope: Envelope, choice: Choice, index: int) -> Iterator[Wire]:
    for delta, tokens in _deltas(envelope, choice, index):
        logprobs = envelope.logprobs(tokens) if tokens else None
        yield {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
    yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.finish_reason}


def _deltas(envelope: Envelope, choice: Choice, index: int) -> Iterator[tuple[Wire, list[str]]]:
    """Each delta with the content tokens in it."""
    yield {"role": "assistant", "content": None if choice.content is None else "", "refusal": None}, []
    for token in choice.reasoning:
        yield {"reasoning_content": token}, []
    for token in choice.content or ():
        yield {"content": token}, [token]
    for order, (name, arguments) in enumerate(choice.calls):
        opening = _call(envelope, index, order, name, "")
        yield {"tool_calls": [{"index": order, **opening}]}, []
        for token in arguments:
            yield {"tool_calls": [{"index": order, "function": {"arguments": token}}]}, []


def _call(envelope: Envelope, choice: int, order: int, name: str, arguments: str) -> Wire:
    function = {"name": name, "arguments": arguments}
    return {"id": f"{envelope.call_id}{choice:02}{order:02}", "type": "function", "function": function}


def _token_logprob(token: str, top: int) -> Wire:
    rivals = [_probability(text, value) for text, value in top_logprobs_of(token, top)]
    return {**_probability(token, logprob_of(token)), "top_logprobs": rivals}


def _probability(token: str, value: float) -> Wire:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}
