"""Thoughts that a model writes into its text, between `<think>` and `</think>`, parted from its answer.

Servers without a parser for reasoning (vLLM, Ollama, LM Studio, TensorRT-LLM) leave them there. Only tags at
the very beginning are meant: later ones may be what the answer is about.
"""

from __future__ import annotations

from typing import Final, NamedTuple

OPEN: Final = "<think>"
CLOSE: Final = "</think>"
# White space before the tag is held back while it may still come; no model writes more of it.
_MOST_SPACE: Final = 64


class Parted(NamedTuple):
    """What a piece of text holds: the thoughts always come before the answer."""

    thoughts: str = ""
    answer: str = ""


class ThoughtTags:
    """Parts one text that comes in pieces, cut anywhere.

    `is_opened`: the prompt has opened the tag, as templates of some models do, so that the text begins with
    thoughts. White space around the tags is left out, but for that at the end of the thoughts.
    """

    def __init__(self, *, is_opened: bool) -> None:
        self._is_opened = is_opened
        self._held = ""
        self._take = self._begin
        self._has_thoughts = False
        self.is_answering = False

    def feed(self, piece: str) -> Parted:
        """What is certain with this piece."""
        if self.is_answering:
            return Parted(answer=piece)
        text, self._held = self._held + piece, ""
        return self._take(text)

    def finish(self) -> Parted:
        """What was held back, now that nothing follows."""
        text, self._held = self._held, ""
        is_thought = self._take == self._think or (self._take == self._begin and self._is_opened)
        self.is_answering = True
        return Parted(thoughts=text) if is_thought else Parted(answer=text)

    def _begin(self, text: str) -> Parted:
        said = text.lstrip()
        if said.startswith(OPEN):
            self._take = self._think
            return self._think(said.removeprefix(OPEN))
        if OPEN.startswith(said) and len(text) - len(said) <= _MOST_SPACE:
            self._held = text
            return Parted()
        if self._is_opened:
            self._take = self._think
            return self._think(text)
        return self._answer(text)

    def _think(self, text: str) -> Parted:
        thoughts, tag, rest = text.partition(CLOSE)
        if not tag:
            kept = _beginning_of_tag(text)
            thoughts, self._held = text[: len(text) - kept], text[len(text) - kept :]
        if not self._has_thoughts:
            thoughts = thoughts.lstrip()
        self._has_thoughts = self._has_thoughts or bool(thoughts)
        if not tag:
            return Parted(thoughts)
        self._take = self._end
        return Parted(thoughts, self._end(rest).answer)

    def _end(self, text: str) -> Parted:
        text = text.lstrip()
        return self._answer(text) if text else Parted()

    def _answer(self, text: str) -> Parted:
        self.is_answering = True
        return Parted(answer=text)


def part(text: str, *, is_opened: bool) -> Parted:
    """A whole text."""
    tags = ThoughtTags(is_opened=is_opened)
    first, last = tags.feed(text), tags.finish()
    return Parted(first.thoughts + last.thoughts, first.answer + last.answer)


def _beginning_of_tag(text: str) -> int:
    """How many characters at the end may be the first ones of the closing tag."""
    start = text.rfind("<", len(text) - len(CLOSE) + 1 if len(text) >= len(CLOSE) else 0)
    return len(text) - start if start >= 0 and CLOSE.startswith(text[start:]) else 0
