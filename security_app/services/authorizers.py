"""External authorizers: made, changed, deleted, and asked whether they answer at all."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.db.models import Q

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.errors import InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from gateway_project.core.outbound import check_url
from security_app.models import ExternalAuthorizer
from security_app.models.authorizer import MIN_SECRET_CHARS
from security_app.models.limits import WhenUnavailable
from security_app.registry import KeyPolicy, Principal
from security_app.registry.authorizers import Authorizer
from security_app.services.authorizer_wire import Asked, BadAnswer, question
from security_app.services.authorizing import ask_here
from security_app.services.people import create_row, delete_row, update_row

_KIND = "authorizer"
_NAMES = {"is_enabled": "enabled"}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Nobody, who asks for what there is not: whatever is answered, it answers.
_NOBODY = Principal(None, "test", "test", KeyPolicy(frozenset(), ()), 0.0, False)
_TRIAL = Asked("model", "test/test", "inference", "192.0.2.1", "POST", "/v1/chat/completions")


class Trial(NamedTuple):
    """What came of a question: the answer, or why there is none, and how long it took."""

    is_answered: bool
    is_allowed: bool
    text: str
    latency_ms: float


def find_authorizer(reference: str) -> ExternalAuthorizer:
    """An authorizer by its public id or its name; NotFound otherwise."""
    row_id = parse_public_id(_KIND, reference)
    query = Q(name=reference) if row_id is None else Q(pk=row_id) | Q(name=reference)
    row: ExternalAuthorizer | None = ExternalAuthorizer.objects.filter(query).first()
    if row is None:
        raise NotFound("There is no such external authorizer.", param=_KIND)
    return row


def create_authorizer(*, actor: str, secret: str = "", **values: Any) -> ExternalAuthorizer:
    """Make an authorizer; InvalidRequest or Conflict with the field."""
    row = ExternalAuthorizer(**values)
    check_address(row.url)
    _set_secret(row, secret)
    return create_row(row, kind=_KIND, actor=actor, names=_NAMES)


def update_authorizer(
    row: ExternalAuthorizer, *, actor: str, secret: str = "", **values: Any
) -> ExternalAuthorizer:
    """Change fields of an authorizer, and no others; without a secret it keeps its own."""
    if "url" in values:
        check_address(values["url"])
    if secret:
        _set_secret(row, secret)
        values["secret_sealed"] = row.secret_sealed
    return update_row(row, kind=_KIND, actor=actor, names=_NAMES, values=values)


def delete_authorizer(row: ExternalAuthorizer, *, actor: str) -> None:
    """Delete an authorizer: nobody asks it any more."""
    delete_row(row, kind=_KIND, actor=actor)


def try_authorizer(row: ExternalAuthorizer) -> Trial:
    """Ask it now, also while it is off; counts nothing and keeps nothing."""
    started = perf_counter()

    def trial(is_answered: bool, is_allowed: bool, text: str) -> Trial:
        return Trial(is_answered, is_allowed, text, round((perf_counter() - started) * 1000, 1))

    try:
        authorizer = _as_it_is_stored(row)
        answer = ask_here(authorizer, question(authorizer, _NOBODY, _TRIAL), "test")
    except DecryptionError:
        return trial(False, False, "its secret can't be decrypted")
    except BadAnswer as error:
        return trial(False, False, str(error))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return trial(False, False, f"it can't be reached ({type(error).__name__})")
    return trial(True, answer.is_allowed, answer.reason)


def _as_it_is_stored(row: ExternalAuthorizer) -> Authorizer:
    return Authorizer(
        row.id,
        row.name,
        row.url,
        row.get_secret(),
        tuple(row.asked_about),
        frozenset(row.sends),
        row.timeout_ms / 1000,
        row.when_unavailable == WhenUnavailable.OPEN,
        0.0,
    )


def check_address(url: str) -> None:
    """InvalidRequest if questions must not go to an address."""
    try:
        check_url(url, allow_private=settings.ALLOW_PRIVATE_HOSTS)
    except ValueError as error:
        raise InvalidRequest(f"The address is not usable: {error}.", param="url") from error
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK and not settings.ALLOW_PRIVATE_HOSTS:
        raise InvalidRequest("The address must be https: who may do what goes there.", param="url")


def _set_secret(row: ExternalAuthorizer, secret: str) -> None:
    if not MIN_SECRET_CHARS <= len(secret) <= 1000:
        raise InvalidRequest(f"The secret needs {MIN_SECRET_CHARS} to 1000 characters.", param="secret")
    row.set_secret(secret)
