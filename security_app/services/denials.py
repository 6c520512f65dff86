"""What was refused: counted in memory by who and why, told once a minute, and chained by the flusher.

An attack costs a look into a small table for each refusal, and a few events a minute. What the current minute
holds is lost if the process is killed; what was handed on is not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec
from django.db import transaction

from gateway_project.core.acting import ANONYMOUS, KEY
from gateway_project.core.errors import GatewayError
from gateway_project.core.ids import uuid7
from security_app.models import AuditEvent
from security_app.models.chain import Draft, append, cleaned
from security_app.registry import Principal

logger = logging.getLogger(__name__)
DENIED, LOGIN_FAILED = "denied", "login_failed"
# Of limits and budgets: these are counted, and no events of the audit.
LIMITED = "limited"
VERSION = 1
# In one minute of one process; whoever is beyond that is counted together with all others.
MAX_FOLDS = 64
# Of these for callers whom nobody knows: a flood of made-up keys does not hide what known ones try.
MAX_ANONYMOUS = 32
MAX_EXAMPLES = 5
OTHERS = "(others)"
_MAX_TEXT = 200
_WINDOW_S = 60
_LONG_ENOUGH = 16


class Denials(msgspec.Struct, tag_field="line", tag="denials", kw_only=True, omit_defaults=True):
    """Refusals of one minute to one caller for one reason; moments in seconds since 1970."""

    v: int
    id: UUID
    action: str
    who: str
    kind: str
    reason: str
    count: int
    first: int
    last: int
    what: list[str] = []
    addresses: list[str] = []


class DenialFolds:
    """Counts refusals of the current minute. Any thread may use it; nothing here waits for long."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minute = 0
        self._folds: dict[tuple[str, str, str], Denials] = {}
        self._due: list[Denials] = []

    def add(self, action: str, who: tuple[str, str], reason: str, *, what: str = "", ip: str = "") -> None:
        """Count one; `who` is a name and the kind of actor."""
        now = int(self._clock())
        with self._lock:
            self._turn(now)
            fold = self._fold(action, who, reason, now)
            fold.count += 1
            fold.last = now
            _keep(fold.what, what)
            _keep(fold.addresses, ip)

    def take(self, *, everything: bool = False) -> list[Denials]:
        """What is complete, each once; with `everything` the current minute, too."""
        with self._lock:
            self._turn(int(self._clock()))
            if everything:
                self._due += self._folds.values()
                self._folds = {}
            due, self._due = self._due, []
        return due

    def give_back(self, folds: Sequence[Denials]) -> int:
        """Keep for later what could not be handed on; how many had to be dropped."""
        with self._lock:
            room = max(4 * MAX_FOLDS - len(self._due), 0)
            self._due += folds[:room]
        return len(folds) - len(folds[:room])

    def _turn(self, now: int) -> None:
        minute = now // _WINDOW_S
        if minute != self._minute:
            self._minute = minute
            self._due += self._folds.values()
            self._folds = {}
            del self._due[: -4 * MAX_FOLDS]

    def _fold(self, action: str, who: tuple[str, str], reason: str, now: int) -> Denials:
        reason = reason[:64]
        place = action, who[0][:_MAX_TEXT], reason
        if place not in self._folds and self._is_full(who[1]):
            who = OTHERS, ANONYMOUS
            # The kinds of actions are few, reasons nearly so.
            place = action, OTHERS, reason if len(self._folds) < 2 * MAX_FOLDS else ""
        fold = self._folds.get(place)
        if fold is None:
            fold = Denials(
                v=VERSION,
                id=uuid7(),
                action=action,
                who=cleaned(who[0])[:_MAX_TEXT],
                kind=who[1],
                reason=cleaned(place[2]),
                count=0,
                first=now,
                last=now,
            )
            self._folds[place] = fold
        return fold

    def _is_full(self, kind: str) -> bool:
        if len(self._folds) >= MAX_FOLDS:
            return True
        strangers = sum(fold.kind == ANONYMOUS for fold in self._folds.values())
        return kind == ANONYMOUS and strangers >= MAX_ANONYMOUS


def _keep(examples: list[str], text: str) -> None:
    if text and len(examples) < MAX_EXAMPLES:
        text = cleaned(text)[:_MAX_TEXT]
        if text not in examples:
            examples.append(text)


folds = DenialFolds()
# Apart: keys that meet their limits do not hide what else is refused.
limited_folds = DenialFolds()
_sink: Callable[[Denials], None] | None = None


def set_denial_sink(sink: Callable[[Denials], None]) -> None:
    """Say who takes what is complete: in servers the journal."""
    global _sink
    _sink = sink


def note_denial(
    principal: Principal | None, reason: str, what: str, *, token: str = "", ip: str = ""
) -> None:
    """Count that somebody was refused; never blocks, never raises.

    `reason` is one of a few words, `what` what was asked for. `token` is what was shown instead of a good
    key: its ends are told, as in lists of keys.
    """
    folds.add(DENIED, _who(principal, token), reason, what=what, ip=ip)


def note_failed_login(name: str, *, reason: str = "credentials", ip: str = "") -> None:
    """Count that somebody could not sign in by this name, for what was shown (credentials, code)."""
    folds.add(LOGIN_FAILED, (name or "(nobody)", ANONYMOUS), reason, ip=ip)


def note_limited(principal: Principal, reason: str) -> None:
    """Count a call that a limit or a budget refused; never blocks, never raises."""
    limited_folds.add(LIMITED, (principal.shown, KEY), reason)


def hand_on(*, everything: bool = False) -> None:
    """Give complete minutes to the sink; each second, and with `everything` before the process ends."""
    for counted in (folds, limited_folds):
        _hand_on(counted, counted.take(everything=everything))


def _hand_on(counted: DenialFolds, due: Sequence[Denials]) -> None:
    if _sink is None:
        return
    for position, fold in enumerate(due):
        try:
            _sink(fold)
        except GatewayError:
            # The journal is full; it is tried again.
            if dropped := counted.give_back(due[position:]):
                logger.warning("audit.denials_dropped", extra={"folds": dropped})
            return


def chain_denials(found: Sequence[Denials]) -> int:
    """Chain what the audit lacks, in one transaction; how many were new. Again changes nothing."""
    with transaction.atomic():
        ids = [fold.id for fold in found]
        known = set(AuditEvent.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
        new = {fold.id: _draft(fold) for fold in found if fold.id not in known}
        append(list(new.values()))
    return len(new)


def _who(principal: Principal | None, token: str) -> tuple[str, str]:
    if principal is not None:
        return principal.shown, KEY
    if not token:
        return "(no key)", ANONYMOUS
    if len(token) < _LONG_ENOUGH:
        return "(a short text)", ANONYMOUS
    return f"{token[:4]}…{token[-4:]}", ANONYMOUS


def _draft(fold: Denials) -> Draft:
    detail: dict[str, object] = {
        "reason": fold.reason,
        "count": fold.count,
        "first": fold.first,
        "last": fold.last,
        "what": fold.what,
        "addresses": fold.addresses,
    }
    actor = fold.who
    if fold.action == LOGIN_FAILED:
        # Whoever it was, it was not proved to be that person.
        actor, detail = ANONYMOUS, {"name": fold.who, **detail}
    return Draft(
        fold.action,
        "request" if fold.action == DENIED else "auth.user",
        "",
        fold.what[0] if fold.what else "",
        detail=detail,
        event_id=fold.id,
        actor=actor,
        actor_kind=fold.kind,
        ip=fold.addresses[0] if fold.addresses else "",
    )
