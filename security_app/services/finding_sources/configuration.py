"""Rows of the configuration that hold secrets in the open, or that the gateway can't use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import models

from security_app.models import ConfigModel, Finding
from security_app.models.images import image_name
from security_app.services.configuration import store
from security_app.services.findings import Found
from security_app.services.secret_patterns import secret_forms

# Their builders run the code of agents, which has no business here.
_OF_AGENTS = ("agent_folders", "agents")
_SEALED = ("_sealed", "digest")
_BATCH = 500


def plaintext_secrets(_now: datetime) -> Iterator[Found]:
    """Rows with what looks like a secret in a column that is not encrypted: which row, column and form."""
    for model in apps.get_models():
        if issubclass(model, ConfigModel):
            yield from _secrets_of(model)


def _secrets_of(model: type[ConfigModel]) -> Iterator[Found]:
    columns = [field.attname for field in model._meta.concrete_fields if _may_hold_text(field)]
    rows = model._default_manager.order_by("pk").values("pk", *columns)
    for row in rows.iterator(_BATCH):
        forms = {name: found for name in columns if (found := secret_forms(_text(row[name])))}
        if forms:
            told = "; ".join(f"{name}: {', '.join(found)}" for name, found in forms.items())
            yield Found(
                "plaintext_secret",
                Finding.Severity.CRITICAL,
                f"What looks like a secret stands in the open in {told}.",
                model._meta.label_lower,
                row["pk"].hex if isinstance(row["pk"], UUID) else str(row["pk"]),
                image_name(row),
            )


def _may_hold_text(field: models.Field[Any, Any]) -> bool:
    is_text = isinstance(field, models.CharField | models.TextField | models.JSONField)
    return is_text and not field.attname.endswith(_SEALED)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def left_out(_now: datetime) -> Iterator[Found]:
    """Rows that are stored and not in force, because they can't be used; agents show theirs themselves."""
    for item in store.left_out(without=_OF_AGENTS):
        yield Found(
            "config_drift", Finding.Severity.WARNING, item.message, item.section, item.object, item.object
        )
