"""Bodies of calls that are no chats: JSON whose answer is raw, and forms with files, which stream by.

Of a form only its model's name changes; all other bytes go on as they came, in their order.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

import msgspec

from gateway_project.core.codec import RawFields, join_object
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.forms import Span, content_type_of
from gateway_project.core.spool import Spool
from upstreams_app.registry import Target
from upstreams_app.services.outbound import OutboundRequest

_MODEL_HEAD = b'Content-Disposition: form-data; name="model"\r\n\r\n'
Pieces = Callable[[], AsyncGenerator[bytes, None]]


class JsonParcel:
    """Members as the client wrote them, the model's name replaced."""

    is_spent = False
    takes_any_status = False

    def __init__(self, path: str, fields: RawFields) -> None:
        self._path = path
        self._fields = fields

    def for_target(self, target: Target) -> OutboundRequest:
        """As `Parcel.for_target`."""
        body = join_object({**self._fields, "model": msgspec.Raw(target.model_json)})
        return OutboundRequest(self._path, headers={"Content-Type": "application/json"}, body=body)


class FormParcel:
    """A form: what was read of it already is kept, and `rest` gives what was not, once.

    `span` is where its model is, `size` how long it is in all. The spool is the caller's to close.
    """

    takes_any_status = False

    def __init__(
        self, path: str, boundary: bytes, kept: Spool, *, span: Span | None, size: int, rest: Pieces | None
    ) -> None:
        self._path = path
        self._boundary = boundary
        self._kept = kept
        self._span = span
        self._size = size
        self._rest = rest
        self.is_spent = False

    def for_target(self, target: Target) -> OutboundRequest:
        """As `Parcel.for_target`."""
        part = self._model_part(target)
        start, end = self._span or (0, 0)
        return OutboundRequest(
            self._path,
            headers={"Content-Type": content_type_of(self._boundary)},
            pieces=partial(self._pieces, part),
            length=self._size - (end - start) + len(part),
            is_kept=self._rest is None,
        )

    def _model_part(self, target: Target) -> bytes:
        part = _MODEL_HEAD + target.model.encode()
        if not target.model.isprintable() or b"--" + self._boundary in part:
            raise InvalidRequest(f"The name of '{target.model_id}' can't stand in this form.", param="model")
        if self._span is None:
            # Azure's clients may name it in the path alone.
            part = b"--" + self._boundary + b"\r\n" + part + b"\r\n"
        return part

    async def _pieces(self, part: bytes) -> AsyncGenerator[bytes, None]:
        start, end = self._span or (0, 0)
        at, is_replaced = 0, False
        async with aclosing(self._kept.pieces()) as kept:
            async for piece in kept:
                after = at + len(piece)
                if at < start:
                    yield piece[: start - at]
                if after >= start and not is_replaced:
                    is_replaced = True
                    yield part
                if after > end:
                    yield piece[max(end - at, 0) :]
                at = after
        if self._rest is not None:
            self.is_spent = True
            async with aclosing(self._rest()) as rest:
                async for piece in rest:
                    yield piece
