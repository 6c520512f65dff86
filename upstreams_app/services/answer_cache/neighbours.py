"""Which answers belong to questions nearly like one: vectors of questions, and which are the nearest.

A list holds the questions of one place, the newest last. Vectors have length one and are kept as halves of
floats, which is exact to about four digits. To compare all of them with all their numbers would hold up
other requests: the signs of the numbers tell which few are worth it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from heapq import nsmallest
from math import fsum, isfinite, sqrt
from operator import mul
from typing import Final, NamedTuple

import msgspec

MAX_NEIGHBOURS: Final = 256
MAX_DIMENSIONS: Final = 4096
MAX_LIST_BYTES: Final = 512 * 1024
# Beside the vector: the key, when it ends, and what tells where each begins.
_FRAME_BYTES: Final = 100
# How many multiplications one search is worth: eight vectors of 1 536 numbers.
_MAX_PRODUCTS: Final = 8 * 1536
_DIGITS: Final = 4


class Vector(NamedTuple):
    """A direction. `signs` has a bit for each number: whether it is above zero."""

    numbers: tuple[float, ...]
    signs: int


class Neighbour(msgspec.Struct, array_like=True, gc=False):
    """The question whose answer is kept under `key` until `ends_at`, in seconds since 1970.

    `length` is that of the vector in halves: one, but for what was rounded.
    """

    key: str
    ends_at: float
    signs: bytes
    halves: bytes
    length: float


class Near(NamedTuple):
    """A question that is near enough. The similarity is the cosine of the angle, to four digits."""

    similarity: float
    key: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Neighbour]).decode


def vector_of(numbers: Sequence[float]) -> Vector | None:
    """A vector of length one; None for what has no direction, or too many numbers."""
    if not 1 <= len(numbers) <= MAX_DIMENSIONS:
        return None
    try:
        length = sqrt(fsum(map(mul, numbers, numbers)))
    except OverflowError:
        return None
    if not length or not isfinite(length):
        return None
    return Vector(
        tuple(number / length for number in numbers),
        int("".join("1" if number > 0 else "0" for number in numbers), 2),
    )


def nearest(neighbours: Sequence[Neighbour], vector: Vector, similarity: float, *, now: float) -> list[Near]:
    """Those that are at least so similar, the most similar first."""
    count = len(vector.numbers)
    alive = [one for one in neighbours if one.ends_at > now and len(one.halves) == 2 * count]

    def differing(one: Neighbour) -> int:
        return (int.from_bytes(one.signs, "big") ^ vector.signs).bit_count()

    likely = nsmallest(max(2, min(8, _MAX_PRODUCTS // count)), alive, key=differing)
    found = [Near(_similarity(one, vector), one.key) for one in likely]
    return sorted((near for near in found if near.similarity >= similarity), reverse=True)


def _similarity(one: Neighbour, vector: Vector) -> float:
    numbers = _numbers(one.halves)
    product: float = sum(map(mul, numbers, vector.numbers))
    return round(product / one.length, _DIGITS)


def _numbers(halves: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(halves) // 2}e", halves)


def with_new(
    neighbours: Sequence[Neighbour], key: str, vector: Vector, *, ends_at: float, now: float, max_bytes: int
) -> list[Neighbour]:
    """The list with one more, and without what is over or has no place: the oldest goes first."""
    size = (len(vector.numbers) + 7) // 8
    halves = struct.pack(f"<{len(vector.numbers)}e", *vector.numbers)
    most = min(MAX_NEIGHBOURS, max_bytes // (len(halves) + size + _FRAME_BYTES))
    if most <= 0:
        return []
    others = [
        one for one in neighbours if one.ends_at > now and one.key != key and len(one.halves) == len(halves)
    ]
    rounded = _numbers(halves)
    length = sqrt(fsum(map(mul, rounded, rounded)))
    new = Neighbour(key, ends_at, vector.signs.to_bytes(size, "big"), halves, length)
    return [*others, new][-most:]


def packed(neighbours: list[Neighbour]) -> bytes:
    """A list as it is kept."""
    return _encode(neighbours)


def unpacked(data: bytes) -> list[Neighbour]:
    """The inverse; nothing for what is no list."""
    try:
        return _decode(data)
    except msgspec.DecodeError:
        return []
