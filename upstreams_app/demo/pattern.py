"""Simple regular expressions of JSON Schema: make a text that fits, and tell whether a text fits.

Patterns come from clients, so they never reach Python's backtracking `re`: the matcher here works on sets of
positions and takes polynomial time. Look-around, back-references and word boundaries are not supported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from upstreams_app.demo.pattern_characters import CLASSES, Characters, class_escape, control_escape, inverted

MAX_TEXT: Final = 512
MAX_WEIGHT: Final = 512
MAX_DEPTH: Final = 16


class UnsupportedPattern(ValueError):
    """The pattern is wrong, too large, or uses what this module does not know."""


@dataclass(frozen=True, slots=True)
class Edge:
    """`^` (at the start) or `$` (at the end)."""

    is_start: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts that follow each other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Parts of which one fits."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part `low` to `high` times; None is without end."""

    part: Node
    low: int
    high: int | None


Node = Characters | Edge | Sequence | Alternatives | Repeat


def parse_pattern(pattern: str) -> Node:
    """The pattern as a tree; raises UnsupportedPattern."""
    parser = _Parser(pattern)
    node = parser.alternatives(0)
    if parser.position != len(pattern):
        raise UnsupportedPattern("unbalanced parenthesis")
    if weight(node) > MAX_WEIGHT:
        raise UnsupportedPattern("too many repetitions")
    return node


def samples(node: Node) -> Iterator[str]:
    """Texts that usually fit, the shortest first; each branch of the outermost choice is tried."""
    for choice in range(4):
        for extra in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55):
            yield _sample(node, extra, choice)


def fits(node: Node, text: str) -> bool:
    """Whether the pattern is found anywhere in the text; texts over MAX_TEXT characters never fit."""
    return len(text) <= MAX_TEXT and bool(_ends(node, text, set(range(len(text) + 1))))


def _sample(node: Node, extra: int, choice: int) -> str:
    if isinstance(node, Characters):
        return node.sample(extra + choice)
    if isinstance(node, Edge):
        return ""
    if isinstance(node, Sequence):
        return "".join([_sample(part, extra, choice) for part in node.parts])
    if isinstance(node, Alternatives):
        return _sample(node.parts[choice % len(node.parts)], extra, choice)
    count = node.low + extra if node.high is None else min(node.low + extra, node.high)
    return "".join([_sample(node.part, extra if count == 1 else 0, choice) for _ in range(count)])


def _ends(node: Node, text: str, starts: set[int]) -> set[int]:
    """Where a match of the node may end if it begins at one of `starts`."""
    if isinstance(node, Characters):
        return {start + 1 for start in starts if start < len(text) and node.has(text[start])}
    if isinstance(node, Edge):
        return starts & {0 if node.is_start else len(text)}
    if isinstance(node, Sequence):
        for part in node.parts:
            starts = _ends(part, text, starts) if starts else starts
        return starts
    if isinstance(node, Alternatives):
        return set().union(*(_ends(part, text, starts) for part in node.parts))
    return _repeat_ends(node, text, starts)


def _repeat_ends(node: Repeat, text: str, starts: set[int]) -> set[int]:
    current = starts
    for _ in range(node.low):
        current = _ends(node.part, text, current)
    found = set(current)
    rounds = len(text) if node.high is None else node.high - node.low
    for _ in range(rounds):
        current = _ends(node.part, text, current) - found
        if not current:
            break
        found |= current
    return found


