"""Answers in OpenAI's form, for providers that have another: a whole one, or the chunks of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gateway_project.core import sse
from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps, dumps_loosely
from gateway_project.core.ids import uuid7

Json = dict[str, Any]
STOP: Final = "stop"
LENGTH: Final = "length"
TOOL_CALLS: Final = "tool_calls"
CONTENT_FILTER: Final = "content_filter"


@dataclass(slots=True)
class Usage:
    """Tokens as OpenAI counts them: `input` holds those of the cache as well, `output` those of reasoning.

    Of what is written to a cache, `cache_written_1h` is kept for an hour. `service_tier` is a way of service
    with prices of its own, "" for the usual one.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_written: int = 0
    reasoning: int | None = None
    input_audio: int = 0
    output_audio: int = 0
    cache_written_1h: int = 0
    input_image: int = 0
    output_image: int = 0
    service_tier: str = ""

    def wire(self) -> Json:
        """The `usage` object. `cache_creation_…` are LiteLLM's names, which the ledger prices as well."""
        details: Json = {"cached_tokens": self.cached}
        if self.cache_written:
            details["cache_creation_tokens"] = self.cache_written
        if self.cache_written_1h:
            details["cache_creation_token_details"] = {
                "ephemeral_5m_input_tokens": self.cache_written - self.cache_written_1h,
                "ephemeral_1h_input_tokens": self.cache_written_1h,
            }
        if self.input_audio:
            details["audio_tokens"] = self.input_audio
        if self.input_image:
            details["image_tokens"] = self.input_image
        wire: Json = {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": details,
        }
        output_details: Json = {}
        if self.reasoning is not None:
            output_details["reasoning_tokens"] = self.reasoning
        if self.output_audio:
            output_details["audio_tokens"] = self.output_audio
        if self.output_image:
            output_details["image_tokens"] = self.output_image
        if output_details:
            wire["completion_tokens_details"] = output_details
        return wire


@dataclass(slots=True)
class Message:
    """What a model said, as it is put together. `thinking` are the vendor's own blocks, for the next turn.

    `stop` is the stop sequence that ended it, where the vendor tells.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[Json] = field(default_factory=list)
    thinking: list[Json] = field(default_factory=list)
    annotations: list[Json] = field(default_factory=list)
    stop: str = ""
    images: list[Json] = field(default_factory=list)

    def call(self, call_id: str, name: str, arguments: Json | str) -> None:
        """One more call of a tool."""
        text = arguments if isinstance(arguments, str) else dumps_loosely(arguments).decode()
        function = {"name": name, "arguments": text}
        self.calls.append({"id": call_id, "type": "function", "function": function})

    def wire(self) -> Json:
        """The `message` object."""
        content = self.text if self.text or not self.calls else None
        wire: Json = {"role": "assistant", "content": content, "refusal": self.refusal or None}
        if self.reasoning:
            wire["reasoning_content"] = self.reasoning
        if self.thinking:
            wire["thinking_blocks"] = self.thinking
        if self.images:
            wire["images"] = self.images
        if self.annotations:
            wire["annotations"] = self.annotations
        if self.calls:
            wire["tool_calls"] = self.calls
        return wire


def completion(answer_id: str, model: str, choices: list[tuple[Message, str]], usage: Usage | None) -> bytes:
    """A whole answer: each choice is a message and its finish reason."""
    wires = [
        {"index": index, "message": message.wire(), "logprobs": None, **_ending(reason, message.stop)}
        for index, (message, reason) in enumerate(choices)
    ]
    body: Json = {**_head(answer_id, model, "chat.completion"), "choices": wires}
    if usage is not None:
        body["usage"] = usage.wire()
        if usage.service_tier:
            body["service_tier"] = usage.service_tier
    return dumps_loosely(body)


def _ending(reason: str | None, stop: str = "") -> Json:
    """Why it ended; `stop_reason` is vLLM's name for the stop sequence."""
    return {"finish_reason": reason, "stop_reason": stop} if stop else {"finish_reason": reason}


