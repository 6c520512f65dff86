"""JSON Schema validators that give up: arguments are a model's, and checking them holds up the event loop.

Each keyword that is looked at costs steps, so that neither long arguments nor schemas whose references
multiply take long. Patterns are the exception: nothing can stop a regular expression once it runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from itertools import islice
from typing import Any

# A fraction of a second.
MAX_STEPS = 20_000
_MAX_ERRORS = 100
Keyword = Callable[[Any, Any, Any, Any], Any]
_left: ContextVar[list[int]] = ContextVar("tools_app_validation_steps")


class TooMuchWork(Exception):
    """The steps of one check are used up."""


def errors_of(validator: Any, instance: object) -> list[Any]:
    """A hundred errors at most, by a `bounded` validator; TooMuchWork if that takes too many steps."""
    token = _left.set([MAX_STEPS])
    try:
        return list(islice(validator.iter_errors(instance), _MAX_ERRORS))
    finally:
        _left.reset(token)


@functools.cache
def bounded(kind: Any) -> Any:
    """A class of validators as `kind`, for schemas without `$schema`, which would lead back to `kind`."""
    from jsonschema.validators import extend  # type: ignore[import-untyped]  # It ships no types.

    keywords = {**kind.VALIDATORS, "uniqueItems": _unique_items}
    return extend(kind, {name: _counted(name, keyword) for name, keyword in keywords.items()})


def without_dialects(schema: Any) -> Any:
    """A copy of a schema without its `$schema`, at any depth."""
    if isinstance(schema, dict):
        return {
            name: without_dialects(member)
            for name, member in schema.items()
            if name != "$schema" or not isinstance(member, str)
        }
    return [without_dialects(member) for member in schema] if isinstance(schema, list) else schema


def _counted(name: str, keyword: Keyword) -> Keyword:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        steps = 1 + (len(value) if isinstance(value, list | dict) else 0)
        if name in ("patternProperties", "uniqueItems") and isinstance(instance, list | dict):
            steps *= 1 + len(instance)
        left = _left.get()
        left[0] -= steps
        if left[0] < 0:
            raise TooMuchWork
        return keyword(validator, value, instance, schema)

    return check


def _unique_items(validator: Any, is_wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """As the library's, which compares each item with each other."""
    from jsonschema import ValidationError  # type: ignore[import-untyped]

    if is_wanted and validator.is_type(instance, "array") and len(set(map(_key, instance))) < len(instance):
        yield ValidationError("an item is there twice")


def _key(value: Any) -> Hashable:
    """The same for values that JSON Schema takes for equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, list):
        return ("array", *map(_key, value))
    if isinstance(value, dict):
        return frozenset((name, _key(member)) for name, member in value.items())
    return (isinstance(value, bool), value)
