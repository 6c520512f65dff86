"""POST /completions, the older endpoint: prompts as text or token numbers, answers as text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, zip_longest
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.catalogue import find_model
from upstreams_app.demo.chat_request import MAX_CHOICES, MAX_TOKENS, check_sampling
from upstreams_app.demo.choice import MAX_WRITTEN_TOKENS, Choice, Draft, limited, output_limit
from upstreams_app.demo.conversation import Conversation, Message
from upstreams_app.demo.fields import (
    JsonObject,
    check_token_numbers,
    parse_body,
    read_boolean,
    read_include_usage,
    read_integer,
    read_stop,
    wrong_type,
    wrong_value,
)
from upstreams_app.demo.talk import reply_to
from upstreams_app.demo.tokens import count_tokens, logprob_of, split_tokens, top_logprobs_of, usage_block
from upstreams_app.demo.wire import DemoAnswer, content_id, event_answer, json_answer

DEFAULT_MAX_TOKENS: Final = 16
MAX_PROMPTS: Final = 128


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer to one prompt: its tokens (after those of the prompt, if it is echoed)."""

    tokens: list[str]
    finish_reason: str


async def answer_completion(body: bytes) -> DemoAnswer:
    """Answer one completion request; raises GatewayError for wrong input."""
    fields = parse_body(body)
    model = find_model(fields.get("model"), "chat")
    is_stream = read_boolean(fields, "stream", default=False)
    has_usage_chunk = read_include_usage(fields, is_stream=is_stream)
    prompts = _read_prompts(fields)
    top = read_integer(fields, "logprobs", low=0, high=5)
    results, made = await _complete(fields, model.name, prompts, rivals=0 if top is None else 1 + top)
    usage = usage_block(count_tokens(*prompts), made)
    shared = {
        "id": content_id("cmpl-", body),
        "object": "text_completion",
        "created": int(time.time()),
        "model": model.name,
    }
    if is_stream:
        chunks = _chunks(shared, results, top, usage if has_usage_chunk else None)
        return event_answer(chunks, pause_s=model.pause_s)
    await asyncio.sleep(model.pause_s * made)
    choices = [
        _choice(index, result.tokens, top, 0, finish_reason=result.finish_reason)
        for index, result in enumerate(results)
    ]
    return json_answer({**shared, "choices": choices, "usage": usage})


async def _complete(
    fields: JsonObject, model: str, prompts: list[str], *, rivals: int
) -> tuple[list[Completion], int]:
    """All answers, and the number of tokens made for them."""
    check_sampling(fields)
    copies = read_integer(fields, "n", low=1, high=MAX_CHOICES) or 1
    max_tokens = read_integer(fields, "max_tokens", low=1, high=MAX_TOKENS) or DEFAULT_MAX_TOKENS
    has_echo = read_boolean(fields, "echo", default=False)
    stop = read_stop(fields)
    if has_echo and sum(map(len, prompts)) * copies * (1 + rivals) > MAX_WRITTEN_TOKENS:
        raise wrong_value("echo", "the prompts are too long to be repeated.")
    max_tokens = output_limit(max_tokens, answers=copies * len(prompts), rivals=rivals)
    results: list[Completion] = []
    made = 0
    for prompt in prompts:
        await asyncio.sleep(0)
        choice: Choice = limited(Draft("", _reply(model, prompt), ()), max_tokens=max_tokens, stop=stop)
        tokens = [*(split_tokens(prompt) if has_echo else ()), *(choice.content or ())]
        results += [Completion(tokens, choice.finish_reason)] * copies
        made += choice.tokens * copies
    return results, made


def _reply(model: str, prompt: str) -> str:
    if model == "echo":
        return prompt
    return reply_to(Conversation((Message("user", prompt, 0, (), "", ""),)))


def _read_prompts(fields: JsonObject) -> list[str]:
    """The `prompt` in each of its four forms; token numbers become words."""
    value: Any = fields.get("prompt")
    if value is None:
        raise InvalidRequest("Missing required parameter: 'prompt'.", param="prompt")
    if isinstance(value, list):
        check_token_numbers("prompt", value)
    items = value if isinstance(value, list) and not _is_token_list(value) else [value]
    if not 1 <= len(items) <= MAX_PROMPTS:
        raise InvalidRequest(f"'prompt' must hold 1 to {MAX_PROMPTS} prompts.", param="prompt")
    return [_read_prompt(item) for item in items]


def _read_prompt(item: Any) -> str:
    if isinstance(item, str):
        return item
    if _is_token_list(item):
        return " ".join(str(token) for token in item)
    raise wrong_type("prompt", "a string, an array of strings or of token numbers", item)


def _is_token_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    )


def _chunks(
    shared: JsonObject, results: list[Completion], top: int | None, usage: JsonObject | None
) -> Iterator[JsonObject]:
    more: JsonObject = {"usage": None} if usage else {}
    streams = [_choice_chunks(index, result, top) for index, result in enumerate(results)]
    for choice in chain.from_iterable(zip_longest(*streams)):
        if choice is not None:
            yield {**shared, "choices": [choice], **more}
    if usage:
        yield {**shared, "choices": [], "usage": usage}


def _choice_chunks(index: int, result: Completion, top: int | None) -> Iterator[JsonObject]:
    offset = 0
    for token in result.tokens:
        yield _choice(index, [token], top, offset, finish_reason=None)
        offset += len(token)
    yield _choice(index, [], None, offset, finish_reason=result.finish_reason)


def _choice(
    index: int, tokens: list[str], top: int | None, offset: int, *, finish_reason: str | None
) -> JsonObject:
    logprobs = None if top is None else _logprobs(tokens, top, offset)
    return {"text": "".join(tokens), "index": index, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprobs(tokens: list[str], top: int, offset: int) -> JsonObject:
    return {
        "tokens": tokens,
        "token_logprobs": [logprob_of(token) for token in tokens],
        "top_logprobs": [dict(top_logprobs_of(token, top)) for token in tokens],
        "text_offset": list(accumulate((len(token) for token in tokens[:-1]), initial=offset))[: len(tokens)],
    }
