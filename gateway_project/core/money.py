"""Money: US dollars as Decimal in code, whole nano-dollars (1e-9 USD) in the database and the journal.

SQLite has no exact decimal type, so the one field class stores an integer. Prices are dollars per
1 000 000 tokens; in nano-dollars they are whole numbers down to 0.001 nano-dollars a token.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.expressions import Combinable
from django.utils.functional import cached_property

NANO_PER_DOLLAR = 1_000_000_000
NANO = Decimal(NANO_PER_DOLLAR)
_MAX_USD = Decimal(2**63 - 1) / NANO


def to_nano(amount_usd: Decimal) -> int:
    """Dollars as whole nano-dollars, halves to even; ValueError if not finite or beyond 64 bits."""
    if not amount_usd.is_finite():
        raise ValueError("an amount of money must be finite")
    # Compared before it is multiplied: an exponent may be beyond what can be computed with.
    if abs(amount_usd) > _MAX_USD:
        raise ValueError("an amount of money must fit 64 bits of nano-dollars")
    return int((amount_usd * NANO).to_integral_value(ROUND_HALF_EVEN))


def from_nano(nano: int) -> Decimal:
    """Nano-dollars as an exact Decimal of dollars; nothing is 0, and not 0E-9."""
    return Decimal(nano).scaleb(-9) if nano else Decimal(0)


def usd_text(nano: int) -> str:
    """Nano-dollars, not negative, as decimal text of dollars without needless zeros."""
    dollars, rest = divmod(nano, NANO_PER_DOLLAR)
    return f"{dollars}.{rest:09d}".rstrip("0").rstrip(".")


if TYPE_CHECKING:
    _IntegerField = models.BigIntegerField[Any, Any]
else:
    _IntegerField = models.BigIntegerField


class MoneyField(_IntegerField):
    """Decimal dollars in Python, a big integer of nano-dollars in the database."""

    # What django-stubs reads: the types that attributes of models take and give.
    _pyi_private_set_type: Decimal | int | str | Combinable  # type: ignore[assignment]
    _pyi_private_get_type: Decimal  # type: ignore[assignment]

    description = "US dollars, exact to the nano-dollar"

    def from_db_value(self, value: int | None, expression: object, connection: object) -> Decimal | None:
        """Read an integer as Decimal dollars."""
        return None if value is None else from_nano(value)

    def to_python(self, value: Any) -> Decimal | None:
        """Accept Decimal, int or text; floats are refused, for they are not money."""
        if value is None or value == "":
            return None
        if isinstance(value, float):
            raise ValidationError("Give money as a decimal number, not a float.", code="float")
        try:
            amount = Decimal(value)
            to_nano(amount)
        except (InvalidOperation, ValueError, TypeError) as error:
            raise ValidationError("Enter an amount in dollars, such as 2.50.", code="invalid") from error
        return amount

    def get_prep_value(self, value: Any) -> int | None:
        """Write Decimal dollars as an integer."""
        amount = self.to_python(value)
        return None if amount is None else to_nano(amount)

    def value_to_string(self, obj: models.Model) -> str:
        """Serialise as decimal text."""
        value = self.value_from_object(obj)
        return "" if value is None else str(value)

    @cached_property
    def validators(self) -> list[Any]:
        """Integer range validators do not apply to dollars; `to_python` checks the range."""
        return [*self.default_validators, *self.__dict__["_validators"]]

    def formfield(self, *args: Any, **kwargs: Any) -> Any:
        """Edit as a decimal number with nine places."""
        from django import forms

        options: dict[str, Any] = {"max_digits": 19, "decimal_places": 9, "required": not self.blank}
        options |= {"label": self.verbose_name, "help_text": self.help_text, **kwargs}
        options.pop("form_class", None)
        options.pop("choices_form_class", None)
        return forms.DecimalField(**options)
