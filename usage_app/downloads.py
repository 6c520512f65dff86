"""Files as answers, in pieces: memory does not grow with the file, on either of Django's handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from gateway_project.core.threads import in_own_thread

_PIECE_BYTES = 262_144


def file_answer(request: HttpRequest, path: Path, *, name: str, content_type: str) -> StreamingHttpResponse:
    """The file for saving; OSError if it can't be opened."""
    file = path.open("rb")
    is_async = isinstance(request, ASGIRequest)
    answer = StreamingHttpResponse(
        _pieces_async(file) if is_async else _pieces(file), content_type=content_type
    )
    answer.headers["content-length"] = str(path.stat().st_size)
    answer.headers["content-disposition"] = content_disposition_header(True, name) or "attachment"
    answer.headers["x-content-type-options"] = "nosniff"
    answer.headers["cache-control"] = "private, no-store"
    # Closed with the answer also if nobody takes the first piece.
    answer._resource_closers.append(file.close)  # type: ignore[attr-defined]
    return answer


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


async def _pieces_async(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await in_own_thread(file.read, _PIECE_BYTES):
            yield piece
