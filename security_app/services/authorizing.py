"""Asking external authorizers, after our own decision allowed: each one that is there must allow, too.

A process keeps for each of them the answers that are still good, connections, and a breaker: after some
failures in a row nobody waits for it for a while. One that can't be asked lets through or refuses, as its
row says. Where there is none, nothing here is called.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from time import monotonic, perf_counter

import httpx
from django.conf import settings

from gateway_project.core.codec import dumps
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import Overloaded, PermissionDenied
from gateway_project.core.outbound import async_http_client, http_client
from gateway_project.observability import metrics
from security_app.registry import Principal
from security_app.registry.authorizers import ABOUT_MODELS, ABOUT_TOOLS, Authorizer
from security_app.registry.doors import DOORS, NO_DOORS, DoorsConfig
from security_app.services.authorizer_wire import (
    MAX_ANSWER_BYTES,
    Answer,
    Asked,
    BadAnswer,
    question,
    read_answer,
    signed,
)
from security_app.services.configuration import store

logger = logging.getLogger(__name__)
MAX_ANSWERS = 10_000
FAILURES_TO_OPEN = 5
OPEN_S = 5.0
_KEPT_CONNECTIONS = 20
_LEFT = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
_FAULTS = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, BadAnswer)


class Line:
    """The line to one authorizer, from one process: kept answers, breaker, connections."""

    def __init__(self, authorizer: Authorizer) -> None:
        self.authorizer = authorizer
        self._answers: dict[bytes, tuple[float, Answer]] = {}
        self._failures = 0
        self._open_until = 0.0
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def known(self, key: bytes) -> Answer | None:
        """An answer that is still good."""
        found = self._answers.get(key)
        if found is None or found[0] <= monotonic():
            return None
        metrics.observe_authorizer(self.authorizer.name, "cached")
        return found[1]

    def may_ask(self) -> bool:
        """False while the breaker is open; when it has been for a while, one asks for all."""
        now = monotonic()
        if self._failures < FAILURES_TO_OPEN:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + OPEN_S
        return True

    def note(self, key: bytes, answer: Answer) -> None:
        """It answered."""
        if self._failures >= FAILURES_TO_OPEN:
            logger.info("authorizer.answers_again", extra={"authorizer": self.authorizer.name})
        self._failures = 0
        metrics.observe_authorizer(self.authorizer.name, "allowed" if answer.is_allowed else "denied")
        if not self.authorizer.cache_s:
            return
        if len(self._answers) >= MAX_ANSWERS:
            for old in list(self._answers)[: MAX_ANSWERS // 10]:
                self._answers.pop(old, None)
        self._answers.pop(key, None)
        self._answers[key] = (monotonic() + self.authorizer.cache_s, answer)

    def note_failure(self, error: Exception) -> None:
        """It did not answer, or not in a way that can be understood."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._open_until = monotonic() + OPEN_S
        reason = str(error) if isinstance(error, BadAnswer | TimeoutError) else type(error).__name__
        logger.warning(
            "authorizer.failed",
            extra={"authorizer": self.authorizer.name, "reason": reason or "no answer in time"},
        )

    def client(self) -> httpx.AsyncClient:
        """Its own client: a kept connection is for this host and no other."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client = async_http_client(
                allow_private=settings.ALLOW_PRIVATE_HOSTS, kept_connections=_KEPT_CONNECTIONS
            )
            self._loop = loop
        return self._client

    async def close(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()


class Lines:
    """The lines of this process, to the authorizers of the configuration in force."""

    def __init__(self) -> None:
        self._lines: dict[Authorizer, Line] = {}
        self._doors: DoorsConfig | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def to(self, authorizer: Authorizer, doors: DoorsConfig) -> Line:
        """The line to an authorizer; those to who is gone, or was changed, end."""
        if doors is not self._doors and _is_in_loop():
            self._doors = doors
            living = {one for found in doors.authorizers.values() for one in found}
            # A copy, made in one step: threads of the management API may add a line meanwhile.
            for known in list(self._lines):
                if known not in living:
                    self._end(self._lines.pop(known))
        line = self._lines.get(authorizer)
        if line is None:
            line = self._lines.setdefault(authorizer, Line(authorizer))
        return line

    def _end(self, line: Line) -> None:
        """Questions that are under way get their answers: connections are closed a moment later."""
        task = asyncio.get_running_loop().create_task(_close_later(line))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End all of them, with the process."""
        closing = list(self._closing)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        lines, self._lines, self._doors = list(self._lines.values()), {}, None
        for line in lines:
            await line.close()


