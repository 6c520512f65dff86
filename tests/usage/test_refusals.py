"""Calls that limits and budgets refuse: counted by key a minute at a time, stored once, watched by alerts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import public_id, uuid7
from gateway_project.denial_lines import DenialLines, encode_denials
from security_app.models import AuditEvent
from security_app.registry import KeyPolicy, Principal
from security_app.services import denials
from security_app.services.denials import LIMITED, VERSION, Denials, note_limited
from tests.usage.entries import ALICE, BOB
from usage_app.models import Alert, AlertRule, RefusedCalls
from usage_app.services.alerts.evaluation import evaluate_rules
from usage_app.services.refusals import purge_refusals

pytestmark = pytest.mark.django_db


def refused(count: int, who: str = public_id("key", ALICE), reason: str = "limit") -> Denials:
    now = int(utc_now().timestamp())
    return Denials(
        v=VERSION,
        id=uuid7(),
        action=LIMITED,
        who=who,
        kind="key",
        reason=reason,
        count=count,
        first=now,
        last=now,
    )


def stored(*folds: Denials) -> None:
    lines = DenialLines()
    lines.store([lines.decode(encode_denials(fold)[:-1]) for fold in folds])


def test_a_minute_is_stored_once_and_is_no_event_of_the_audit() -> None:
    fold = refused(7)

    stored(fold)
    stored(fold, refused(1, "master key"))

    assert sorted(RefusedCalls.objects.values_list("calls", flat=True)) == [1, 7]
    assert not AuditEvent.objects.filter(action=LIMITED).exists()


def test_a_spike_is_an_alert_in_all_and_of_each_key() -> None:
    stored(refused(7), refused(3, public_id("key", BOB)), refused(2), refused(99, reason="budget"))
    AlertRule.objects.create(name="all", kind="rate_limited", threshold=Decimal(12))
    AlertRule.objects.create(name="too high", kind="rate_limited", threshold=Decimal(13))
    AlertRule.objects.create(name="keys", kind="rate_limited", per="key", threshold=Decimal(9))
    AlertRule.objects.create(name="money", kind="over_budget", threshold=Decimal(99))

    assert evaluate_rules(now=utc_now() + timedelta(seconds=2)) == 3

    found = {alert.rule_name: (alert.subject, alert.value) for alert in Alert.objects.all()}
    assert found == {"all": ("", 12), "keys": (ALICE.hex, 9), "money": ("", 99)}


def test_what_no_rule_can_look_back_at_goes() -> None:
    stored(refused(1))
    assert purge_refusals() == 0

    assert purge_refusals(now=utc_now() + timedelta(days=46)) == 1


def test_refusals_are_folded_by_key_and_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = denials.DenialFolds()
    monkeypatch.setattr(denials, "limited_folds", counted)
    alice = Principal(ALICE, "alice", "", KeyPolicy(frozenset({"inference"}), ()), 0.0, is_blocked=False)

    for reason in ("limit", "limit", "budget"):
        note_limited(alice, reason)

    folds = {(fold.who, fold.reason): fold.count for fold in counted.take(everything=True)}
    assert folds == {(public_id("key", ALICE), "limit"): 2, (public_id("key", ALICE), "budget"): 1}
