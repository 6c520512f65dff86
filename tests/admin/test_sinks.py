"""Usage sinks and buckets in the admin: what forms refuse, and how far sinks are; secrets stay hidden."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.usage.entries import make_entry, store
from tests.usage.sinks import SECRET, make_sink
from usage_app.models import Bucket, SinkState, UsageSink

pytestmark = pytest.mark.django_db
SINK = {"name": "siem", "kind": "webhook", "batch_size": "500", "is_enabled": "on"}
URL = "https://siem.example.org/very-secret-place"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "Give the URL to send to."),
        ({"url": "http://169.254.169.254/"}, "This can’t be called"),
        ({"url": URL, "secret": "plain"}, "This can’t be used"),
        ({"kind": "s3"}, "Choose the bucket to put events into."),
        ({"url": URL, "batch_size": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_a_sink_lacks_is_told_at_its_field(
    change: dict[str, str], message: str, admin_client: Client
) -> None:
    page = admin_client.post("/admin/usage_app/usagesink/add/", {**SINK, **change})

    assert message in page.content.decode()
    assert not UsageSink.objects.exists()


def test_secrets_are_stored_encrypted_and_not_shown_again(admin_client: Client) -> None:
    admin_client.post("/admin/usage_app/usagesink/add/", {**SINK, "url": URL, "secret": SECRET})
    row = UsageSink.objects.get()
    path = f"/admin/usage_app/usagesink/{row.pk}/change/"

    assert (row.get_url(), row.get_secret()) == (URL, SECRET)
    assert "very-secret" not in admin_client.get(path).content.decode()
    page = admin_client.post(path, {**SINK, "url": "https://elsewhere.example.org"})
    assert "Give the secret again when the URL changes." in page.content.decode()
    admin_client.post(path, {**SINK, "name": "x"})
    row.refresh_from_db()
    assert (row.name, row.get_url(), row.get_secret()) == ("x", URL, SECRET)


def test_a_bucket_moves_only_with_its_credential(admin_client: Client) -> None:
    fields = {"name": "archive", "bucket": "usage", "region": "eu-west-1", "is_enabled": "on"}
    admin_client.post("/admin/usage_app/bucket/add/", {**fields, "credential": "AKID:very-secret"})
    row = Bucket.objects.get()
    path = f"/admin/usage_app/bucket/{row.pk}/change/"

    page = admin_client.post(path, {**fields, "endpoint": "https://elsewhere.example.org"})

    assert "Give the credential again when the endpoint changes." in page.content.decode()
    row.refresh_from_db()
    assert (row.endpoint, row.get_credential()) == ("", "AKID:very-secret")


def test_the_list_tells_how_far_sinks_are_and_sends_again(admin_client: Client) -> None:
    sink = make_sink(URL)
    store(make_entry())
    SinkState.objects.update(
        attempts=2, error="HTTP 503", due_at=sink.created_at.replace(year=2100), sent_events=1234
    )

    page = admin_client.get("/admin/usage_app/usagesink/").content.decode()

    assert "not taken" in page
    assert "1,234" in page
    assert (
        "HTTP 503 (attempt 2)"
        in admin_client.get(f"/admin/usage_app/usagesink/{sink.pk}/change/").content.decode()
    )
    admin_client.post(
        "/admin/usage_app/usagesink/", {"action": "send_again", "_selected_action": [str(sink.pk)]}
    )
    assert SinkState.objects.get().due_at == sink.created_at
