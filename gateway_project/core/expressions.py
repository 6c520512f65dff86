"""CEL expressions (https://cel.dev) that administrators write into rules; what they may cost is bounded.

The library has no bound of its own: two nested `map` over 64 items took 15 ms, a sum of lists inside of `all`
2.6 s, one counted regular expression 60 ms, each with the interpreter lock held. So what multiplies work is
refused at compile time: `map`, `filter` and `matches` are not there, `all`, `exists` and `exists_one` can not
be nested, `+` is not allowed inside of them. The worst of what is left took 2 ms, a usual rule about 20 µs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

MAX_CHARS = 500
MAX_LIST_ITEMS = 64
_MAX_TEXT_CHARS = 4096
_MAX_NODES = 512
_MAX_VALUE_DEPTH = 8
_MAX_BRACKETS = 16
_MAX_LOOPS = 4
_MAX_SUMS = 16
_LOOPS = frozenset({"all", "exists", "exists_one"})
_FUNCTIONS = _LOOPS | {
    *(
        "has",
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "int",
        "double",
        "string",
        "timestamp",
        "duration",
    ),
    *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
    *("getHours", "getMinutes", "getSeconds"),
}
_QUOTES = ("'", '"')
_TOKEN = re.compile(r"""(?P<text>'[^'\n]*'|"[^"\n]*")|(?P<name>[A-Za-z_]\w*)|(?P<sign>\S)""")
# What begins differently than it looks, so that this module and the library could read two things in it:
# escapes, raw and triple-quoted texts, comments, quoted names.
_AMBIGUOUS = re.compile(r"""\\|'''|\"\"\"|//|`|[^\x20-\x7e\n\t]""")
_STOPPED_AT = re.compile(r"ERROR: <input>:(\d+):(\d+)")
# A panic of the library is a BaseException, and so is what must pass through here.
_PASSES = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)


class ExpressionError(ValueError):
    """The expression can't be used; the message says why, in words for the one who wrote it."""


class Expression:
    """A compiled expression. `variables` are the names that it reads; no others need be given to it."""

    __slots__ = ("_run", "text", "variables")

    def __init__(self, text: str, variables: frozenset[str], run: Callable[[dict[str, Any]], Any]) -> None:
        self.text = text
        self.variables = variables
        self._run = run

    def is_true(self, values: Mapping[str, Any]) -> bool:
        """Whether the result is `true` itself. Whatever goes wrong, it is not."""
        return self.result(values) is True

    def is_false(self, values: Mapping[str, Any]) -> bool:
        """Whether the result is `false` itself. A rule that denies asks this: what goes wrong denies, too."""
        return self.result(values) is False

    def result(self, values: Mapping[str, Any]) -> Any:
        """Whatever the result is. If something goes wrong, it is None."""
        try:
            return self._run(self._given(values))
        except BaseException as error:
            if isinstance(error, _PASSES):
                raise
            return None

    def check_with(self, examples: Mapping[str, Any]) -> None:
        """ExpressionError if these values make an error, or a result that is neither true nor false."""
        try:
            result = self._run(self._given(examples))
        except Exception as error:
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ExpressionError(f"with example values it fails: {message[:200]}") from error
        if result is not True and result is not False:
            raise ExpressionError(f"its result must be true or false, not {type(result).__name__}")

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: values[name] for name in self.variables if name in values}
        _require_small(given)
        return given


def compile_expression(text: str, *, names: Collection[str]) -> Expression:
    """An expression over these names; ExpressionError if it can't be compiled or its cost not be bounded."""
    return _compiled(text, frozenset(names))


