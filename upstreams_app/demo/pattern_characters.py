"""Sets of characters in patterns: `.`, `\\d`, `[a-z]` and the like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

Ranges = tuple[tuple[int, int], ...]
LAST_CODE_POINT: Final = 0x10FFFF
_PREFERRED: Final = "abcdefgh0123456789ABC -_.@/"


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of inclusive ranges of code points."""

    ranges: Ranges

    def has(self, character: str) -> bool:
        """Whether the character is in the set."""
        code = ord(character)
        return any(low <= code <= high for low, high in self.ranges)

    def sample(self, variant: int) -> str:
        """A character of the set, a plain one where there is one; variants differ as far as they can."""
        plain = _plain(self)
        if plain:
            return plain[variant % len(plain)]
        low, high = self.ranges[0]
        return chr(low + variant % (high - low + 1))

    @property
    def first(self) -> int:
        """The first code point."""
        return self.ranges[0][0]

    @property
    def is_single(self) -> bool:
        """Whether it is one character only."""
        return len(self.ranges) == 1 and self.ranges[0][0] == self.ranges[0][1]


@lru_cache(maxsize=256)
def _plain(characters: Characters) -> str:
    return "".join(character for character in _PREFERRED if characters.has(character))


def inverted(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """All code points outside the ranges, without surrogates."""
    result: list[tuple[int, int]] = []
    start = 0
    for low, high in [*sorted([*ranges, (0xD800, 0xDFFF)]), (LAST_CODE_POINT + 1, LAST_CODE_POINT + 1)]:
        if low > start:
            result.append((start, low - 1))
        start = max(start, high + 1)
    return tuple(result)


_DIGITS: Final[Ranges] = ((48, 57),)
_WORDS: Final[Ranges] = ((97, 122), (65, 90), (48, 57), (95, 95))
_SPACES: Final[Ranges] = ((32, 32), (9, 13), (0xA0, 0xA0))
CLASSES: Final = {
    "d": Characters(_DIGITS),
    "D": Characters(inverted(_DIGITS)),
    "w": Characters(_WORDS),
    "W": Characters(inverted(_WORDS)),
    "s": Characters(_SPACES),
    "S": Characters(inverted(_SPACES)),
    ".": Characters(inverted([(10, 10), (13, 13)])),
}
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}


def class_escape(letter: str) -> Characters | None:
    """The set behind `\\d`, `\\W` and so on."""
    return CLASSES.get(letter) if letter != "." else None


def control_escape(letter: str) -> Characters | None:
    """The character behind `\\t`, `\\n` and so on."""
    character = _CONTROLS.get(letter)
    return None if character is None else Characters(((ord(character), ord(character)),))
