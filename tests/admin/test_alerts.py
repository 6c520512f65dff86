"""Alerts in the admin: what forms refuse, secrets that never come back, a test message."""

from __future__ import annotations

import pytest
from django.core import mail
from django.test import Client
from pytest_django import Settings

from usage_app.models import AlertChannel, AlertRule

pytestmark = pytest.mark.django_db
CHANNEL = {"name": "ops", "kind": "mail", "recipients": "ops@example.org", "is_enabled": "on"}
RULE = {
    "name": "Spend",
    "kind": "cost",
    "per": "all",
    "threshold": "2.50",
    "window_minutes": "60",
    "min_requests": "1",
    "time_zone": "UTC",
    "work_from_hour": "7",
    "work_to_hour": "19",
    "repeat_minutes": "0",
    "is_enabled": "on",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipients": ""}, "Mail needs at least one address."),
        ({"recipients": "nobody"}, "is no mail address"),
        ({"kind": "slack"}, "Give the URL to send to."),
        ({"kind": "webhook", "url": "http://169.254.169.254/"}, "This can’t be called"),
        ({"kind": "webhook", "url": "ftp://example.org"}, "This can’t be called"),
        ({"name": ""}, "This field is required."),
    ],
)
def test_what_a_channel_lacks_is_told_at_its_field(
    change: dict[str, str], message: str, admin_client: Client
) -> None:
    page = admin_client.post("/admin/usage_app/alertchannel/add/", {**CHANNEL, **change})

    assert message in page.content.decode()
    assert not AlertChannel.objects.exists()


def test_a_url_is_stored_encrypted_and_not_shown_again(admin_client: Client) -> None:
    url = "https://hooks.example.org/services/T0/B0/very-secret"
    fields = {**CHANNEL, "kind": "slack", "recipients": "", "url": url}
    admin_client.post("/admin/usage_app/alertchannel/add/", fields)
    row = AlertChannel.objects.get()

    assert row.get_url() == url
    assert "very-secret" not in row.url_sealed
    page = admin_client.get(f"/admin/usage_app/alertchannel/{row.pk}/change/").content.decode()
    assert "very-secret" not in page

    admin_client.post(f"/admin/usage_app/alertchannel/{row.pk}/change/", {**fields, "url": "", "name": "x"})

    row.refresh_from_db()
    assert (row.name, row.get_url()) == ("x", url)


def test_a_channel_moves_only_with_its_secret(admin_client: Client) -> None:
    url, elsewhere = "https://hooks.example.org/one", "https://hooks.example.org/two"
    fields = {**CHANNEL, "kind": "webhook", "recipients": ""}
    admin_client.post("/admin/usage_app/alertchannel/add/", {**fields, "url": url, "secret": "a-word"})
    row = AlertChannel.objects.get()
    path = f"/admin/usage_app/alertchannel/{row.pk}/change/"

    page = admin_client.post(path, {**fields, "url": elsewhere})

    assert "Give the secret again when the URL changes." in page.content.decode()
    row.refresh_from_db()
    assert row.get_url() == url
    admin_client.post(path, {**fields, "url": elsewhere, "secret": "a-word"})
    row.refresh_from_db()
    assert (row.get_url(), row.get_secret()) == (elsewhere, "a-word")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": "NaN"}, "Enter a number."),
        ({"threshold": "-1"}, "greater than or equal to 0"),
        ({"window_minutes": "5"}, "greater than or equal to 15"),
        ({"time_zone": "No/Where"}, "such as Europe/Berlin"),
        ({"kind": "latency", "per": "key"}, "is known of: the whole installation"),
        ({"kind": "unheard"}, "Select a valid choice"),
        ({"work_to_hour": "7"}, "must end after they begin"),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_at_its_field(
    change: dict[str, str], message: str, admin_client: Client
) -> None:
    page = admin_client.post("/admin/usage_app/alertrule/add/", {**RULE, **change})

    assert message in page.content.decode()
    assert not AlertRule.objects.exists()


def test_a_rule_is_made_with_its_channels(admin_client: Client) -> None:
    channel = AlertChannel.objects.create(name="ops", kind="mail", recipients=["ops@example.org"])

    admin_client.post("/admin/usage_app/alertrule/add/", {**RULE, "channels": [str(channel.pk)]})

    assert [str(one) for one in AlertRule.objects.get().channels.all()] == ["ops"]


def test_a_test_message_says_what_came_of_it(admin_client: Client, settings: Settings) -> None:
    settings.MAIL_IS_CONFIGURED = True
    good = AlertChannel.objects.create(name="good", kind="mail", recipients=["ops@example.org"])
    bad = AlertChannel(name="bad", kind="webhook")
    bad.set_url("http://127.0.0.1:9/")
    bad.save()

    page = admin_client.post(
        "/admin/usage_app/alertchannel/",
        {"action": "send_test", "_selected_action": [str(good.pk), str(bad.pk)]},
        follow=True,
    ).content.decode()

    assert "“good” took the message." in page
    assert "“bad” did not take the message: ConnectError." in page
    assert [message.to for message in mail.outbox] == [["ops@example.org"]]
