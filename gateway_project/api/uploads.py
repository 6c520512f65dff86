"""Forms with files on their way in: read as far as the model's name, and no further if that comes first.

A file that comes before the name is kept on the disk until the name is known. A body whose length nobody
told is kept as well, since upstreams want to know it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from gateway_project.api.exchange import ClientLeft, Exchange
from gateway_project.core.deadline import DISCONNECTED
from gateway_project.core.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from gateway_project.core.forms import FormError, FormScanner, Span, boundary_of
from gateway_project.core.limits import limits
from gateway_project.core.spool import MEMORY_BYTES, Spool
from upstreams_app.services.uploads import FormParcel

_CLOSE = {"connection": "close"}
# Nobody may hold a place on the disk by sending a byte now and then.
_SLOWEST_BYTES_PER_S = 16 * 1024
# What is looked at here. All others are the upstream's alone.
_DECISIVE = frozenset({"model", "user", "n"})
# Prices may depend on the others, and are fixed at the end: those may also come after the files.
_KEPT = _DECISIVE | {"size", "quality"}


@dataclass(slots=True)
class Upload:
    """A form as far as it was read, and `files` in that. `size` is its length in all."""

    fields: dict[str, str]
    span: Span | None
    boundary: bytes
    kept: Spool
    size: int
    files: int
    rest: BodyRest | None

    def parcel(self, path: str) -> FormParcel:
        """The form as upstreams are sent it."""
        rest = None if self.rest is None else self.rest.pieces
        return FormParcel(path, self.boundary, self.kept, span=self.span, size=self.size, rest=rest)


class BodyRest:
    """What the client still has to send, looked at as it passes: half a form is no form to an upstream.

    A field that counts here comes too late now: what is held, and for whom, was decided without it.
    """

    def __init__(self, exchange: Exchange, scanner: FormScanner) -> None:
        self._exchange = exchange
        self._scanner = scanner

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The pieces as they come; RequestTimeout, InvalidRequest, or the task is cancelled."""
        known, is_last = len(self._scanner.fields), False
        while not is_last:
            piece, is_last = await next_piece(self._exchange)
            _scan(self._scanner, piece, is_last=is_last)
            late = [name for name in list(self._scanner.fields)[known:] if name in _DECISIVE]
            if late:
                field = late[0]
                raise InvalidRequest(f"Put '{field}' before the files.", param=field, headers=_CLOSE)
            if is_last:
                self._exchange.watch()
            yield piece


async def read_upload(exchange: Exchange) -> Upload:
    """Read a form until it is known which model it is for; whoever gets it closes its spool."""
    check_encoding(exchange)
    try:
        boundary = boundary_of(exchange.header(b"content-type"))
    except FormError as error:
        raise UnsupportedMediaType(str(error), headers=_CLOSE) from error
    size = stated_size(exchange)
    bound_time(exchange, size)
    scanner, kept = FormScanner(boundary, kept=_KEPT), Spool()
    is_last = False
    try:
        while not is_last:
            piece, is_last = await next_piece(exchange)
            if kept.size + len(piece) > limits.max_upload_bytes:
                raise too_large(limits.max_upload_bytes)
            _scan(scanner, piece, is_last=is_last)
            await kept.append(piece)
            if size is not None and "model" in scanner.fields and _is_enough(scanner, kept):
                break
    except BaseException:
        kept.close()
        raise
    rest = None
    if is_last:
        size = kept.size
        exchange.watch()
    else:
        rest = BodyRest(exchange, scanner)
    model = scanner.spans.get("model")
    return Upload(scanner.fields, model, boundary, kept, size or 0, scanner.files, rest)


def bound_time(exchange: Exchange, size: int | None) -> None:
    """Give a body of this size the time that a slow line takes for it; a call then has its own."""
    most = limits.max_upload_bytes if size is None else size
    exchange.scope.limit_total(limits.body_timeout_s + most / _SLOWEST_BYTES_PER_S)


def _is_enough(scanner: FormScanner, kept: Spool) -> bool:
    """Whether nothing that is looked at may be expected soon: fields come before files, or not at all."""
    return scanner.files > 0 or kept.size > MEMORY_BYTES // 2


async def next_piece(exchange: Exchange) -> tuple[bytes, bool]:
    """The next piece of a body and whether it is the last; the task is cancelled if the client leaves."""
    try:
        return await exchange.read_piece()
    except ClientLeft:
        # As if it had left during the answer: whoever works for it is to stop.
        exchange.scope.cancel(DISCONNECTED)
        await asyncio.sleep(0)
        raise


def _scan(scanner: FormScanner, piece: bytes, *, is_last: bool) -> None:
    try:
        scanner.feed(piece)
        if is_last:
            scanner.finish()
    except FormError as error:
        raise InvalidRequest(str(error), param=error.field, headers=_CLOSE) from error


def check_encoding(exchange: Exchange) -> None:
    """UnsupportedMediaType for a body that is compressed."""
    if exchange.header(b"content-encoding").lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the body without a content encoding.", headers=_CLOSE)


def stated_size(exchange: Exchange) -> int | None:
    """How long the body is, None if the client does not say; PayloadTooLarge."""
    length = exchange.header(b"content-length")
    if not length.isdecimal():
        return None
    if int(length) > limits.max_upload_bytes:
        raise too_large(limits.max_upload_bytes)
    return int(length)


def too_large(most: int) -> PayloadTooLarge:
    """The error for a body of more bytes than may be."""
    return PayloadTooLarge(f"The upload is larger than {most} bytes.", headers=_CLOSE)
