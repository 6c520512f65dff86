"""People are told that an upstream is down, and that it is no more."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.admin import rows
from upstreams_app.models import Upstream
from upstreams_app.services.maintenance import start_maintenance
from usage_app.models import Alert, AlertChannel, AlertMessage, AlertRule
from usage_app.services.alerts.evaluation import evaluate_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def dead() -> Upstream:
    """An upstream that is down, and a rule that tells so at once."""
    rule = AlertRule.objects.create(name="down", kind="upstream_down", per="upstream", threshold=Decimal(0))
    rule.channels.add(AlertChannel.objects.create(name="ops", kind="mail", recipients=["ops@example.org"]))
    row = rows.upstream("dead")
    rows.probe(rows.upstream("good"))
    rows.probe(row, is_healthy=False, error="the connection was refused")
    return row


def come_back(row: Upstream) -> None:
    for _ in range(2):
        rows.probe(row)


def rest(row: Upstream) -> None:
    start_maintenance([row.pk], actor="alice")


def switch_off(row: Upstream) -> None:
    Upstream.objects.filter(pk=row.pk).update(is_enabled=False)


@pytest.mark.parametrize("end", [come_back, rest, switch_off])
def test_the_alert_begins_and_ends(dead: Upstream, end: Callable[[Upstream], None]) -> None:
    evaluate_rules()
    evaluate_rules()

    alert = Alert.objects.get()
    assert (alert.subject, alert.detail, alert.closed_at) == ("dead", "the connection was refused", None)

    end(dead)
    evaluate_rules()

    alert.refresh_from_db()
    assert alert.closed_at is not None
    assert list(AlertMessage.objects.order_by("pk").values_list("event", flat=True)) == ["opened", "closed"]


def test_one_answer_ends_nothing(dead: Upstream) -> None:
    evaluate_rules()

    rows.probe(dead)
    evaluate_rules()

    assert Alert.objects.get().closed_at is None
