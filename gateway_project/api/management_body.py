"""JSON of the management API: numbers keep their text, and what a database could not hold is refused."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, NoReturn

import msgspec
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.exact import ExactFloat

MAX_DEPTH = 40


class BodyParser(Parser):
    """Reads bodies so that prices are exact, and so that no text can fail later in the database."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The body's value; ninja turns every exception from here into its own, with this one as cause."""
        try:
            value = json.loads(
                request.body, parse_float=_number, parse_int=_integer, parse_constant=_refuse_constant
            )
        except RecursionError as error:
            raise InvalidRequest("The body is nested too deeply.") from error
        except ValueError as error:
            raise InvalidRequest(f"The body is not valid JSON: {_reason(error)}.") from error
        if not isinstance(value, dict):
            raise InvalidRequest("The body must be a JSON object.")
        _check_texts(value, path="", depth=0)
        return value

    def parse_querydict(
        self, data: MultiValueDict[str, str], list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        """The query's values, free of NUL characters."""
        for name, text in data.items():
            if "\0" in name or "\0" in str(text):
                raise InvalidRequest("The query holds a NUL character.")
        values: dict[str, Any] = super().parse_querydict(data, list_fields, request)
        return values


def _number(text: str) -> ExactFloat:
    number = ExactFloat(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _integer(text: str) -> int:
    # Longer ones are no numbers to databases and most readers; 20 characters hold all of 64 bits.
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError("a number is too large")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _reason(error: ValueError) -> str:
    """What is wrong and where, without a piece of the body, which may hold a secret."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error)


def _check_texts(value: Any, *, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, path)
            _check_texts(item, path=f"{path}.{name}" if path else name, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item, path=path, depth=depth + 1)


def _check_text(text: str, path: str) -> None:
    # NUL is what PostgreSQL can't store; a lone surrogate is no character at all.
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidRequest(
            "A text holds a NUL character or half of a surrogate pair.", param=path[:200] or None
        )


def _as_written(value: Any) -> Any:
    """A number of somebody's body is told as it was written there."""
    if isinstance(value, ExactFloat):
        return value.to_decimal()
    raise TypeError(f"{type(value).__name__} is no JSON")


# As Decimal writes it; inside of a text it only costs the time.
_EXPONENT = re.compile(rb"[0-9]E[-+][0-9]")


class ExactRenderer(BaseRenderer):
    """Writes Decimals as JSON numbers, digit by digit and without an exponent, and times in UTC."""

    media_type = "application/json"
    _encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_as_written)

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        """The JSON of an answer."""
        encoded = self._encoder.encode(data)
        # Few answers have one. Going through a long one by the pattern takes longer than writing it twice.
        may_have = b"E-" in encoded or b"E+" in encoded
        return self._encoder.encode(_plain(data)) if may_have and _EXPONENT.search(encoded) else encoded


def _plain(value: Any) -> Any:
    """Numbers such as 5E-7 as 0.0000005: readers of money may know no exponents."""
    if isinstance(value, Decimal):
        return value if "E" not in str(value) else msgspec.Raw(f"{value:f}".encode())
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