def _is_in_loop() -> bool:
    """Whether connections can be closed here: threads leave that to the event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _close_later(line: Line) -> None:
    try:
        await asyncio.sleep(line.authorizer.timeout_s)
    finally:
        await line.close()


lines = Lines()


async def ask_authorizers(
    doors: DoorsConfig, about: str, principal: Principal, asked: Asked, *, request_id: str = ""
) -> None:
    """PermissionDenied with its reason if one refuses; Overloaded if one that must be asked can't be."""
    for authorizer in doors.authorizers.get(about, ()):
        line = lines.to(authorizer, doors)
        body = question(authorizer, principal, asked)
        key = _key(body)
        answer = line.known(key)
        if answer is None and line.may_ask() and not authorizer.problem:
            try:
                answer = await ask(line, body, request_id)
                line.note(key, answer)
            except (*_FAULTS, TimeoutError) as error:
                line.note_failure(error)
        _judge(authorizer, answer)


def ask_authorizers_here(
    doors: DoorsConfig, about: str, principal: Principal, asked: Asked, *, request_id: str = ""
) -> None:
    """The same in a thread."""
    for authorizer in doors.authorizers.get(about, ()):
        line = lines.to(authorizer, doors)
        body = question(authorizer, principal, asked)
        key = _key(body)
        answer = line.known(key)
        if answer is None and line.may_ask() and not authorizer.problem:
            try:
                answer = ask_here(authorizer, body, request_id)
                line.note(key, answer)
            except _FAULTS as error:
                line.note_failure(error)
        _judge(authorizer, answer)


async def ask_for_use(
    context: RequestContext, about: str, kind: str, object_id: str, *, agent: str = ""
) -> None:
    """Ask about a model, an agent or a tool for one request; raises as `ask_authorizers`."""
    doors = current_doors()
    method, path = getattr(context, "place", ("", ""))
    asked = Asked(kind, object_id, "inference", context.client_ip, method, path, agent)
    await ask_authorizers(doors, about, context.principal, asked, request_id=context.request_id.hex)


def is_asked(about: str) -> bool:
    """Whether anybody is asked about this at all, at this moment: also what has begun meets a new one."""
    return about in current_doors().authorizers


async def ask(line: Line, body: dict[str, object], request_id: str) -> Answer:
    """One question, now; TimeoutError, or an error of the wire, if it is not answered."""
    authorizer = line.authorizer
    content, headers = signed(authorizer, body, request_id)
    async with asyncio.timeout(authorizer.timeout_s):
        try:
            return await _answered(line, content, headers)
        except _LEFT:
            # It closed a kept connection just then; the question may as well be asked twice.
            return await _answered(line, content, headers)


async def _answered(line: Line, content: bytes, headers: dict[str, str]) -> Answer:
    async with line.client().stream(
        "POST", line.authorizer.url, content=content, headers=headers
    ) as response:
        said = b""
        async for piece in response.aiter_bytes():
            said = _joined(said, piece)
        return read_answer(response.status_code, said)


def ask_here(authorizer: Authorizer, body: dict[str, object], request_id: str) -> Answer:
    """The same in a thread, over a connection of its own."""
    content, headers = signed(authorizer, body, request_id)
    until = perf_counter() + authorizer.timeout_s
    with (
        http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout_s=authorizer.timeout_s) as client,
        client.stream("POST", authorizer.url, content=content, headers=headers) as response,
    ):
        said = b""
        for piece in response.iter_bytes():
            said = _joined(said, piece)
            if perf_counter() > until:
                raise BadAnswer("its answer comes too slowly")
        return read_answer(response.status_code, said)


def _joined(said: bytes, piece: bytes) -> bytes:
    if len(said) + len(piece) > MAX_ANSWER_BYTES:
        raise BadAnswer("its answer is too large")
    return said + piece


def _key(body: dict[str, object]) -> bytes:
    return hashlib.sha256(dumps(body)).digest()


def _judge(authorizer: Authorizer, answer: Answer | None) -> None:
    if answer is None:
        metrics.observe_authorizer(authorizer.name, "failed")
        if authorizer.is_fail_open:
            return
        metrics.observe_denial("authorizer_unavailable")
        raise Overloaded(
            f"The authorizer '{authorizer.name}' can't be asked now.",
            code="authorizer_unavailable",
            headers={"retry-after": "5"},
        )
    if not answer.is_allowed:
        metrics.observe_denial("authorizer_denied")
        reason = f": {answer.reason}" if answer.reason else "."
        message = f"The authorizer '{authorizer.name}' refused it{reason}"
        raise PermissionDenied(message, code="authorizer_denied")


def current_doors() -> DoorsConfig:
    """What doors ask at this moment."""
    try:
        doors: DoorsConfig = store.current.sections[DOORS].value
    except (RuntimeError, KeyError):
        # Nothing is served before the configuration is loaded.
        return NO_DOORS
    return doors


def about_kind(kind: str) -> Iterable[str]:
    """What authorizers must be asked about, to be asked about questions of a kind."""
    if kind in ("model", "agent"):
        return (ABOUT_MODELS,)
    return (ABOUT_TOOLS,) if kind == "tool" else ("inference", "management") if kind == "route" else ()
