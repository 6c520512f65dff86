"""Fakes of the services that speak OpenAI's format, each with habits of its own (`Habits`).

What they answer is made of what they were asked (`mind.py`), and what a service does not read, it does not
see: Ollama knows nothing of `max_completion_tokens`, and makes one choice whatever `n` says.
Sources: OpenAI's and Azure's API references; the request and answer types of Ollama's openai package, of
vLLM's and of TensorRT-LLM's servers; LM Studio's documentation of its server.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.bodies import sse_events
from tests.fakes.exchange import Exchange
from tests.providers.mind import Asked, Said, think
from tests.providers.rows import CREDENTIAL

Json = dict[str, Any]
_ENDS = {
    "end": "stop",
    "stop": "stop",
    "calls": "tool_calls",
    "length": "length",
    "refused": "content_filter",
}
_OPENAIS = frozenset(
    {
        "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop",
        "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "n",
    }
)  # fmt: skip
_SMALL = _OPENAIS - {"max_completion_tokens", "n"}


@dataclass(frozen=True, slots=True)
class Habits:
    """What differs between them.

    `thoughts` is the member that holds what the model thinks, "" where that is not told, TAGS where it stands
    in the text. `reads` are the members that it reads; `path` is where its chats are, `key_header` what a key
    comes in.
    """

    thoughts: str = "reasoning_content"
    reads: frozenset[str] = _OPENAIS
    path: str = "/v1/chat/completions"
    key_header: str = "authorization"
    repeats_role: bool = False
    tells_reasoning_tokens: bool = True


# No member: the thoughts stand before the answer, between tags.
TAGS = "tags"
HABITS: dict[str, Habits] = {
    "openai": Habits(thoughts=""),
    "azure": Habits(thoughts="", path="/openai/v1/chat/completions", key_header="api-key"),
    "azure-deployments": Habits(
        thoughts="",
        path="/openai/deployments/model/chat/completions?api-version=2024-10-21",
        key_header="api-key",
        reads=_OPENAIS - {"model"},
    ),
    "openai-compatible": Habits(),
    "ollama": Habits(
        thoughts="reasoning",
        reads=_SMALL - {"tool_choice", "parallel_tool_calls"},
        repeats_role=True,
        tells_reasoning_tokens=False,
    ),
    "lmstudio": Habits(reads=_SMALL - {"parallel_tool_calls"}),
    "vllm": Habits(thoughts="reasoning", tells_reasoning_tokens=False),
    "tensorrt-llm": Habits(thoughts=TAGS, tells_reasoning_tokens=False),
}


def responder(name: str) -> Callable[[Exchange], Awaitable[None]]:
    """The fake of a name in `HABITS`."""
    habits = HABITS[name]

    async def respond(exchange: Exchange) -> None:
        wrong = _wrong(exchange, habits)
        if wrong:
            await exchange.respond(404, json.dumps({"error": {"message": wrong}}).encode())
            return
        body = {name: value for name, value in exchange.request.json.items() if name in habits.reads}
        asked = asked_of(body)
        said = think(asked)
        if habits.thoughts == TAGS and said.reasoning:
            said = replace(said, text=f"<think>\n{said.reasoning}\n</think>\n\n{said.text}", reasoning="")
        saids = [said] * (body.get("n") or 1)
        if not body.get("stream"):
            await exchange.respond(200, json.dumps(_answer(saids, habits)).encode())
            return
        has_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        chunks = [chunk for at, said in enumerate(saids) for chunk in _chunks(at, said, habits)]
        if has_usage:
            chunks.append({**_HEAD, "choices": [], "usage": _usage(saids, habits)})
        await exchange.head(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
        for event in sse_events(chunks):
            await exchange.chunk(event)
        await exchange.chunk(b"")

    return respond


def _wrong(exchange: Exchange, habits: Habits) -> str:
    request = exchange.request
    key = CREDENTIAL if habits.key_header == "api-key" else f"Bearer {CREDENTIAL}"
    if request.target != habits.path or request.header(habits.key_header) != key:
        return f"{request.target} is not {habits.path}, or the key is wrong."
    return ""


def asked_of(body: Json) -> Asked:
    """What was asked."""
    messages = body["messages"]
    systems = [_text(message) for message in messages if message["role"] in ("system", "developer")]
    turns = [message for message in messages if message["role"] not in ("system", "developer")]
    last_user = max(index for index, message in enumerate(turns) if message["role"] == "user")
    names = {
        call["id"]: call["function"]["name"] for message in turns for call in message.get("tool_calls") or ()
    }
    results = [message for message in turns[last_user:] if message["role"] == "tool"]
    stop = body.get("stop") or ()
    form = (body.get("response_format") or {}).get("json_schema") or {}
    return Asked(
        text=_text(turns[last_user]),
        system=" ".join(systems),
        history=tuple(_text(message) for message in turns[:last_user] if _text(message)),
        results=tuple((names[message["tool_call_id"]], _text(message)) for message in results),
        media=tuple(_media(turns[last_user])),
        tools={tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools") or ()},
        choice=_choice(body.get("tool_choice")),
        is_parallel=body.get("parallel_tool_calls") is not False,
        schema=form.get("schema"),
        effort=body.get("reasoning_effort") or "",
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
    )


def _text(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def _media(message: Json) -> list[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    heads = [url.removeprefix("data:").partition(";base64,") for url in urls]
    return [f"{media_type} of {len(b64decode(data))} bytes" for media_type, _, data in heads]


def _choice(value: Any) -> str:
    if isinstance(value, dict):
        return str(value["function"]["name"])
    return str({"required": "any", None: "auto"}.get(value, value))


_HEAD: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "theirs"}


def _usage(saids: list[Said], habits: Habits) -> Json:
    """The prompt counts once, however many choices there are."""
    output, thought = sum(said.output for said in saids), sum(said.thought for said in saids)
    usage: Json = {
        "prompt_tokens": saids[0].input,
        "completion_tokens": output,
        "total_tokens": saids[0].input + output,
    }
    if habits.tells_reasoning_tokens:
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usage


def _calls(said: Said) -> list[Json]:
    return [
        {
            "id": f"call_{at}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for at, (name, arguments) in enumerate(said.calls)
    ]


def _answer(saids: list[Said], habits: Habits) -> Json:
    choices = []
    for at, said in enumerate(saids):
        message: Json = {"role": "assistant", "content": said.text or None}
        if said.reasoning and habits.thoughts:
            message[habits.thoughts] = said.reasoning
        if said.calls:
            message["tool_calls"] = _calls(said)
        choice: Json = {"index": at, "message": message, "finish_reason": _ENDS[said.end]}
        choices.append(choice)
    return {**_HEAD, "object": "chat.completion", "choices": choices, "usage": _usage(saids, habits)}


def _chunks(index: int, said: Said, habits: Habits) -> list[Json]:
    deltas: list[Json] = [] if habits.repeats_role else [{"role": "assistant", "content": ""}]
    if habits.thoughts:
        deltas += [{habits.thoughts: word + " "} for word in said.reasoning.split()]
    words = said.text.split(" ")
    deltas += [
        {"content": word + (" " if at + 1 < len(words) else "")} for at, word in enumerate(words) if word
    ]
    for number, call in enumerate(_calls(said)):
        function = call["function"]
        if habits.repeats_role:
            # Whole calls, as Ollama makes them.
            deltas.append({"tool_calls": [{"index": number, **call}]})
            continue
        deltas.append({"tool_calls": [{"index": number, **call, "function": {**function, "arguments": ""}}]})
        deltas.append({"tool_calls": [{"index": number, "function": {"arguments": function["arguments"]}}]})
    if habits.repeats_role:
        deltas = [{"role": "assistant", "content": "", **delta} for delta in deltas]
    choices: list[Json] = [{"index": index, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": index, "delta": {}, "finish_reason": _ENDS[said.end]})
    return [{**_HEAD, "choices": [choice]} for choice in choices]
