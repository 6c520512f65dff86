"""Numbers of JSON without loss: a float that remembers how it was written."""

from __future__ import annotations

from decimal import Decimal


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
