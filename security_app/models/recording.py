"""How writes of configuration rows become events of the audit, in the transaction of the write.

`ConfigModel` and its query sets call this; each has counted the change in `ConfigVersion` before, so that
the locks are taken in their one order. A write of more than `MAX_EVENTS` rows becomes one event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import models
from django.db.models.sql.where import WhereNode

from security_app.models.chain import Draft, append, cleaned
from security_app.models.images import (
    changed_names,
    image_from,
    image_name,
    image_of,
    is_masked,
    told_fields,
)

CREATED, UPDATED, DELETED = "created", "updated", "deleted"
MAX_EVENTS = 500
_MAX_FILTER_CHARS = 1000
_EXAMPLES = 5
Model = type[models.Model]
Images = dict[Any, dict[str, Any]]


def stored_image(row: models.Model, *, is_new: bool) -> dict[str, Any] | None:
    """What the database says of a row that is about to be saved; None if it has none."""
    if row.pk is None or is_new or (row._state.adding and row._meta.pk.has_default()):
        return None
    return _stored(row)


def note_saved(row: models.Model, before: Mapping[str, Any] | None, fields: Iterable[str] | None) -> None:
    """Record a row that was created or updated; `fields` are those that were written, None for all."""
    after = _stored(row) if _is_computed(row) else image_of(row)
    if after is None:
        return
    if before is not None and fields is not None:
        written = {*fields}
        names = [field.attname for field in told_fields(type(row)) if {field.name, field.attname} & written]
        after = {**before, **{name: after[name] for name in names}}
    append(_drafts(type(row), [(before, after)]))


def existing(model: Model, rows: Sequence[models.Model]) -> Images:
    """What the database says of rows, by primary key, that it may have already."""
    return _read(model, None, pk__in=[row.pk for row in rows[: MAX_EVENTS + 1]])


def note_created(model: Model, rows: Sequence[models.Model], *, before: Images | None = None) -> None:
    """Record rows that were created at once; `before` is what existed, where some may have."""
    if len(rows) > MAX_EVENTS:
        examples = [image_name(image_of(row)) for row in rows[:_EXAMPLES]]
        append([_folded(CREATED, model, len(rows), examples=examples)])
    elif before is None:
        append(_drafts(model, [(None, image_of(row)) for row in rows]))
    else:
        append(_drafts(model, [(before.get(key), image) for key, image in existing(model, rows).items()]))


def images_of(query: models.QuerySet[Any]) -> Images | None:
    """What a query's rows say, by primary key; None if they are too many to record each."""
    # A query of its own: the caller's may be ordered, annotated, or return other things than rows.
    found = _read(query.model, query.db, pk__in=query.order_by().values("pk"))
    return None if len(found) > MAX_EVENTS else found


def note_updated(
    query: models.QuerySet[Any], before: Images | None, *, rows: int, values: Mapping[str, Any]
) -> None:
    """Record an update of many rows: each, or if they are too many (`before` is None) what was set where."""
    model = query.model
    if before is None:
        sets = {name: _told(model, name, value) for name, value in values.items()}
        append([_folded(UPDATED, model, rows, set=sets, where=described(model, query.query.where))])
    elif before:
        after = _read(model, query.db, pk__in=list(before))
        append(_drafts(model, [(image, after[key]) for key, image in before.items() if key in after]))


def note_bulk_update(model: Model, rows: int, fields: Sequence[str]) -> None:
    """Record that these fields of many rows were written, each with its own value."""
    append([_folded(UPDATED, model, rows, fields=sorted(fields))])


_is_muted: ContextVar[bool] = ContextVar("audit_is_muted", default=False)


@contextmanager
def muted() -> Iterator[None]:
    """In here updates of rows record nothing, for who calls records all of them."""
    token = _is_muted.set(True)
    try:
        yield
    finally:
        _is_muted.reset(token)


def is_muted() -> bool:
    """Whether somebody above records what happens here."""
    return _is_muted.get()