def weight(node: Node) -> int:
    """How large the pattern is with its repetitions written out; what is endless counts once."""
    if isinstance(node, Sequence | Alternatives):
        return sum(weight(part) for part in node.parts)
    if isinstance(node, Repeat):
        return max(node.low, node.high or 1, 1) * weight(node.part)
    return 1


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.position = 0

    def alternatives(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise UnsupportedPattern("nested too deeply")
        branches = [self.sequence(depth)]
        while self.skip("|"):
            branches.append(self.sequence(depth))
        return branches[0] if len(branches) == 1 else Alternatives(tuple(branches))

    def sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.quantified(self.atom(depth)))
        return Sequence(tuple(parts))

    def atom(self, depth: int) -> Node:
        character = self.take()
        if character == "(":
            return self.group(depth)
        if character == "[":
            return self.character_class()
        if character == ".":
            return CLASSES["."]
        if character in "^$":
            return Edge(is_start=character == "^")
        if character == "\\":
            return self.escape()
        if character in "*+?":
            raise UnsupportedPattern("nothing to repeat")
        return Characters(((ord(character), ord(character)),))

    def group(self, depth: int) -> Node:
        if self.skip("?"):
            self.group_prefix()
        node = self.alternatives(depth + 1)
        if not self.skip(")"):
            raise UnsupportedPattern("unbalanced parenthesis")
        return node

    def group_prefix(self) -> None:
        self.skip("P")
        if self.skip(":"):
            return
        if not self.skip("<") or self.peek() in ("=", "!"):
            raise UnsupportedPattern("look-around is not supported")
        while self.take() != ">":
            pass

    def escape(self) -> Characters:
        character = self.take()
        if character in "xu":
            return self.code_point(2 if character == "x" else 4)
        found = class_escape(character) or control_escape(character)
        if found is not None:
            return found
        if character.isalnum():
            raise UnsupportedPattern(f"\\{character} is not supported")
        return Characters(((ord(character), ord(character)),))

    def code_point(self, digits: int) -> Characters:
        text = "".join([self.take() for _ in range(digits)])
        try:
            code = int(text, 16)
        except ValueError as error:
            raise UnsupportedPattern("wrong escape") from error
        return Characters(((code, code),))

    def character_class(self) -> Characters:
        is_negated = self.skip("^")
        ranges: list[tuple[int, int]] = []
        while not self.skip("]"):
            low = self.class_member()
            is_range = self.peek() == "-" and self.pattern[self.position + 1 : self.position + 2] not in (
                "]",
                "",
            )
            if is_range and low.is_single:
                self.take()
                high = self.class_member()
                if not high.is_single or high.first < low.first:
                    raise UnsupportedPattern("wrong range")
                ranges.append((low.first, high.first))
            else:
                ranges.extend(low.ranges)
        if not ranges:
            raise UnsupportedPattern("empty class")
        return Characters(inverted(ranges) if is_negated else tuple(ranges))

    def class_member(self) -> Characters:
        character = self.take()
        return self.escape() if character == "\\" else Characters(((ord(character), ord(character)),))

    def quantified(self, node: Node) -> Node:
        bounds = self.quantifier()
        if bounds is None:
            return node
        self.skip("?")
        return Repeat(node, *bounds)

    def quantifier(self) -> tuple[int, int | None] | None:
        if self.skip("*"):
            return 0, None
        if self.skip("+"):
            return 1, None
        if self.skip("?"):
            return 0, 1
        return self.counted() if self.skip("{") else None

    def counted(self) -> tuple[int, int | None]:
        end = self.pattern.find("}", self.position)
        low, comma, high = self.pattern[self.position : end].partition(",")
        if end < 0 or not _is_count(low) or (high and not _is_count(high)):
            raise UnsupportedPattern("wrong repetition")
        self.position = end + 1
        bounds = int(low), (int(high) if high else None) if comma else int(low)
        if bounds[1] is not None and bounds[1] < bounds[0]:
            raise UnsupportedPattern("wrong repetition")
        return bounds

    def peek(self) -> str:
        return self.pattern[self.position : self.position + 1]

    def skip(self, character: str) -> bool:
        if self.peek() != character:
            return False
        self.position += 1
        return True

    def take(self) -> str:
        character = self.peek()
        if not character:
            raise UnsupportedPattern("the pattern ends too early")
        self.position += 1
        return character
