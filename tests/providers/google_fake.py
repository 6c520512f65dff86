"""A fake of Google's models, in the Gemini API and in Vertex AI.

What it takes is checked by the types of Google's own SDK, which know no further members; what it answers is
made of what it was asked (`mind.py`). Like Google's newest models it signs its first call of each turn, and
refuses a conversation in which the signature is missing.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.genai import types

from tests.fakes.exchange import Exchange
from tests.providers.mind import Asked, Said, think

Json = dict[str, Any]
_CALL = re.compile(r".*/models/([^/:]+):(generateContent|streamGenerateContent)")
_MEMBERS: dict[str, Any] = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "generationConfig": types.GenerationConfig,
    "serviceTier": types.ServiceTier,
}
_ENDS = {"end": "STOP", "stop": "STOP", "calls": "STOP", "length": "MAX_TOKENS", "refused": "SAFETY"}
Refuse = Callable[[Exchange], Json | None]


class Malformed(Exception):
    """What Google would refuse with INVALID_ARGUMENT."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as Google's types read it."""

    contents: list[types.Content]
    system: types.Content
    tools: list[types.Tool]
    tool_config: types.ToolConfig
    config: types.GenerationConfig

    @classmethod
    def read(cls, body: Json) -> Request:
        """Malformed for what these types do not know."""
        if unknown := body.keys() - _MEMBERS.keys():
            raise Malformed(f"Unknown names: {sorted(unknown)}")
        return cls(
            contents=[types.Content.model_validate(item) for item in body["contents"]],
            system=types.Content.model_validate(body.get("systemInstruction", {})),
            tools=[types.Tool.model_validate(item) for item in body.get("tools", [])],
            tool_config=types.ToolConfig.model_validate(body.get("toolConfig", {})),
            config=types.GenerationConfig.model_validate(body.get("generationConfig", {})),
        )


def asked_of(request: Request, *, must_sign: bool) -> Asked:
    """What was asked; Malformed where Google would be strict."""
    _check_order(request.contents, must_sign=must_sign)
    said = [(content.role, _text(content)) for content in request.contents]
    last_user = max(index for index, (role, text) in enumerate(said) if role == "user" and text)
    declarations = [item for tool in request.tools for item in tool.function_declarations or ()]
    calling = request.tool_config.function_calling_config
    thinking = request.config.thinking_config
    return Asked(
        text=said[last_user][1],
        system=_text(request.system),
        history=tuple(text for _, text in said[:last_user] if text),
        results=tuple(_results(request.contents[-1])),
        media=tuple(_media(request.contents[last_user])),
        tools={str(item.name): item.parameters_json_schema or {} for item in declarations},
        choice=_choice(calling),
        schema=request.config.response_json_schema,
        effort=_effort(thinking),
        stop=tuple(request.config.stop_sequences or ()),
        max_tokens=request.config.max_output_tokens,
    )


def _check_order(contents: list[types.Content], *, must_sign: bool) -> None:
    for before, content in zip([None, *contents], contents, strict=False):
        parts = content.parts or []
        if not parts or content.role not in ("user", "model"):
            raise Malformed("A content needs a role and parts.")
        calls = [part for part in parts if part.function_call is not None]
        results = [part.function_response for part in parts if part.function_response is not None]
        if calls and must_sign and not calls[0].thought_signature:
            raise Malformed("Function call is missing a thought_signature in functionCall parts.")
        made = [part.function_call for part in (before.parts or [] if before else []) if part.function_call]
        if results and [(item.name, item.id) for item in results] != [(call.name, call.id) for call in made]:
            raise Malformed("The function responses must match the calls of the turn before.")


def _text(content: types.Content) -> str:
    return " ".join(part.text for part in content.parts or () if part.text)


def _results(content: types.Content) -> list[tuple[str, str]]:
    found = [part.function_response for part in content.parts or () if part.function_response is not None]
    return [(str(item.name), (item.response or {})["output"]) for item in found]


def _media(content: types.Content) -> list[str]:
    blobs = [part.inline_data for part in content.parts or () if part.inline_data is not None]
    return [f"{blob.mime_type} of {len(blob.data or b'')} bytes" for blob in blobs]


def _choice(calling: types.FunctionCallingConfig | None) -> str:
    if calling is None or calling.mode is None:
        return "auto"
    if calling.allowed_function_names:
        return calling.allowed_function_names[0]
    return calling.mode.value.lower()