def _head(answer_id: str, model: str, kind: str) -> Json:
    return {
        "id": answer_id or f"chatcmpl-{uuid7().hex}",
        "object": kind,
        "created": int(utc_now().timestamp()),
        "model": model,
    }


class Chunks:
    """The events of one stream. Calls of tools are numbered in the order in which they begin.

    Usage comes in a last chunk without choices, always: the relay drops it where nobody asked.
    """

    def __init__(self, model: str) -> None:
        self._head = _head("", model, "chat.completion.chunk")
        self._has_role = False
        self._calls = -1

    def begin(self, answer_id: str) -> None:
        """The vendor's own id for the answer, before the first chunk."""
        if answer_id:
            self._head["id"] = answer_id

    def text(self, text: str) -> bytes:
        """A piece of the answer."""
        return self._delta({"content": text}) if text else b""

    def reasoning(self, text: str) -> bytes:
        """A piece of what the model thinks."""
        return self._delta({"reasoning_content": text}) if text else b""

    def thinking(self, block: Json) -> bytes:
        """A whole block of the vendor's reasoning, with the signature that the next turn needs."""
        return self._delta({"thinking_blocks": [block]})

    def image(self, image: Json) -> bytes:
        """A whole picture that the model made (`image_part`)."""
        return self._delta({"images": [image]})

    def refusal(self, text: str) -> bytes:
        """Why there is no answer, or no more of it."""
        return self._delta({"refusal": text}) if text else b""

    def call(self, call_id: str, name: str, arguments: str = "") -> bytes:
        """A call of a tool begins; `arguments` is what is known of them."""
        self._calls += 1
        function = {"name": name, "arguments": arguments}
        wire = {"index": self._calls, "id": call_id, "type": "function", "function": function}
        return self._delta({"tool_calls": [wire]})

    def arguments(self, text: str) -> bytes:
        """More of the arguments of the call that began last."""
        if not text:
            return b""
        return self._delta({"tool_calls": [{"index": self._calls, "function": {"arguments": text}}]})

    def finish(self, reason: str, stop: str = "") -> bytes:
        """The finish reason, and the stop sequence if it was one."""
        return self._event({} if self._has_role else {"role": "assistant", "content": ""}, reason, stop)

    def end(self, usage: Usage | None) -> bytes:
        """Usage, if it is known, and `[DONE]`."""
        if usage is None:
            return sse.DONE
        tier = {"service_tier": usage.service_tier} if usage.service_tier else {}
        return sse.event(dumps({**self._head, **tier, "choices": [], "usage": usage.wire()})) + sse.DONE

    def error(self, error: Json) -> bytes:
        """The vendor's error in the middle of a stream, as OpenAI's error object."""
        return sse.event(dumps_loosely({"error": error}))

    def _delta(self, delta: Json) -> bytes:
        if not self._has_role:
            self._has_role = True
            delta = {"role": "assistant", **delta}
        return self._event(delta, None)

    def _event(self, delta: Json, reason: str | None, stop: str = "") -> bytes:
        self._has_role = True
        choice = {"index": 0, "delta": delta, "logprobs": None, **_ending(reason, stop)}
        return sse.event(dumps_loosely({**self._head, "choices": [choice]}))


def image_part(media_type: str, data: str) -> Json:
    """A picture in `images`, which OpenAI's chat has not; OpenRouter and LiteLLM call it so."""
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


def error_object(message: str, *, code: str | None = None, param: str | None = None, kind: str = "") -> Json:
    """An OpenAI error object, as an upstream would send it."""
    return {"message": message, "type": kind or "upstream_error", "param": param, "code": code}


def refusal(status: int, error: Json) -> tuple[int, bytes]:
    """What `Exchange.error` returns."""
    return status, dumps_loosely({"error": error})
