"""What a fake vendor does with a request: good answers, and each fault that vendors and networks have."""

from __future__ import annotations

import gzip
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal

from tests.fakes import bodies
from tests.fakes.bodies import Json
from tests.fakes.exchange import Exchange, Gate, Header, Step, head_bytes

Behaviour = Callable[[Exchange], Awaitable[None]]
Ending = Literal["end", "close", "reset", "hang"]
SSE = "text/event-stream; charset=utf-8"
_AZURE = re.compile(r"^/openai(/deployments/[^/]+)?")
WORDS = ("Hello", " from", " the", " fake", " 🌍")


def answer(
    status: int = 200,
    body: bytes = b"",
    *,
    headers: Iterable[Header] = (),
    content_type: str = "application/json",
) -> Behaviour:
    """A whole answer with these bytes."""

    async def behave(exchange: Exchange) -> None:
        await exchange.respond(status, body, headers=headers, content_type=content_type)

    return behave


def json_answer(content: Any, *, status: int = 200, headers: Iterable[Header] = ()) -> Behaviour:
    """A whole answer with this JSON."""
    return answer(status, bodies.encode(content), headers=headers)


def chat(
    words: Sequence[str] = WORDS,
    *,
    usage: Json | None = bodies.USAGE,
    model: str | None = None,
    headers: Iterable[Header] = (),
    sends_usage_unasked: bool = False,
) -> Behaviour:
    """A good chat answer, plain or as a stream as the request says.

    `model` is the name in the answer (the request's, without it). A stream has the usage chunk if the client
    asks for one, or always with `sends_usage_unasked`; never if `usage` is None.
    """

    async def behave(exchange: Exchange) -> None:
        request: Json = exchange.request.json
        name = model or str(request.get("model"))
        if not request.get("stream"):
            content = bodies.chat_completion(
                "".join(words), model=name, usage=usage, choices=request.get("n") or 1
            )
            await exchange.respond(200, bodies.encode(content), headers=headers)
            return
        is_asked = sends_usage_unasked or bool((request.get("stream_options") or {}).get("include_usage"))
        chunks = bodies.chat_chunks(words, model=name, usage=usage if is_asked else None)
        await stream(bodies.sse_events(chunks), headers=headers)(exchange)

    return behave


def completion(words: Sequence[str] = WORDS, *, usage: Json | None = bodies.USAGE) -> Behaviour:
    """A good answer of the older completions endpoint."""

    async def behave(exchange: Exchange) -> None:
        request: Json = exchange.request.json
        name = str(request.get("model"))
        if not request.get("stream"):
            await json_answer(bodies.text_completion("".join(words), model=name, usage=usage))(exchange)
            return
        is_asked = (request.get("stream_options") or {}).get("include_usage")
        chunks = bodies.text_chunks(words, model=name, usage=usage if is_asked else None)
        await stream(bodies.sse_events(chunks))(exchange)

    return behave


def embeddings(vector: Sequence[float] = (0.6, -0.8, 0.0)) -> Behaviour:
    """The same vector for each input, in the encoding that the request asks for."""

    async def behave(exchange: Exchange) -> None:
        request: Json = exchange.request.json
        inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
        is_base64 = request.get("encoding_format") == "base64"
        content = bodies.embeddings(
            [vector] * len(inputs), model=str(request.get("model")), is_base64=is_base64
        )
        await json_answer(content)(exchange)

    return behave


def error(
    status: int,
    message: str = "The fake vendor refuses.",
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    headers: Iterable[Header] = (),
) -> Behaviour:
    """OpenAI's error object under any status."""
    return json_answer(
        bodies.error(message, kind=kind, code=code, param=param), status=status, headers=headers
    )


def rate_limited(retry_after: str = "7") -> Behaviour:
    """429 with Retry-After."""
    headers = [("retry-after", retry_after), ("x-ratelimit-remaining-requests", "0")]
    return error(
        429, "Rate limit reached.", kind="rate_limit_error", code="rate_limit_exceeded", headers=headers
    )


def stream(
    steps: Iterable[Step],
    *,
    status: int = 200,
    headers: Iterable[Header] = (),
    content_type: str = SSE,
    is_chunked: bool = True,
    ending: Ending = "end",
) -> Behaviour:
    """A streamed answer, each piece one write (and one HTTP chunk), with gates and pauses between.

    Without `is_chunked` the body is ended by closing the connection. Another `ending` breaks the body off
    after the last piece: the connection is closed or reset, or nothing more comes.
    """
    played = list(steps)

    async def behave(exchange: Exchange) -> None:
        framing = ("transfer-encoding", "chunked") if is_chunked else ("connection", "close")
        await exchange.head(status, [("content-type", content_type), framing, *headers])
        await exchange.play(played, is_chunked=is_chunked)
        if ending == "hang":
            await exchange.hang()
        if ending == "reset":
            exchange.reset()
        elif ending == "close" or not is_chunked:
            exchange.close()
        else:
            await exchange.chunk(b"")

    return behave


