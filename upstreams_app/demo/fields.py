"""Readers of request fields that name the field in the error, as OpenAI does."""

from __future__ import annotations

from typing import Any, Final

from gateway_project.core.codec import loads
from gateway_project.core.errors import InvalidRequest

MAX_TOKEN_NUMBERS: Final = 65_536
JsonObject = dict[str, Any]


def parse_body(body: bytes) -> JsonObject:
    """The request as an object; raises InvalidRequest."""
    try:
        fields = loads(body)
    except ValueError as error:
        raise InvalidRequest("We could not parse the JSON body of your request.") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("The JSON body of your request must be an object.")
    return fields


def wrong_type(param: str, expected: str, value: Any) -> InvalidRequest:
    """The error for a value of the wrong type."""
    message = f"Invalid type for '{param}': expected {expected}, but got {json_type(value)} instead."
    return InvalidRequest(message, param=param, code="invalid_type")


def wrong_value(param: str, message: str) -> InvalidRequest:
    """The error for a value of the right type that can't be."""
    return InvalidRequest(f"Invalid value for '{param}': {message}", param=param, code="invalid_value")


def json_type(value: Any) -> str:
    """A value's type in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {int: "an integer", float: "a number", str: "a string", list: "an array", dict: "an object"}
    return names[type(value)]


def read_integer(fields: JsonObject, name: str, *, low: int, high: int) -> int | None:
    """An integer between the bounds, or None where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if not low <= value <= high:
        raise wrong_value(name, f"expected an integer from {low} to {high}.")
    return value


def check_number(fields: JsonObject, name: str, *, low: float, high: float) -> None:
    """Refuse what is no number between the bounds; absent and null are fine."""
    value = fields.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a number", value)
    if not low <= value <= high:
        raise wrong_value(name, f"expected a number from {low:g} to {high:g}.")


def check_token_numbers(name: str, value: list[Any]) -> None:
    """Refuse more token numbers, in a list and in the lists in it, than one request may hold."""
    if len(value) + sum(len(item) for item in value if isinstance(item, list)) > MAX_TOKEN_NUMBERS:
        raise wrong_value(name, f"expected at most {MAX_TOKEN_NUMBERS} token numbers.")


def read_boolean(fields: JsonObject, name: str, *, default: bool) -> bool:
    """A boolean; the default where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong_type(name, "a boolean", value)
    return value


def read_stop(fields: JsonObject) -> tuple[str, ...]:
    """The `stop` sequences: none, one or up to four."""
    value = fields.get("stop")
    if value is None:
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or any(not isinstance(text, str) for text in texts):
        raise wrong_type("stop", "a string or an array of strings", value)
    if len(texts) > 4:
        raise wrong_value("stop", "expected at most 4 sequences.")
    return tuple(text for text in texts if text)


def read_include_usage(fields: JsonObject, *, is_stream: bool) -> bool:
    """Whether the stream shall end with a usage chunk."""
    options = fields.get("stream_options")
    if options is None:
        return False
    if not is_stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise InvalidRequest(message, param="stream_options")
    if not isinstance(options, dict):
        raise wrong_type("stream_options", "an object", options)
    return read_boolean(options, "include_usage", default=False)
