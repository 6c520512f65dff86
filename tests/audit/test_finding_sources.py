"""What the nightly audit looks for: each source finds what it is for, and nothing beside it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Permission, User
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from gateway_project.core.crypto import new_api_key
from security_app.models import ApiKey, Budget, Finding, Limit, Team
from security_app.services.audit_anchors import write_anchor
from security_app.services.findings import finding_sources, run_audit
from security_app.services.secret_patterns import redacted, secret_forms
from tests.admin import rows
from tests.audit.chains import disarm, make_chain, rewrite, tampered
from tests.audit.findings import AWS, DAY, audit, key, made_before, open_findings
from tests.usage.entries import make_entry, store
from upstreams_app.models import UpstreamState
from usage_app.models import KeyUse, Reconciliation
from usage_app.services.rejects import Rejects
from usage_app.services.rollups import roll_up

pytestmark = pytest.mark.django_db
BOTH = ["inference", "admin"]


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Settings, tmp_path: Path) -> None:
    settings.GATEWAY_DATA_DIR = tmp_path
    settings.JOURNAL_DIR = tmp_path / "journal"


# Keys


def test_keys_that_expire_soon_or_have_expired_are_found() -> None:
    key("soon", expires_at=utc_now() + 6 * DAY)
    key("later", expires_at=utc_now() + 8 * DAY)
    key("blocked", expires_at=utc_now() + 6 * DAY, is_blocked=True)
    for name in ("over", "gone"):
        row = key(name, expires_at=utc_now() + DAY)
        ApiKey.objects.filter(pk=row.pk).update(expires_at=utc_now() - DAY)
    ApiKey.objects.get(name="gone").delete()

    audit("keys_expiring", "keys_expired")

    assert open_findings() == [("key_expired", "over"), ("key_expiring", "soon")]
    assert Finding.objects.get(kind="key_expired").object_id == ApiKey.objects.get(name="over").pk.hex


def test_keys_that_nobody_uses_are_found() -> None:
    for name in ("never", "long ago", "lately", "blocked"):
        made_before(key(name, is_blocked=name == "blocked"), 100)
    key("new")
    for name, days in (("long ago", 91), ("lately", 89)):
        of = ApiKey.objects.get(name=name).pk
        KeyUse.objects.create(key_id=of, last_used_at=utc_now() - days * DAY, requests=3)

    audit("keys_unused")

    assert open_findings() == [("key_unused", "long ago"), ("key_unused", "never")]


def test_keys_that_may_do_everything_are_found() -> None:
    key("broad", scopes=BOTH)
    key("of a team", scopes=BOTH, team=Team.objects.create(name="team"))
    key("one scope", scopes=["admin"])
    key("some models", scopes=BOTH, allowed_models=["acme/*"])
    limited, budgeted = key("limited", scopes=BOTH), key("budgeted", scopes=BOTH)
    Limit.objects.create(subject_kind="key", subject_id=limited.pk.hex, value=60)
    Budget.objects.create(budget_id="b", subject_kind="key", subject_id=budgeted.pk.hex, amount=5)

    audit("keys_over_permissive")

    assert open_findings() == [("key_over_permissive", "broad")]


# Rows of the configuration


def test_a_secret_in_the_open_is_found_and_not_repeated() -> None:
    plain = new_api_key()
    key("harmless", metadata={"note": "sk-learn-models-are-not-secret"})
    key("a key", metadata={"backup": {"key": plain}})
    key(f"named {AWS}")
    vendor = rows.upstream("vendor")
    vendor.headers = {"x-api-key": "gsk_" + "a1" * 22}
    vendor.save()

    audit("plaintext_secrets")

    found = {row.object_name: (row.severity, row.detail) for row in Finding.objects.all()}
    assert set(found) == {"a key", "named …", "vendor"}
    assert found["a key"] == (
        "critical",
        "What looks like a secret stands in the open in metadata: a gateway key.",
    )
    assert "name: an AWS access key" in found["named …"][1]
    assert "headers: a Groq key" in found["vendor"][1]
    told = str(list(Finding.objects.values()))
    assert not any(secret in told for secret in (plain, AWS, "gsk_", rows.SECRET))


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("sk-proj-abcdefghijklmnop1234", ["an OpenAI-style key"]),
        ("xsk-proj-abcdefghijklmnop1234", []),
        ("sk-ant-api03-abcdefghijklmnop1234", ["an Anthropic key"]),
        (f'{{"a": "{AWS}", "b": "ghp_{"a1" * 18}"}}', ["an AWS access key", "a GitHub token"]),
        ("-----BEGIN RSA PRIVATE KEY-----", ["a private key"]),
        ("ask-me-anything-about-our-models", []),
        ("sk-gw-abcd…wxyz", []),
    ],
)
def test_secrets_are_known_by_their_form(text: str, forms: list[str]) -> None:
    assert secret_forms(text) == forms
    assert (redacted(text) != text) == bool(forms)


def test_rows_that_are_not_in_force_are_found() -> None:
    vendor = rows.upstream("vendor")
    type(vendor).objects.filter(pk=vendor.pk).update(api_key_sealed="not sealed")

    audit("config_drift")

    assert open_findings() == [("config_drift", "upstream vendor")]
    assert Finding.objects.get().object_type == "upstreams"


# The audit's chain


def test_a_whole_chain_is_no_finding() -> None:
    make_chain(5)
    write_anchor()
    make_chain(5)

    assert audit("audit_chain").open == 0


@pytest.mark.parametrize("seq", [3, 7])
def test_a_damaged_chain_is_critical(seq: int) -> None:
    make_chain(2)
    write_anchor()
    make_chain(8)
    disarm()
    rewrite(seq, actor="nobody")

    assert audit("audit_chain").critical == 1

    assert f"event {seq} was edited" in Finding.objects.get().detail


def test_an_anchored_event_that_is_gone_is_critical(tmp_path: Path) -> None:
    make_chain(4)
    write_anchor()
    make_chain(4)
    disarm()
    tampered("DELETE FROM security_app_auditevent WHERE seq = 4")

    assert audit("audit_chain").critical == 1

    Finding.objects.all().delete()
    (tmp_path / "audit" / "anchors.jsonl").write_text("nonsense\n")
    audit("audit_chain")
    assert "anchors can't be read" in Finding.objects.get().detail


# People, upstreams, usage


def test_people_without_a_required_second_factor_are_found(settings: Settings) -> None:
    User.objects.create_superuser("alice", password="long enough 1")
    bob = User.objects.create_superuser("bob", password="long enough 1")
    TOTP.activate(bob, "JBSWY3DPEHPK3PXP")
    User.objects.create_user("charlie", password="long enough 1")
    dora = User.objects.create_user("dora", password="long enough 1")
    dora.user_permissions.add(Permission.objects.get(codename="change_accessrule"))
    User.objects.create_superuser("single sign-on")

    assert audit("second_factors").open == 0
    settings.REQUIRE_MFA = "administrators"
    audit("second_factors")
    assert open_findings() == [("no_second_factor", "alice"), ("no_second_factor", "dora")]
    settings.REQUIRE_MFA = "everybody"
    audit("second_factors")
    assert [name for _, name in open_findings()] == ["alice", "charlie", "dora"]


def test_upstreams_that_are_down_for_long_are_found() -> None:
    now = utc_now()
    for name, minutes in (("long", 61), ("short", 59)):
        since = now - timedelta(minutes=minutes)
        UpstreamState.objects.create(upstream=rows.upstream(name), state="down", since=since, noted_at=now)

    run_audit(now, sources=[source for source in finding_sources() if source.name == "upstreams_down"])

    assert open_findings() == [("upstream_down", "long")]


def test_what_is_wrong_with_usage_is_found(settings: Settings) -> None:
    store(make_entry(model="acme/free", cost_nano=None), make_entry(model="acme/priced"))
    roll_up()
    Rejects(settings.JOURNAL_DIR).add(b"{}", "a test")
    values = {"finished_at": utc_now(), "range_start": utc_now(), "range_end": utc_now()}
    Reconciliation.objects.create(**values, differing=2, differing_after=0, examples=["cost"])

    assert audit("unpriced_models", "rejected_lines", "reconciliation").critical == 1
    assert open_findings() == [
        ("rejected_lines", "rejected"),
        ("unpriced_model", "acme/free"),
        ("usage_differs", "usage"),
    ]

    Reconciliation.objects.create(**{**values, "finished_at": utc_now()}, differing=0, differing_after=0)
    audit("reconciliation")
    assert open_findings() == []