def raw(*steps: Step, ending: Ending = "close") -> Behaviour:
    """Bytes on the connection, whatever they are: with `ending="end"` the connection stays open for more."""

    async def behave(exchange: Exchange) -> None:
        await exchange.play(steps, is_chunked=False)
        if ending == "hang":
            await exchange.hang()
        if ending == "reset":
            exchange.reset()
        elif ending == "close":
            exchange.close()

    return behave


def garbage() -> Behaviour:
    """What is no HTTP at all."""
    return raw(b"\x16\x03\x01 this is no HTTP \xff\xfe\r\n\r\n")


def not_json(body: bytes = b"<html>Bad gateway \xff</html>") -> Behaviour:
    """Status 200, content type JSON, and no JSON."""
    return answer(200, body)


def truncated(body: bytes, declared: int) -> Behaviour:
    """A body that ends before its declared length."""
    head = head_bytes(200, [("content-type", "application/json"), ("content-length", str(declared))])
    return raw(head + body)


def close_before_answer(*, only_if_reused: bool = False, otherwise: Behaviour | None = None) -> Behaviour:
    """No byte, then the end; with `only_if_reused` a new connection gets a good answer."""

    async def behave(exchange: Exchange) -> None:
        if only_if_reused and not exchange.is_reused:
            await (otherwise or good())(exchange)
        else:
            exchange.close()

    return behave


def hang_before_headers() -> Behaviour:
    """Takes the request and says nothing."""
    return raw(ending="hang")


def slow_headers(pause: float | Gate, then: Behaviour | None = None) -> Behaviour:
    """A pause before the first byte."""

    async def behave(exchange: Exchange) -> None:
        await exchange.play([pause], is_chunked=False)
        await (then or good())(exchange)

    return behave


def dripping_headers(pause_s: float, body: bytes = b"{}") -> Behaviour:
    """Headers that come byte by byte."""
    head = head_bytes(200, [("content-type", "application/json"), ("content-length", str(len(body)))])
    steps: list[Step] = []
    for position in range(len(head)):
        steps += [head[position : position + 1], pause_s]
    return raw(*steps, body, ending="end")


def redirect(location: str, status: int = 307) -> Behaviour:
    """A redirect elsewhere."""
    return answer(status, headers=[("location", location)])


def gzipped(content: Any) -> Behaviour:
    """JSON under gzip, asked for or not."""
    return answer(200, gzip.compress(bodies.encode(content)), headers=[("content-encoding", "gzip")])


def huge(size: int, *, piece_size: int = 65_536) -> Behaviour:
    """A plain chat answer of about this size, written in pieces as the client takes them."""
    before, after = bodies.encode(bodies.chat_completion("\x00", model="huge")).split(b"\\u0000")
    piece = b"x" * piece_size
    count = max(size // piece_size, 1)
    length = len(before) + count * piece_size + len(after)

    async def behave(exchange: Exchange) -> None:
        await exchange.head(200, [("content-type", "application/json"), ("content-length", str(length))])
        await exchange.write(before)
        for _ in range(count):
            await exchange.write(piece)
        await exchange.write(after)

    return behave


def error_event(words: Sequence[str] = ("Hel",), *, message: str = "The fake vendor broke.") -> Behaviour:
    """A stream that begins well, then has an error event and ends."""
    chunks = bodies.chat_chunks(words, model="fake")[: len(words) + 1]
    broken = bodies.error(message, kind="server_error", code="server_error")
    return stream(bodies.sse_events([*chunks, broken], has_done=False))


def good(models: Iterable[str] = ("fake-chat", "fake-embedding")) -> Behaviour:
    """A vendor on a good day: models, chat, completions and embeddings; 404 for the rest.

    Azure's paths lead to the same.
    """
    by_path = {
        "/models": json_answer(bodies.model_list(models)),
        "/chat/completions": chat(),
        "/completions": completion(),
        "/embeddings": embeddings(),
    }

    async def behave(exchange: Exchange) -> None:
        path = _AZURE.sub("", exchange.request.path).removeprefix("/v1")
        await by_path.get(path, error(404, f"Unknown path {path}", code="not_found"))(exchange)

    return behave