@lru_cache(maxsize=2048)
def _compiled(text: str, names: frozenset[str]) -> Expression:
    if not text.strip():
        raise ExpressionError("it is empty")
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"it has more than {MAX_CHARS} characters")
    loop_names = _require_bounded(text)
    # It brings a command line with it: nearly half a second that only who has conditions pays.
    import cel

    try:
        program = cel.compile(text)
        variables = frozenset(program.variables()) - (loop_names - names)
    except BaseException as error:
        if isinstance(error, _PASSES):
            raise
        raise ExpressionError(f"it is no valid CEL expression{_place(error)}") from error
    unknown = sorted(variables - names)
    if unknown:
        at = re.search(rf"\b{re.escape(unknown[0])}\b", text)
        place = f" (character {at.start() + 1})" if at else ""
        raise ExpressionError(f"there is no '{unknown[0]}' here{place}; known are {', '.join(sorted(names))}")
    return Expression(text, variables, program.execute)


def _place(error: BaseException) -> str:
    """Where the library stopped to understand, counted from 1; nothing else of its message is of use."""
    found = _STOPPED_AT.search(str(error))
    if found is None:
        return ""
    line, character = found.groups()
    return f" (character {character})" if line == "1" else f" (line {line}, character {character})"


def _require_bounded(text: str) -> frozenset[str]:
    """The names that loops give to their items; ExpressionError for what the module's docstring refuses."""
    if _AMBIGUOUS.search(text):
        raise ExpressionError(
            "backslashes, comments, triple quotes and characters beyond ASCII are not allowed"
        )
    tokens = list(_TOKEN.finditer(text))
    if any(one["name"] and two["text"] and one.end() == two.start() for one, two in pairwise(tokens)):
        raise ExpressionError("quotes with a prefix are not allowed")
    words = [token["name"] or token["sign"] for token in tokens if token["text"] is None]
    # For each open bracket: whether it is that of a loop.
    brackets: list[bool] = []
    loop_names = set()
    loops = sums = 0
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in "([{":
            brackets.append(word == "(" and before in _LOOPS)
            if brackets[-1]:
                loop_names.add(after)
        elif word in ")]}":
            del brackets[-1:]
        elif word in _QUOTES:
            raise ExpressionError("a quote is not closed")
        elif word == "+":
            sums += 1
            if any(brackets):
                raise ExpressionError("'+' is not allowed inside of all, exists and exists_one")
        elif after == "(":
            _require_function(word, is_inside=any(brackets))
            loops += word in _LOOPS
        if len(brackets) > _MAX_BRACKETS:
            raise ExpressionError(f"brackets are nested more than {_MAX_BRACKETS} deep")
    if loops > _MAX_LOOPS or sums > _MAX_SUMS:
        raise ExpressionError(f"it has more than {_MAX_LOOPS} loops or {_MAX_SUMS} sums")
    return frozenset(loop_names)


def _require_function(name: str, *, is_inside: bool) -> None:
    if not name.isidentifier() or name == "in":
        return
    if name not in _FUNCTIONS:
        raise ExpressionError(f"there is no function '{name}' here")
    if is_inside and name in _LOOPS:
        raise ExpressionError("all, exists and exists_one can't be nested")


def is_small(values: Mapping[str, Any]) -> bool:
    """Whether an expression may be given these values."""
    try:
        _require_small(values)
    except (TypeError, ValueError):
        return False
    return True


def _require_small(values: Mapping[str, Any]) -> None:
    """ValueError if there is more in the values than an expression may be given."""
    level: list[Any] = [values]
    nodes = 0
    for _ in range(_MAX_VALUE_DEPTH):
        inner: list[Any] = []
        for value in level:
            items = value.values() if isinstance(value, Mapping) else value
            if len(value) > MAX_LIST_ITEMS:
                raise ValueError(f"a list or object has more than {MAX_LIST_ITEMS} items")
            nodes += len(value)
            inner += (item for item in items if _is_nested(item))
        if nodes > _MAX_NODES:
            raise ValueError("there are too many values")
        if not inner:
            return
        level = inner
    raise ValueError("values are nested too deep")


def _is_nested(value: Any) -> bool:
    if isinstance(value, str):
        if len(value) > _MAX_TEXT_CHARS:
            raise ValueError("a text is too long")
        return False
    if value is None or isinstance(value, bool | int | float | datetime):
        return False
    if isinstance(value, Mapping | list | tuple):
        return True
    raise TypeError("a value is of no known type")
