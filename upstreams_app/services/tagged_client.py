"""Chats with models that think in tags (`thought_tags`): what they think goes into `reasoning_content`.

Which models those are, an upstream's options say; without any nothing here is ever used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway_project.core import sse
from gateway_project.core.codec import dumps_loosely, loads_loosely, split_object
from upstreams_app.kinds import THOUGHT_TAGS, THOUGHT_TAGS_OPENED
from upstreams_app.providers.wire import WireRequest
from upstreams_app.services.choices import CHAT
from upstreams_app.services.outbound import OutboundRequest, UpstreamAnswer, UpstreamClient
from upstreams_app.services.phases import Phases
from upstreams_app.services.provider_client import translated
from upstreams_app.services.thought_tags import Parted, ThoughtTags, part

Json = dict[str, Any]
_ALL: Final = "*"
_TRUE: Final = msgspec.Raw(b"true")
_MAX_CHOICES: Final = 128
_HEAD: Final = ("id", "object", "created", "model", "system_fingerprint")


def with_parted_thoughts(client: UpstreamClient, options: Mapping[str, Any]) -> UpstreamClient:
    """The client, or what parts the thoughts of the models that the options of its upstream name."""
    named = [frozenset(options.get(name, ())) for name in (THOUGHT_TAGS, THOUGHT_TAGS_OPENED)]
    return _TaggedClient(client, *named) if any(named) else client


class _TaggedClient:
    """As `UpstreamClient`. A model whose template opens the tag may close it alone."""

    def __init__(self, client: UpstreamClient, tagged: frozenset[str], opened: frozenset[str]) -> None:
        self._client = client
        self._tagged = tagged
        self._opened = opened

    @property
    def in_flight(self) -> int:
        return self._client.in_flight

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        answer = await self._client.post(path, body, phases=phases, credential=credential, model=model)
        is_opened = not self._opened.isdisjoint((model, _ALL))
        is_tagged = is_opened or not self._tagged.isdisjoint((model, _ALL))
        if not is_tagged or path != CHAT or not 200 <= answer.status < 300:
            return answer
        asked = split_object(body, is_lenient=True).get("stream")
        is_stream = asked == _TRUE and "json" not in answer.headers.get("Content-Type", "")
        return translated(answer, TaggedThoughts(is_opened=is_opened), is_stream=is_stream)

    async def relay(
        self, request: OutboundRequest, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        return await self._client.relay(request, phases=phases, credential=credential, model=model)

    async def close(self) -> None:
        await self._client.close()


class TaggedThoughts:
    """An answer of OpenAI's form, as an `Exchange` that moves the thoughts out of its text."""

    def __init__(self, *, is_opened: bool) -> None:
        self.request = WireRequest("", b"")
        self._is_opened = is_opened
        self._splitter = sse.EventSplitter()
        self._tags: dict[int, ThoughtTags] = {}
        self._head: Json = {}

    def answer(self, body: bytes) -> bytes:
        """As `Exchange.answer`."""
        fields = loads_loosely(body)
        for choice in _choices(fields):
            message = choice.get("message")
            if not isinstance(message, dict) or _is_parted(message):
                continue
            if isinstance(text := message.get("content"), str):
                _rewrite(message, part(text, is_opened=self._is_opened), is_whole=True)
        return dumps_loosely(fields)

    def feed(self, piece: bytes) -> bytes:
        """As `Exchange.feed`."""
        return self._events(self._splitter.feed(piece))

    def finish(self) -> bytes:
        """As `Exchange.finish`; whether the stream came to its end, its reader sees for himself."""
        return self._events(self._splitter.flush()) + self._held()

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """As `Exchange.error`."""
        return status, body

    def _events(self, block: bytes) -> bytes:
        return b"".join([self._event(event, data) for event, data in sse.iter_events(block)])

    def _event(self, event: bytes, data: bytes | None) -> bytes:
        text = data.strip() if data is not None else b""
        if not text:
            return event
        if text == b"[DONE]":
            return self._held() + event
        fields = loads_loosely(text)
        choices = list(_choices(fields))
        self._head = {name: fields[name] for name in _HEAD if name in fields}
        if not sum(self._changes(choice) for choice in choices):
            return event
        is_empty = all(choice.get("delta") == {} and not choice.get("finish_reason") for choice in choices)
        if is_empty and not fields.get("usage"):
            # All of it is held back.
            return b""
        return sse.event(dumps_loosely(fields))

    def _changes(self, choice: Json) -> bool:
        """Rewrite the delta of a choice; whether anything of it has changed."""
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return False
        tags = self._tags_of(choice.get("index", 0))
        if tags.is_answering:
            return False
        content = delta.get("content")
        parted = tags.feed(content) if isinstance(content, str) else Parted()
        if choice.get("finish_reason") or _is_parted(delta):
            # Who parts them himself leaves nothing to do.
            rest = tags.finish()
            parted = Parted(parted.thoughts + rest.thoughts, parted.answer + rest.answer)
        if parted == Parted(answer=content or ""):
            return False
        _rewrite(delta, parted, is_whole=False)
        return True

    def _tags_of(self, index: Any) -> ThoughtTags:
        tags = self._tags.get(index)
        if tags is None:
            if not isinstance(index, int) or len(self._tags) >= _MAX_CHOICES:
                raise ValueError("too many choices, or one without a number")
            tags = self._tags[index] = ThoughtTags(is_opened=self._is_opened)
        return tags

    def _held(self) -> bytes:
        """What is held back of choices that came to no end."""
        made = []
        for index, tags in self._tags.items():
            delta: Json = {}
            if not tags.is_answering and (rest := tags.finish()) != Parted():
                _rewrite(delta, rest, is_whole=False)
                choice = {"index": index, "delta": delta, "finish_reason": None}
                made.append(sse.event(dumps_loosely({**self._head, "choices": [choice]})))
        return b"".join(made)


def _choices(fields: Any) -> Iterator[Json]:
    """The choices of an answer, or of an event of its stream; none of an error."""
    choices = fields.get("choices") if isinstance(fields, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            yield choice


def _is_parted(message: Json) -> bool:
    """Whether the server has parted thoughts from the text by itself."""
    return bool(message.get("reasoning_content") or message.get("reasoning"))


def _rewrite(message: Json, parted: Parted, *, is_whole: bool) -> None:
    """A message, or a delta, with the text that was parted. Messages always say whether there is text."""
    message.pop("content", None)
    if parted.thoughts:
        message["reasoning_content"] = parted.thoughts
    if parted.answer:
        message["content"] = parted.answer
    elif is_whole:
        message["content"] = None if message.get("tool_calls") else ""
