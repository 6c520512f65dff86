"""External authorizers as requests meet them: by what they are asked about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from gateway_project.core.codec import loads
from gateway_project.core.ids import public_id
from gateway_project.core.snapshot import Diagnostic
from security_app.models.authorizer import ASKED_ABOUT, SEALED_LABEL
from security_app.models.limits import WhenUnavailable
from security_app.models.secret import unseal
from security_app.registry.identities import uuid_of
from security_app.registry.policy import texts_of

ABOUT_MODELS, ABOUT_TOOLS = "models", "tools"


class Authorizer(NamedTuple):
    """A service to ask. `problem` is why it can't be: it is as if it did not answer, and fails closed."""

    id: UUID
    name: str
    url: str
    secret: str
    asked_about: tuple[str, ...]
    sends: frozenset[str]
    timeout_s: float
    is_fail_open: bool
    cache_s: float
    problem: str = ""


_COLUMNS = "id, name, url, secret_sealed, asked_about, sends, timeout_ms, when_unavailable, cache_s"


def load_authorizers(section: str, diagnostics: list[Diagnostic]) -> Iterator[Authorizer]:
    """All enabled ones; one that can't be used refuses, and why is added to `diagnostics`."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM security_app_externalauthorizer WHERE is_enabled = %s ORDER BY id",  # noqa: S608  (constants only)
            [True],
        )
        rows = cursor.fetchall()
    for row in rows:
        try:
            yield _authorizer(row)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
            problem = f"{type(error).__name__}: {error}"[:300]
            authorizer_id, name = uuid_of(row[0]), row[1]
            shown = f"external authorizer {name} ({public_id('authorizer', authorizer_id)})"
            diagnostics.append(Diagnostic(section, shown, problem))
            yield Authorizer(
                authorizer_id, name, "", "", ASKED_ABOUT, frozenset(), 1.0, False, 0.0, "it is set up wrongly"
            )


def _authorizer(row: tuple[Any, ...]) -> Authorizer:
    row_id, name, url, sealed, asked_about, sends, timeout_ms, when_unavailable, cache_s = row
    authorizer_id = uuid_of(row_id)
    about = texts_of(loads(asked_about), "what it is asked about")
    if not about or not set(about) <= {*ASKED_ABOUT}:
        raise ValueError("what it is asked about is not known")
    return Authorizer(
        authorizer_id,
        name,
        url,
        unseal(sealed, label=SEALED_LABEL, row_id=authorizer_id),
        about,
        frozenset(texts_of(loads(sends), "what is sent")),
        timeout_ms / 1000,
        when_unavailable == WhenUnavailable.OPEN,
        float(cache_s),
    )
