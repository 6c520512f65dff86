"""Frames of `application/vnd.amazon.eventstream`, which Bedrock's streams are made of.

Source: Amazon's event stream encoding (Smithy's specification). A message is a prelude (length of all, length
of the headers, CRC of both), headers, a payload, and the CRC of everything before. Big-endian; CRC-32.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_FRAME: Final = 24 * 1024 * 1024
_PRELUDE = struct.Struct("!III")
_CRC = struct.Struct("!I")
_LENGTH = struct.Struct("!H")
# How long values of these types are: booleans, integers, a timestamp, a UUID.
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _STRING = 6, 7


class Frame(NamedTuple):
    """One message; of its headers those that are texts, as all of Bedrock's are."""

    headers: dict[str, str]
    payload: bytes


class Frames:
    """Puts frames together from pieces that are cut anywhere; ValueError if they are no frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def is_between(self) -> bool:
        """Whether nothing of a frame is waiting for its rest."""
        return not self._held

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """The frames that are complete with this piece."""
        self._held += piece
        start = 0
        try:
            while len(self._held) - start >= _PRELUDE.size:
                length, headers_length = self._prelude(start)
                if len(self._held) - start < length:
                    break
                frame = bytes(self._held[start : start + length])
                start += length
                yield _read(frame, headers_length)
        finally:
            del self._held[:start]

    def _prelude(self, start: int) -> tuple[int, int]:
        length, headers_length, crc = _PRELUDE.unpack_from(self._held, start)
        if crc32(self._held[start : start + _PRELUDE.size - 4]) != crc:
            raise ValueError("the checksum of a frame's prelude is wrong")
        if not _PRELUDE.size + headers_length + 4 <= length <= MAX_FRAME:
            raise ValueError("the length of a frame is wrong")
        return length, headers_length


def _read(frame: bytes, headers_length: int) -> Frame:
    if crc32(frame[:-4]) != _CRC.unpack_from(frame, len(frame) - 4)[0]:
        raise ValueError("the checksum of a frame is wrong")
    end = _PRELUDE.size + headers_length
    try:
        return Frame(_headers(frame[_PRELUDE.size : end]), frame[end:-4])
    except (struct.error, IndexError) as error:
        raise ValueError("the headers of a frame are cut off") from error


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name, kind = data[at + 1 : name_end].decode(), data[name_end]
        at = name_end + 1
        if kind in _FIXED:
            at += _FIXED[kind]
        elif kind in (_BYTES, _STRING):
            start = at + _LENGTH.size
            at = start + _LENGTH.unpack_from(data, at)[0]
            if kind == _STRING:
                headers[name] = data[start:at].decode()
        else:
            raise ValueError("a header of a frame has a type that is none")
    if at != len(data):
        raise ValueError("the headers of a frame are cut off")
    return headers
