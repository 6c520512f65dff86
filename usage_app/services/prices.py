"""Prices as somebody looks at them: which one holds, which ones are to come, and new ones with their day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.services.configuration import refresh_after_commit
from usage_app.models import Price

State = Literal["holds", "overridden", "later", "past"]


def prices_for_display(now: datetime) -> QuerySet[Price]:
    """All prices with what `state_of` asks, in one query."""
    begun = Price.objects.filter(model=OuterRef("model"), valid_from__lte=now)
    same = begun.filter(source=OuterRef("source"), valid_from__gt=OuterRef("valid_from"))
    override = begun.filter(source=Price.Source.OVERRIDE).order_by("-valid_from")
    return Price.objects.annotate(
        has_later=Exists(same), override_is_withdrawn=Subquery(override.values("is_withdrawn")[:1])
    )


def state_of(row: Any, now: datetime) -> State:
    """What a row out of `prices_for_display` means now."""
    if row.valid_from > now:
        return "later"
    if row.has_later:
        return "past"
    if row.source == Price.Source.CATALOGUE and row.override_is_withdrawn is False:
        return "overridden"
    return "holds"


def priced_models(now: datetime) -> set[str]:
    """The ids of models that have a price now."""
    rows = Price.objects.filter(valid_from__lte=now).order_by("valid_from")
    last = {
        (model, source): is_withdrawn
        for model, source, is_withdrawn in rows.values_list("model", "source", "is_withdrawn").iterator(2000)
    }
    return {model for (model, _), is_withdrawn in last.items() if not is_withdrawn}


def find_price(reference: str, now: datetime) -> Any:
    """A row out of `prices_for_display` by its public id; NotFound."""
    identifier = parse_public_id("price", reference)
    row = None if identifier is None else prices_for_display(now).filter(pk=identifier).first()
    if row is None:
        raise NotFound("There is no such price.", param="price")
    return row


def add_price(values: Mapping[str, Any]) -> Price:
    """An override from a moment on, now if none is given; InvalidRequest that names the field, Conflict."""
    now = utc_now()
    begins = values.get("valid_from") or now
    if begins < now:
        raise InvalidRequest("'valid_from' is past: what was used then is paid.", param="valid_from")
    row = Price(**{**values, "valid_from": begins}, source=Price.Source.OVERRIDE)
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(f"'{name}' can't be used: {messages[0]}", param=name) from error
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            refresh_after_commit()
    except IntegrityError as error:
        raise Conflict("The model has a price from that moment on already.", param="valid_from") from error
    return row


def drop_price(reference: str) -> Price:
    """Take back an override that holds later; what holds or held stays: Conflict."""
    with transaction.atomic():
        row: Price = find_price(reference, utc_now())
        if row.source != Price.Source.OVERRIDE or row.valid_from <= utc_now():
            raise Conflict(
                "Records may refer to this price: add one that holds from now on, or one that is withdrawn."
            )
        identifier = row.pk
        row.delete()
        row.pk = identifier
        refresh_after_commit()
    return row
