"""Who is led to the wizard and when it is over (for the installation), and how far a person is (session)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.db.models import Case, Value, When
from django.http import HttpRequest

from gateway_project.core.clock import utc_now
from security_app.models import ApiKey, FirstRun
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.services.discovery import FoundServer

SESSION_KEY = "first_run"
PERMISSIONS = (
    "upstreams_app.add_upstream",
    "upstreams_app.change_upstream",
    "upstreams_app.probe_upstream",
    "security_app.add_apikey",
)
MAX_CHAT_MODELS = 200
# The first start makes a key, and registers the demo and what it finds, before anybody has seen the admin.
_BOOTSTRAP = "bootstrap"


def may_use(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether a person may do all that the wizard does."""
    return isinstance(user, PermissionsMixin) and user.has_perms(PERMISSIONS)


def is_due() -> bool:
    """Whether this installation is new: nobody was led here, and nobody added an upstream or a key."""
    if FirstRun.objects.exists():
        return False
    return (
        not Upstream.objects.exclude(kind="demo").exists()
        and not ApiKey.objects.exclude(created_by=_BOOTSTRAP).exists()
    )


def mark_led() -> None:
    """Remember that an administrator was led to the wizard, so that nobody is again."""
    row = FirstRun.load()
    if row.led_at is None:
        row.led_at = utc_now()
        row.save(update_fields=["led_at"])


class Progress:
    """What a person has done in the wizard so far. It lives in the session and never holds a key."""

    def __init__(self, request: HttpRequest) -> None:
        self._session = request.session

    def _values(self) -> dict[str, Any]:
        values = self._session.get(SESSION_KEY)
        return values if isinstance(values, dict) else {}

    def set(self, **values: Any) -> None:
        """Remember JSON values by name."""
        self._session[SESSION_KEY] = {**self._values(), **values}

    def forget(self) -> None:
        """Forget everything, as the wizard is left."""
        self._session.pop(SESSION_KEY, None)

    def has(self, name: str) -> bool:
        """Whether a value is remembered and true."""
        return bool(self._values().get(name))

    def text(self, name: str) -> str:
        """A remembered text, or ""."""
        return str(self._values().get(name, ""))

    @property
    def found(self) -> list[FoundServer] | None:
        """The servers on this machine that the page offered; None before it was shown."""
        values = self._values().get("found")
        return None if values is None else [FoundServer(*server) for server in values]

    @property
    def upstream(self) -> Upstream | None:
        """The upstream that was chosen, if it still exists."""
        try:
            chosen = UUID(self.text("upstream"))
        except ValueError:
            return None
        return Upstream.objects.filter(pk=chosen).first()


def chat_models(upstream: Upstream | None) -> list[str]:
    """Public ids of enabled chat models, at most 200: those of `upstream` first, then all but the demo's."""
    place = Case(
        When(upstream=upstream, then=Value(0)),
        When(upstream__kind="demo", then=Value(2)),
        default=Value(1),
    )
    rows = UpstreamModel.objects.filter(
        is_enabled=True, upstream__is_enabled=True, mode=UpstreamModel.Mode.CHAT
    ).order_by(place, "upstream__name", "name")
    return [f"{owner}/{name}" for owner, name in rows.values_list("upstream__name", "name")[:MAX_CHAT_MODELS]]
