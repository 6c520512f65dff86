"""The body of an upstream's answer without its content encoding: some servers compress unasked."""

from __future__ import annotations

import zlib
from typing import Protocol

from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.services.outbound import UpstreamAnswer

_MAX_PIECE = 1024 * 1024


class BodyReader(Protocol):
    """What a body is read from, piece by piece."""

    @property
    def is_at_end(self) -> bool:
        """Whether the whole body has been read."""
        ...

    async def read_any(self) -> bytes:
        """The next piece, b"" at the end; UpstreamUnreachable if the body breaks off or can't be decoded."""
        ...


def decoded(answer: UpstreamAnswer) -> BodyReader:
    """The answer, or what takes its encoding off; UpstreamUnreachable for one that we don't know."""
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        return answer
    if encoding not in ("gzip", "deflate"):
        raise UpstreamUnreachable(f"the answer has the content encoding '{encoding[:20]}'")
    return _Decompressed(answer)


class _Decompressed:
    """Inflates at most 1 MB at a time, so that a small body can't become a huge one in memory at once."""

    def __init__(self, answer: UpstreamAnswer) -> None:
        self._answer = answer
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._rest = b""
        self._is_at_end = False

    @property
    def is_at_end(self) -> bool:
        # Only the next piece tells.
        return False

    async def read_any(self) -> bytes:
        try:
            while not self._is_at_end:
                if not self._rest:
                    self._rest = await self._answer.read_any()
                    self._is_at_end = not self._rest
                plain = self._inflate.decompress(self._rest, _MAX_PIECE)
                self._rest = self._inflate.unconsumed_tail
                if plain:
                    return plain
            return self._inflate.flush()
        except zlib.error as error:
            raise UpstreamUnreachable("the answer is not what its content encoding says") from error
