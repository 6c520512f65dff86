"""POST /chat/completions: draft an answer, send it at once or as a stream."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.chat_request import ChatRequest, read_chat_request
from upstreams_app.demo.chat_wire import Envelope, chat_chunks, plain_chat
from upstreams_app.demo.choice import Choice, Draft, limited, output_limit
from upstreams_app.demo.fields import parse_body
from upstreams_app.demo.hints import Hints
from upstreams_app.demo.schema import make_instance
from upstreams_app.demo.schema_check import NoInstance
from upstreams_app.demo.talk import reply_to, thoughts_on
from upstreams_app.demo.tokens import usage_block
from upstreams_app.demo.tool_calls import choose_calls
from upstreams_app.demo.wire import DemoAnswer, content_digest, content_id, event_answer, json_answer

SCHEMA_PARAM: Final = "response_format.json_schema.schema"


async def answer_chat(body: bytes) -> DemoAnswer:
    """Answer one chat request; raises GatewayError for wrong input."""
    request = read_chat_request(parse_body(body))
    rivals = 0 if request.top_logprobs is None else 1 + request.top_logprobs
    most = output_limit(request.max_tokens, answers=request.choices, rivals=rivals)
    choice = limited(_draft(request), max_tokens=most, stop=request.stop)
    choices = [choice] * request.choices
    envelope = Envelope(
        id=content_id("chatcmpl-", body),
        created=int(time.time()),
        model=request.model.name,
        usage=_usage(request, choices),
        call_id=f"call_{content_digest(body)}",
        top_logprobs=request.top_logprobs,
    )
    if request.is_stream:
        chunks = chat_chunks(envelope, choices, has_usage_chunk=request.has_usage_chunk)
        return event_answer(chunks, pause_s=request.model.pause_s)
    await asyncio.sleep(request.model.pause_s * choice.tokens)
    return json_answer(plain_chat(envelope, choices))


def _draft(request: ChatRequest) -> Draft:
    is_echo = request.model.name == "echo"
    is_thinking = request.model.name == "reasoning"
    thoughts = thoughts_on(request.conversation, request.effort) if is_thinking else ""
    if not (is_echo and request.plan.mode == "auto"):
        calls = choose_calls(request.plan, request.conversation)
        if calls:
            return Draft(thoughts, None, tuple(calls))
    text = request.conversation.question.text if is_echo else reply_to(request.conversation)
    return Draft(thoughts, _formatted(request, text), ())


def _formatted(request: ChatRequest, text: str) -> str:
    """The text in the form that `response_format` asks for."""
    if request.format.kind == "text":
        return text
    question = request.conversation.question.text
    schema: Any = request.format.schema
    if request.format.kind == "json_object":
        offered = [value for value in Hints(question).json_value() if isinstance(value, dict)]
        return dumps(offered[0] if offered else {"answer": text}).decode()
    results = [result for _, result in request.conversation.results_of_turn()]
    try:
        instance = make_instance(schema, Hints("\n".join([question, *results])), fill_optional=True)
    except NoInstance as error:
        message = f"Invalid schema for response_format: {error}"
        raise InvalidRequest(message, param=SCHEMA_PARAM) from error
    return dumps(instance).decode()


def _usage(request: ChatRequest, choices: list[Choice]) -> dict[str, Any]:
    return usage_block(
        request.conversation.count_tokens() + request.plan.tokens,
        sum(choice.tokens for choice in choices),
        reasoning_tokens=sum(len(choice.reasoning) for choice in choices),
    )
