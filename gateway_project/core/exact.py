"""Numbers of JSON without loss: a float that remembers how it was written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


class ExactFloat(float):
    """A float for everybody, and an exact Decimal for who counts money. Made from a JSON number's text."""

    _text: str

    def __new__(cls, text: str) -> ExactFloat:
        """Keep the text beside the nearest float."""
        number = super().__new__(cls, text)
        number._text = text
        return number

    def to_decimal(self) -> Decimal:
        """The number exactly as it was written."""
        return Decimal(self._text)


def exact_decimal(value: Any) -> Any:
    """An amount of a body as Decimal, never by way of a float: from a number's own text, or decimal text.

    ValueError for what is no number; what is neither text nor number stays, for its schema to refuse.
    """
    if isinstance(value, ExactFloat):
        return value.to_decimal()
    if isinstance(value, bool | float):
        raise ValueError("give a number or decimal text")
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str):
        try:
            return Decimal(value.strip())
        except ArithmeticError as error:
            raise ValueError("give a number or decimal text") from error
    return value
