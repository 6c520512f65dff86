"""Who may enter a management route: the holder of a key, shown in a header; never a session cookie."""

from __future__ import annotations

import threading
import time

from django.db import DatabaseError
from django.db.models import Q
from django.http import HttpRequest
from ninja.security.base import AuthBase

from gateway_project.core import acting
from gateway_project.core.errors import AuthenticationFailed, Overloaded
from gateway_project.core.snapshot import Snapshot
from gateway_project.observability import metrics
from security_app.registry import DOORS, Principal
from security_app.registry.identities import MANAGEMENT
from security_app.services.authentication import SignedToken, UnknownKey, authenticate_in, bearer_token
from security_app.services.authorizer_wire import Asked
from security_app.services.authorizing import ask_authorizers_here
from security_app.services.configuration import store
from security_app.services.door_modes import require_token
from security_app.services.permissions import require_entry
from security_app.services.team_rights import Reach, administered_teams
from security_app.services.token_principals import LACKING, TokenRefused, principal_of_token
from security_app.services.token_supplies import supply_here

TEAM_SCOPE = "team"
_CHECK_INTERVAL_S = 0.1


class KeyAuth(AuthBase):
    """Any valid key: `Authorization: Bearer`, `x-api-key` or `api-key`; `request.auth` is its Principal."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    # The scope that is asked for; "" lets in every key.
    access = ""

    def __call__(self, request: HttpRequest) -> Principal:
        """The principal of the request; AuthenticationFailed if it shows no good key.

        PermissionDenied if it lacks the scope, or may not come from there or this way.
        """
        try:
            principal = _authenticate(request)
            require_token(_snapshot().sections[DOORS].value, principal, MANAGEMENT)
        except AuthenticationFailed as error:
            metrics.observe_denial(error.reason)
            raise
        acting.identify(principal.shown, acting.KEY)
        # For the log and the audit, if the route refuses it.
        request.principal = principal  # type: ignore[attr-defined]
        route = "/" + request.path.strip("/")
        ip = request.META.get("REMOTE_ADDR") or ""
        require_entry(principal, route, access=self.access_for(principal), ip=ip)
        doors = _snapshot().sections[DOORS].value
        # The master key is there to mend what is set up wrongly.
        if doors.authorizers and principal.key_id is not None:
            asked = Asked("route", route, MANAGEMENT, ip, request.method or "", route)
            ask_authorizers_here(doors, MANAGEMENT, principal, asked)
        return principal

    def access_for(self, principal: Principal) -> str:
        """The scope that is asked of this caller."""
        return self.access


class AdminAuth(KeyAuth):
    """A valid key with the scope `admin`, or the master key."""

    access = "admin"


class TeamAuth(AdminAuth):
    """Also a key with the scope `team`: `reach_of` says which teams it is for."""

    def access_for(self, principal: Principal) -> str:
        """Whoever has neither scope is told of `admin`."""
        scopes = principal.policy.scopes
        return TEAM_SCOPE if TEAM_SCOPE in scopes and self.access not in scopes else self.access


any_key = KeyAuth()
admin_key = AdminAuth()
team_key = TeamAuth()


def principal_of(request: HttpRequest) -> Principal:
    """Who was let in to this management route."""
    principal = getattr(request, "auth", None)
    if not isinstance(principal, Principal):
        raise AuthenticationFailed(reason="missing")
    return principal


def reach_of(request: HttpRequest) -> Reach:
    """The teams that this caller manages; None for one who manages everything."""
    principal = principal_of(request)
    if AdminAuth.access in principal.policy.scopes:
        return None
    if principal.owner_kind != "user" or not principal.user_id:
        return frozenset()
    teams = administered_teams(Q(user__user_id=principal.user_id))
    # Any admin of a team may make keys of it for its members, who may administer others.
    return teams if principal.team_id is None else teams & {principal.team_id}


def actor_name(request: HttpRequest) -> str:
    """How logs and rows name who makes a change by this route: the key's public id, or the master key."""
    return principal_of(request).shown


def shown_token(request: HttpRequest) -> str:
    """What the request shows as a key, good or not."""
    return _token(request)


def _token(request: HttpRequest) -> str:
    return bearer_token(request.headers.get("authorization", "")) or _other_key(request)


def _other_key(request: HttpRequest) -> str:
    return request.headers.get("x-api-key", "") or request.headers.get("api-key", "")


def _authenticate(request: HttpRequest) -> Principal:
    token = _token(request)
    try:
        return _authenticate_key(token)
    except SignedToken:
        try:
            return _authenticate_token(token)
        except TokenRefused as refused:
            if refused.is_permissive and (key := _other_key(request)):
                return _authenticate_key(key)
            raise


def _authenticate_key(token: str) -> Principal:
    try:
        return authenticate_in(_snapshot(), token)
    except SignedToken:
        raise
    except UnknownKey:
        # The key may have been made in another process a moment ago.
        _looks.look()
        return authenticate_in(_snapshot(), token)


def _authenticate_token(token: str) -> Principal:
    """Each thing that a token lacks is looked for once."""
    supplied: set[type[TokenRefused]] = set()
    while True:
        try:
            return principal_of_token(_snapshot(), token, MANAGEMENT)
        except LACKING as lacking:
            if type(lacking) in supplied or not supply_here(lacking):
                raise
            supplied.add(type(lacking))
            _looks.look()


def _snapshot() -> Snapshot:
    if not store.is_loaded:
        try:
            store.refresh()
        except DatabaseError as error:
            raise Overloaded("The configuration can't be read now.", headers={"retry-after": "5"}) from error
    return store.current


class _Looks:
    """Reloads what changed; callers at the same time share one look, at most ten a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = 0.0

    def look(self) -> None:
        """Return after a look at the database that began after this call."""
        arrived = time.monotonic()
        with self._lock:
            if self._started > arrived:
                return
            wait_s = self._started + _CHECK_INTERVAL_S - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            self._started = time.monotonic()
            store.refresh()


_looks = _Looks()