def _effort(thinking: types.ThinkingConfig | None) -> str:
    if thinking is None or not thinking.include_thoughts:
        return ""
    level = thinking.thinking_level
    return level.value.lower() if level is not None else str(thinking.thinking_budget)


def parts_of(said: Said, *, signs: bool) -> list[Json]:
    """What was said as the parts of a content; the newest models sign, and give their calls ids."""
    parts: list[Json] = [{"text": said.reasoning, "thought": True}] if said.reasoning else []
    if said.text and said.end != "refused":
        parts.append({"text": said.text})
    for number, (name, arguments) in enumerate(said.calls):
        call: Json = {"name": name, "args": arguments}
        part: Json = {"functionCall": call}
        if signs:
            call["id"] = f"fc-{number}"
        if signs and number == 0:
            part["thoughtSignature"] = b64encode(b"\xfb\xff signature of " + name.encode()).decode()
        parts.append(part)
    return parts


def usage_of(said: Said) -> Json:
    """As Google counts: thoughts beside the candidates' tokens."""
    candidates = said.output - said.thought
    usage = {
        "promptTokenCount": said.input,
        "candidatesTokenCount": candidates,
        "totalTokenCount": said.input + candidates + said.thought,
    }
    return usage | ({"thoughtsTokenCount": said.thought} if said.thought else {})


def answer_of(parts: list[Json], said: Said | None, *, count: int = 1) -> Json:
    """An answer, or one piece of a stream, whose last has `said`."""
    candidate: Json = {"content": {"role": "model", "parts": parts}}
    if said is not None:
        candidate["finishReason"] = _ENDS[said.end]
    answer: Json = {
        "candidates": [{**candidate, "index": index} for index in range(count)],
        "modelVersion": "fake",
        "responseId": "resp-1",
    }
    return answer | ({"usageMetadata": usage_of(said)} if said is not None else {})


def stream_of(said: Said, *, signs: bool) -> list[Json]:
    """The pieces of a stream: words of the text one by one, calls together, the end by itself."""
    pieces = []
    for part in parts_of(said, signs=signs):
        if "text" in part:
            words = re.findall(r"\S+\s*", part["text"])
            pieces += [answer_of([{**part, "text": word}], None) for word in words]
        else:
            pieces.append(answer_of([part], None))
    return [*pieces, answer_of([{"text": ""}], said)]


def responder(*, refuses: Refuse = lambda exchange: None) -> Callable[[Exchange], Awaitable[None]]:
    """The fake as a responder of a server; `refuses` says with which error, if at all."""

    async def respond(exchange: Exchange) -> None:
        found = _CALL.fullmatch(exchange.request.path)
        error = refuses(exchange)
        if found is None:
            error = error or _status(404, "NOT_FOUND", f"There is nothing at {exchange.request.path}.")
        if found is None or error:
            await _error(exchange, error or {})
            return
        try:
            await _answer(exchange, found[1], is_stream=found[2] == "streamGenerateContent")
        except (Malformed, ValueError) as wrong:
            await _error(exchange, _status(400, "INVALID_ARGUMENT", str(wrong)))

    return respond


async def _answer(exchange: Exchange, model: str, *, is_stream: bool) -> None:
    is_new = model.startswith("gemini-3")
    request = Request.read(exchange.request.json)
    said = think(asked_of(request, must_sign=is_new))
    if request.config.response_modalities == [types.Modality.IMAGE]:
        picture = {"mimeType": "image/png", "data": b64encode(said.text.encode()).decode()}
        parts: list[Json] = [] if said.end == "refused" else [{"inlineData": picture}]
        await exchange.respond(200, json.dumps(answer_of(parts, said)).encode())
        return
    if not is_stream:
        answer = answer_of(parts_of(said, signs=is_new), said, count=request.config.candidate_count or 1)
        await exchange.respond(200, json.dumps(answer).encode())
        return
    assert exchange.request.target.endswith("?alt=sse")
    headers = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
    await exchange.head(200, headers)
    for piece in stream_of(said, signs=is_new):
        await exchange.chunk(b"data: " + json.dumps(piece, ensure_ascii=False).encode() + b"\r\n\r\n")
    await exchange.chunk(b"")


def _status(code: int, status: str, message: str) -> Json:
    return {"error": {"code": code, "message": message, "status": status}}


async def _error(exchange: Exchange, error: Json) -> None:
    await exchange.respond(error["error"]["code"], json.dumps(error).encode())


def decoded(signature: str) -> bytes:
    """A signature's bytes."""
    return b64decode(signature, validate=True)