class _Deletions:
    """Rows that one deletion takes along, by model, and how many beyond those that are recorded each."""

    def __init__(self) -> None:
        self.images: dict[Model, list[dict[str, Any]]] = {}
        self.counts: dict[Model, int] = {}

    def add(self, row: models.Model) -> None:
        model = type(row)
        self.counts[model] = self.counts.get(model, 0) + 1
        if self.counts[model] <= MAX_EVENTS:
            self.images.setdefault(model, []).append(image_of(row))

    def drafts(self) -> list[Draft]:
        found: list[Draft] = []
        for model, images in self.images.items():
            if self.counts[model] > MAX_EVENTS:
                examples = [image_name(image) for image in images[:_EXAMPLES]]
                found.append(_folded(DELETED, model, self.counts[model], examples=examples))
            else:
                found += _drafts(model, [(image, None) for image in images])
        return found


_deletions: ContextVar[_Deletions | None] = ContextVar("audit_deletions", default=None)


@contextmanager
def deleting() -> Iterator[None]:
    """Records what is deleted in here, with all that goes along, at its end."""
    if _deletions.get() is not None:
        yield
        return
    found = _Deletions()
    token = _deletions.set(found)
    try:
        yield
    finally:
        _deletions.reset(token)
    append(found.drafts())


def note_deletion(row: models.Model) -> bool:
    """Keep what a row says that is about to go; False if nobody gathers deletions."""
    found = _deletions.get()
    if found is not None:
        found.add(row)
    return found is not None


def described(model: Model, node: Any) -> str:
    """A query's conditions for people, without the values of secrets, shortened."""
    return cleaned(_described(model, node))[:_MAX_FILTER_CHARS]


def _described(model: Model, node: Any) -> str:
    if isinstance(node, WhereNode):
        parts = [_described(model, child) for child in node.children]
        text = f" {node.connector} ".join(parts)
        text = f"({text})" if len(parts) > 1 else text
        return f"NOT {text}" if node.negated else text
    target = getattr(getattr(node, "lhs", None), "target", None)
    if target is None:
        return type(node).__name__
    return f"{target.attname} {node.lookup_name} {_told(model, target.attname, node.rhs)}"


def _told(model: Model, name: str, value: Any) -> str:
    if is_masked(model, name):
        return "(masked)"
    return f"({type(value).__name__})" if hasattr(value, "as_sql") else str(value)[:200]


def _is_computed(row: models.Model) -> bool:
    return any(hasattr(getattr(row, field.attname), "resolve_expression") for field in told_fields(type(row)))


def _stored(row: models.Model) -> dict[str, Any] | None:
    return _read(type(row), row._state.db, pk=row.pk).get(row.pk)


def _read(model: Model, database: str | None, **wanted: Any) -> Images:
    """Images of rows by primary key, one more than may be recorded."""
    names = [field.attname for field in told_fields(model)]
    rows = model._base_manager.using(database).filter(**wanted).values(*names)[: MAX_EVENTS + 1]
    key = model._meta.pk.attname
    return {values[key]: image_from(model, values) for values in rows}


def _drafts(
    model: Model, pairs: Iterable[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]
) -> list[Draft]:
    return [
        Draft(
            _action(before, after),
            model._meta.label_lower,
            *_identity(model, after or before or {}),
            before,
            after,
        )
        for before, after in pairs
        if before is None or after is None or changed_names(before, after)
    ]


def _identity(model: Model, image: Mapping[str, Any]) -> tuple[str, str]:
    return str(image[model._meta.pk.attname]), image_name(image)


def _action(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None:
        return CREATED
    if after is None:
        return DELETED
    # A tombstone: the row stays, what it stood for is gone.
    is_ended = after.get("deleted_at") is not None and before.get("deleted_at") is None
    return DELETED if is_ended else UPDATED


def _folded(action: str, model: Model, rows: int, **detail: Any) -> Draft:
    name = f"{rows} {model._meta.verbose_name_plural}"
    return Draft(action, model._meta.label_lower, "", name, detail={"rows": rows, **detail})
