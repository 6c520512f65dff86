"""Identity providers and external authorizers in the admin: forms, what is shown of keys, and trials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from security_app.models import AuditEvent, ExternalAuthorizer, IdentityKeySet, IdentityProvider
from tests.fakes.authorizer import SECRET, FakeAuthorizer
from tests.fakes.identities import AUDIENCE, FakeIssuer

APP = "/admin/security_app"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer() as running:
        yield running


def provider_form(issuer: FakeIssuer, **fields: Any) -> dict[str, Any]:
    return {
        "name": "Okta",
        "is_enabled": "on",
        "issuer": issuer.url,
        "audiences": f"{AUDIENCE}\nother",
        "algorithms": "RS256\nES256",
        "leeway_s": "30",
        "jwks_url": "",
        "jwks_text": "",
        "stale_hours": "24",
        "inference_mode": "optional",
        "management_mode": "off",
        "user_claim": "sub",
        "max_users": "1000",
        "scopes": "inference",
        "scope_map": "{}",
    } | fields


def authorizer_form(url: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": "policy",
        "is_enabled": "on",
        "url": url,
        "secret": SECRET,
        "asked_about": ["models", "tools"],
        "sends": ["user", "ip"],
        "timeout_ms": "1000",
        "when_unavailable": "closed",
        "cache_s": "10",
    } | fields


def save(client: Client, path: str, data: dict[str, Any]) -> None:
    answer = client.post(f"{APP}/{path}", data)
    assert answer.status_code == 302, answer.context["adminform"].form.errors


def errors(client: Client, path: str, data: dict[str, Any]) -> set[str]:
    """The fields that a form refuses."""
    return set(client.post(f"{APP}/{path}", data).context["adminform"].form.errors)


def run(client: Client, model: str, action: str, pk: Any) -> str:
    """What the page says after an action."""
    data = {"action": action, "_selected_action": str(pk)}
    return client.post(f"{APP}/{model}/", data, follow=True).content.decode()


def test_a_provider_is_made_with_its_keys_which_are_fetched_anew_on_demand(
    admin_client: Client, issuer: FakeIssuer
) -> None:
    save(admin_client, "identityprovider/add/", provider_form(issuer))
    row = IdentityProvider.objects.get()
    page = admin_client.get(f"{APP}/identityprovider/{row.pk}/change/").content.decode()

    issuer.new_key("two")
    said = run(admin_client, "identityprovider", "fetch_keys", row.pk)
    save(
        admin_client, f"identityprovider/{row.pk}/change/", provider_form(issuer, scopes="inference\nmetrics")
    )
    issuer.fail()
    failed = run(admin_client, "identityprovider", "fetch_keys", row.pk)

    assert row.audiences == [AUDIENCE, "other"]
    assert f"1 from {issuer.url}/jwks" in page
    assert "has other keys" in said
    assert IdentityKeySet.objects.get().jwks["keys"][0]["kid"] == "two"
    row.refresh_from_db()
    assert row.scopes == ["inference", "metrics"]
    assert "status 503" in failed
    assert AuditEvent.objects.filter(object_type="security_app.identityprovider").count() == 2


def test_what_a_provider_can_t_be_is_an_error_at_its_field(admin_client: Client, issuer: FakeIssuer) -> None:
    path = "identityprovider/add/"

    assert errors(admin_client, path, provider_form(issuer, algorithms="HS256")) == {"algorithms"}
    assert errors(admin_client, path, provider_form(issuer, audiences="")) == {"audiences"}
    assert errors(admin_client, path, provider_form(issuer, scope_map='{"a": "root"}')) == {"scope_map"}
    both = provider_form(issuer, jwks_url="https://id.example.org/jwks", jwks_text='{"keys": []}')
    assert errors(admin_client, path, both) == {"jwks_text"}
    issuer.fail()
    refused = admin_client.post(f"{APP}/{path}", provider_form(issuer), follow=True).content.decode()
    assert "Nothing was saved" in refused
    assert not IdentityProvider.objects.exists()


def test_an_authorizer_s_secret_goes_in_and_a_trial_says_what_it_answers(admin_client: Client) -> None:
    with FakeAuthorizer() as fake:
        save(admin_client, "externalauthorizer/add/", authorizer_form(fake.url))
        row = ExternalAuthorizer.objects.get()
        change = f"externalauthorizer/{row.pk}/change/"
        save(admin_client, change, authorizer_form(fake.url, secret="", cache_s="0"))
        page = admin_client.get(f"{APP}/{change}").content.decode()
        allowed = run(admin_client, "externalauthorizer", "ask_now", row.pk)
        fake.answer = (403, {"reason": "Not you"})
        refused = run(admin_client, "externalauthorizer", "ask_now", row.pk)
        fake.answer = (500, {})
        failed = run(admin_client, "externalauthorizer", "ask_now", row.pk)

    changed = ExternalAuthorizer.objects.get()
    assert (changed.cache_s, changed.get_secret()) == (0, SECRET)
    assert SECRET not in page
    assert row.secret_sealed not in page
    assert len(fake.questions) == 3
    assert "it allows" in allowed
    assert "it refuses (Not you)" in refused
    assert "does not answer: status 500" in failed


def test_an_authorizer_needs_a_secret_and_an_address_that_may_be_called(admin_client: Client) -> None:
    path = "externalauthorizer/add/"

    assert errors(admin_client, path, authorizer_form("https://x.example.org", secret="short")) == {"secret"}
    assert errors(admin_client, path, authorizer_form("https://x.example.org", secret="")) == {"secret"}
    assert errors(admin_client, path, authorizer_form("http://169.254.169.254/")) == {"url"}
    assert errors(admin_client, path, authorizer_form("https://x.example.org", asked_about=[])) == {
        "asked_about"
    }


def test_an_explanation_names_who_would_be_asked(admin_client: Client) -> None:
    save(admin_client, "externalauthorizer/add/", authorizer_form("https://x.example.org/ask"))

    asked = {"who": "user", "name": "ada", "kind": "model", "object": "fake/x"}
    page = admin_client.get("/admin/explain/", asked).content.decode()

    assert "the authorizer &#x27;policy&#x27; is asked" in page
