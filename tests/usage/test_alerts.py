"""Alerts: begun once, told to each channel at least once, ended when the figure is below again."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core import mail
from pytest_django import Settings

from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from tests.usage.entries import ALICE, BOB, id_at, make_entry, store
from usage_app.models import Alert, AlertChannel, AlertMessage, AlertRule
from usage_app.services.alerts.delivery import SIGNATURE_HEADER, send_due
from usage_app.services.alerts.evaluation import evaluate_rules
from usage_app.services.alerts.retention import purge_alerts
from usage_app.services.rollups import roll_up

pytestmark = pytest.mark.django_db
# A Wednesday.
NOON = datetime(2026, 11, 18, 12, 5, tzinfo=UTC)
DOLLAR = 1_000_000_000


@pytest.fixture(autouse=True)
def _mail_is_configured(settings: Settings) -> None:
    settings.MAIL_IS_CONFIGURED = True


def used(moment: datetime, *, number: int = 1, **fields: object) -> None:
    """A call at that moment, summed up."""
    store(make_entry(id=id_at(moment, number), **fields))
    roll_up()


def make_rule(**fields: object) -> AlertRule:
    values: dict[str, object] = {"name": "Spend", "kind": "cost", "threshold": Decimal(2)}
    rule: AlertRule = AlertRule.objects.create(**{**values, **fields})
    return rule


def mail_channel(**fields: object) -> AlertChannel:
    values: dict[str, object] = {"name": "ops", "kind": "mail", "recipients": ["ops@example.org"]}
    channel: AlertChannel = AlertChannel.objects.create(**{**values, **fields})
    return channel


def hook_channel(url: str, secret: str = "") -> AlertChannel:
    channel = AlertChannel(name="hook", kind="webhook")
    channel.set_url(url)
    channel.set_secret(secret)
    channel.save()
    return channel


def test_an_alert_begins_at_the_threshold_and_not_a_nano_dollar_below() -> None:
    make_rule()
    used(NOON, cost_nano=2 * DOLLAR - 1)
    assert evaluate_rules(now=NOON) == 0

    used(NOON, number=2, cost_nano=1)

    assert evaluate_rules(now=NOON) == 1
    assert Alert.objects.get().value == Decimal(2)


def test_an_alert_is_opened_once_and_keeps_its_highest_figure() -> None:
    make_rule()
    used(NOON, cost_nano=3 * DOLLAR)
    evaluate_rules(now=NOON)
    used(NOON, number=2, cost_nano=DOLLAR)

    assert evaluate_rules(now=NOON + timedelta(minutes=1)) == 0

    assert Alert.objects.get().value == Decimal(4)


def test_an_alert_ends_when_the_span_has_passed() -> None:
    rule = make_rule(window_minutes=60)
    rule.channels.add(mail_channel())
    used(NOON, cost_nano=3 * DOLLAR)
    evaluate_rules(now=NOON)

    assert evaluate_rules(now=NOON + timedelta(minutes=50)) == 0
    assert evaluate_rules(now=NOON + timedelta(minutes=80)) == 1

    assert Alert.objects.get().closed_at == NOON + timedelta(minutes=80)
    assert list(AlertMessage.objects.values_list("event", flat=True)) == ["opened", "closed"]


def test_each_key_has_an_alert_of_its_own() -> None:
    make_rule(per="key")
    used(NOON, key_id=ALICE, cost_nano=3 * DOLLAR)
    used(NOON, number=2, key_id=BOB, cost_nano=DOLLAR)

    evaluate_rules(now=NOON)

    assert [alert.subject for alert in Alert.objects.all()] == [ALICE.hex]


def test_errors_need_enough_requests_to_say_anything() -> None:
    make_rule(kind="errors", threshold=Decimal(50), min_requests=2)
    used(NOON, status=502, state="aborted")
    assert evaluate_rules(now=NOON) == 0

    used(NOON, number=2, status=200)

    assert evaluate_rules(now=NOON) == 1
    assert Alert.objects.get().detail == "1 of 2 requests"


def test_spend_within_working_hours_is_none_outside_of_them() -> None:
    make_rule(kind="off_hours", window_minutes=1440, time_zone="Europe/Berlin", threshold=Decimal(1))
    used(NOON, cost_nano=3 * DOLLAR)
    assert evaluate_rules(now=NOON) == 0

    # 19:30 in Berlin.
    evening = NOON.replace(hour=18, minute=30)
    used(evening, number=2, cost_nano=DOLLAR)

    assert evaluate_rules(now=evening + timedelta(minutes=1)) == 1
    assert Alert.objects.get().value == Decimal(1)


def test_a_rule_that_fails_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    make_rule(name="A", kind="off_hours", time_zone="No/Where")
    make_rule(name="B")
    used(NOON, cost_nano=3 * DOLLAR)

    assert evaluate_rules(now=NOON) == 1

    assert "alert.rule_failed" in caplog.text


def test_what_is_switched_off_ends_its_alerts() -> None:
    rule = make_rule()
    used(NOON, cost_nano=3 * DOLLAR)
    evaluate_rules(now=NOON)

    AlertRule.objects.filter(pk=rule.pk).update(is_enabled=False)

    assert evaluate_rules(now=NOON) == 1
    assert Alert.objects.filter(closed_at=None).count() == 0


def test_a_lasting_alert_is_told_again_after_its_pause_only() -> None:
    rule = make_rule(repeat_minutes=30)
    rule.channels.add(mail_channel())
    used(NOON, cost_nano=3 * DOLLAR)

    for minutes in (0, 29, 30, 31):
        evaluate_rules(now=NOON + timedelta(minutes=minutes))

    assert list(AlertMessage.objects.values_list("event", flat=True)) == ["opened", "repeated"]


def test_a_mail_names_rule_figure_and_threshold() -> None:
    rule = make_rule(name="Spend\nBcc: x@example.org")
    rule.channels.add(mail_channel())
    used(NOON, cost_nano=3 * DOLLAR)
    evaluate_rules(now=NOON)

    assert send_due(now=NOON) == 1

    (sent,) = mail.outbox
    assert sent.to == ["ops@example.org"]
    assert sent.subject == "[Agent Gateway] Alert began: Spend Bcc: x@example.org"
    assert "Highest figure: $3; threshold: $2" in str(sent.body)
    assert send_due(now=NOON + timedelta(hours=1)) == 0


def test_a_webhook_gets_signed_json_and_is_asked_again_until_it_takes_it() -> None:
    answers = [503, 200]

    async def respond(exchange: Exchange) -> None:
        await exchange.respond(answers.pop(0), b"")

    with HttpServer(respond) as server:
        rule = make_rule()
        rule.channels.add(hook_channel(f"http://127.0.0.1:{server.port}/hook?code=1", "s3cret"))
        used(NOON, cost_nano=3 * DOLLAR)
        evaluate_rules(now=NOON)

        assert send_due(now=NOON) == 0
        assert send_due(now=NOON + timedelta(seconds=30)) == 0
        assert send_due(now=NOON + timedelta(minutes=2)) == 1

    first, second = server.requests
    assert first.body == second.body
    digest = hmac.new(b"s3cret", second.body, hashlib.sha256).hexdigest()
    assert second.header(SIGNATURE_HEADER) == f"sha256={digest}"
    assert json.loads(second.body)["value"] == "3.000000000"
    assert AlertMessage.objects.get().attempts == 2


def test_a_message_is_given_up_after_a_day_and_says_why() -> None:
    rule = make_rule()
    # Nobody listens there.
    rule.channels.add(hook_channel("http://127.0.0.1:9/hook"))
    used(NOON, cost_nano=3 * DOLLAR)
    evaluate_rules(now=NOON)

    send_due(now=NOON + timedelta(hours=25))

    message = AlertMessage.objects.get()
    assert (message.given_up_at, message.error) == (NOON + timedelta(hours=25), "ConnectError")
    assert send_due(now=NOON + timedelta(hours=50)) == 0


def test_mail_without_a_server_is_not_sent_and_says_so(settings: Settings) -> None:
    settings.MAIL_IS_CONFIGURED = False
    rule = make_rule()
    rule.channels.add(mail_channel())
    used(NOON, cost_nano=3 * DOLLAR)
    evaluate_rules(now=NOON)

    assert send_due(now=NOON) == 0

    assert AlertMessage.objects.get().error == "EMAIL_URL is not set"
    assert mail.outbox == []


def test_alerts_that_ended_long_ago_go_and_others_stay(settings: Settings) -> None:
    settings.ALERT_RETENTION_DAYS = 1
    make_rule()
    values = {"rule_name": "x", "kind": "cost", "value": 1, "threshold": 1}
    Alert.objects.create(**values, closed_at=NOON)
    Alert.objects.create(**values, opened_at=NOON)

    assert purge_alerts() == 1

    assert Alert.objects.get().closed_at is None
