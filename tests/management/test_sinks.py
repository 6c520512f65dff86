"""Usage sinks and buckets over HTTP: their secrets to themselves, and nothing unknown."""

from __future__ import annotations

from typing import Any

from pytest_django import Settings

from security_app.models import AuditEvent, Team
from security_app.services.keys import create_key
from tests.management.caller import Caller
from tests.usage.sinks import SECRET
from usage_app.models import Bucket, SinkState, UsageSink

HOOK: dict[str, Any] = {
    "name": "siem",
    "kind": "webhook",
    "url": "https://siem.example.org/very-secret-place",
    "secret": SECRET,
}
BUCKET: dict[str, Any] = {
    "name": "archive",
    "bucket": "usage",
    "endpoint": "https://minio.example.org",
    "prefix": "gw/",
    "credential": "AKID:very-secret-word",
}


def test_a_sink_is_made_shown_changed_and_ended_without_its_secrets(admin: Caller) -> None:
    team = Team.objects.create(name="red")

    made = admin.ok("POST", "/usage/sinks", HOOK | {"team": team.public_id, "models": "acme/*"})

    assert (made["name"], made["kind"], made["has_url"], made["has_secret"]) == (
        "siem",
        "webhook",
        True,
        True,
    )
    assert (made["team"], made["models"], made["batch_size"]) == (team.public_id, "acme/*", 500)
    assert (made["lag_seconds"], made["sent_events"], made["error"]) == (0, 0, "")
    assert admin.ok("GET", "/usage/sinks/siem") == made
    assert admin.ok("GET", f"/usage/sinks/{made['id']}") == made
    assert admin.ok("GET", "/usage/sinks")["data"] == [made]
    changed = admin.ok(
        "PATCH", "/usage/sinks/siem", {"enabled": False, "team": "", "secret": "", "url": None}
    )
    assert (changed["enabled"], changed["team"], changed["has_secret"]) == (False, None, False)
    assert UsageSink.objects.get().get_url() == HOOK["url"]
    admin.ok("GET", "/audit")
    assert AuditEvent.objects.filter(object_type="usage_app.usagesink").count() == 2
    secrets = (b"very-secret", SECRET.removeprefix("whsec_").encode())
    assert not any(secret in answer for answer in admin.answers for secret in secrets)
    gone = {"id": made["id"], "name": "siem", "deleted": True}
    assert admin.ok("DELETE", "/usage/sinks/siem") == gone
    assert admin.refused("GET", "/usage/sinks/siem")["status"] == 404


def test_a_bucket_is_there_while_something_is_put_into_it(admin: Caller) -> None:
    made = admin.ok("POST", "/usage/buckets", BUCKET)
    sink = admin.ok("POST", "/usage/sinks", {"name": "lake", "kind": "s3", "bucket": "archive"})

    assert (made["has_credential"], made["prefix"], sink["bucket"]) == (True, "gw/", "archive")
    assert Bucket.objects.get().get_credential() == BUCKET["credential"]
    assert admin.refused("DELETE", "/usage/buckets/archive")["status"] == 409
    admin.ok("DELETE", "/usage/sinks/lake")
    assert admin.ok("DELETE", "/usage/buckets/archive")["deleted"] is True
    assert not any(b"very-secret" in answer for answer in admin.answers)


def test_a_report_names_the_bucket_that_its_files_go_into(admin: Caller) -> None:
    admin.ok("POST", "/usage/buckets", BUCKET)
    report = {"name": "Spend", "schedule": "monthly", "bucket": "archive"}

    assert admin.ok("POST", "/reports", report)["bucket"] == "archive"
    assert admin.ok("GET", "/reports")["data"][0]["bucket"] == "archive"
    assert admin.refused("DELETE", "/usage/buckets/archive")["status"] == 409
    assert admin.refused("POST", "/reports", report | {"name": "x", "bucket": "none"})["param"] == "bucket"


def test_where_secrets_go_changes_only_with_them(admin: Caller) -> None:
    admin.ok("POST", "/usage/sinks", HOOK)
    admin.ok("POST", "/usage/buckets", BUCKET)
    url = {"url": "https://elsewhere.example.org/"}
    endpoint = {"endpoint": "https://elsewhere.example.org"}

    assert admin.refused("PATCH", "/usage/sinks/siem", url)["param"] == "secret"
    assert admin.refused("PATCH", "/usage/buckets/archive", endpoint)["param"] == "credential"
    admin.ok("PATCH", "/usage/sinks/siem", url | {"secret": SECRET})
    admin.ok("PATCH", "/usage/buckets/archive", endpoint | {"credential": "a:b"})


def test_what_is_wrong_with_a_sink_is_named(admin: Caller) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"url": ""}, "url"),
        ({"url": "http://169.254.169.254/"}, "url"),
        ({"url": "https://siem.example.org/?token=a\nb"}, "url"),
        ({"secret": "plain"}, "secret"),
        ({"bucket": "none"}, "bucket"),
        ({"team": "none"}, "team"),
        ({"batch_size": 1001}, "batch_size"),
        ({"kind": "s3"}, "url"),
        ({"kind": "otlp"}, "secret"),
        ({"kind": "kafka"}, "kind"),
        ({"sealed": "x"}, "sealed"),
    ]

    for change, param in cases:
        assert admin.refused("POST", "/usage/sinks", HOOK | change)["param"] == param

    assert not UsageSink.objects.exists()


def test_what_is_wrong_with_a_bucket_is_named(admin: Caller, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False
    cases: list[tuple[dict[str, Any], str]] = [
        ({"bucket": "Usage"}, "bucket"),
        ({"endpoint": "http://127.0.0.1:9000"}, "endpoint"),
        ({"prefix": "../"}, "prefix"),
        ({"prefix": "no-slash"}, "prefix"),
        ({"region": "eu west"}, "region"),
        ({"credential": "no-secret"}, "credential"),
        ({"acl": "public-read"}, "acl"),
    ]

    for change, param in cases:
        assert admin.refused("POST", "/usage/buckets", BUCKET | change)["param"] == param

    assert not Bucket.objects.exists()


def test_a_sink_that_rests_is_served_again_when_asked_for(admin: Caller) -> None:
    admin.ok("POST", "/usage/sinks", HOOK)
    sink = UsageSink.objects.get()
    later = sink.created_at.replace(year=2100)
    SinkState.objects.update(due_at=later, attempts=3, error="HTTP 503")

    shown = admin.ok("POST", "/usage/sinks/siem/retry")

    assert (shown["error"], shown["attempts"]) == ("HTTP 503", 3)
    assert SinkState.objects.get().due_at < later


def test_only_administrators_see_sinks(admin: Caller) -> None:
    admin.ok("POST", "/usage/sinks", HOOK)
    bob = admin.with_key(create_key(actor="test", name="bob").plain)

    for method, path in (
        ("GET", "/usage/sinks"),
        ("POST", "/usage/buckets"),
        ("DELETE", "/usage/sinks/siem"),
    ):
        assert bob.refused(method, path)["status"] == 403
