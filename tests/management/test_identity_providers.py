"""Identity providers over HTTP: their keys, whom their tokens are for, and their absence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway_project.api.exchange import Exchange
from gateway_project.api.second_look import may_still_enter
from gateway_project.core.clock import utc_now
from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import AuthenticationFailed
from security_app.models import AuditEvent, ConfigVersion, GatewayUser, IdentityKeySet, IdentityProvider
from security_app.registry import DOORS
from security_app.services import key_freshness, token_supplies
from security_app.services.configuration import store
from security_app.services.denials import chain_denials, folds
from security_app.services.finding_sources.providers import unreached
from security_app.services.identity_keys import refresh_due_keys, refresh_keys
from security_app.services.keys import create_key
from security_app.services.token_principals import principal_of_token
from tests.fakes.identities import AUDIENCE, FakeIssuer
from tests.management.caller import Caller
from tests.management.people import new_team


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer() as running:
        yield running
    key_freshness.keep_only(set())


def new_provider(admin: Caller, issuer: FakeIssuer, **fields: Any) -> Any:
    body = {"name": "Okta", "issuer": issuer.url, "audiences": [AUDIENCE], **fields}
    return admin.ok("POST", "/identity_provider/new", body)


def version() -> int:
    return ConfigVersion.objects.get(section=DOORS).version


def user_of(token: str) -> str:
    store.refresh()
    return principal_of_token(store.current, token, "inference").user_id


def may_enter(token: str, key: str = "") -> bool:
    """Whether a stream that came in with these may stay open."""

    async def entered() -> bool:
        task = asyncio.current_task()
        assert task is not None
        headers = [(b"authorization", f"Bearer {token}".encode()), (b"x-api-key", key.encode())]
        http = {"type": "http", "method": "GET", "path": "/mcp", "query_string": b"", "headers": headers}
        exchange = Exchange(http, AsyncMock(), AsyncMock(), CallScope(task))
        return may_still_enter(exchange, "inference")

    return asyncio.run(entered())


def age(seconds: float) -> None:
    """As if keys had been fetched that long ago."""
    moment = utc_now() - timedelta(seconds=seconds)
    IdentityKeySet.objects.update(fetched_at=moment, tried_at=moment)
    key_freshness.keep_only(set())
    store.refresh(everything=True)


def test_keys_are_found_by_discovery_or_at_an_address_or_given(admin: Caller, issuer: FakeIssuer) -> None:
    GatewayUser.objects.create(user_id="ada")

    discovered = new_provider(admin, issuer)
    assert (discovered["keys"], discovered["keys_source"]) == (1, f"{issuer.url}/jwks")
    assert (discovered["inference_mode"], discovered["management_mode"]) == ("optional", "off")
    assert user_of(issuer.token()) == "ada"

    issuer.new_key("two")
    change = {"identity_provider": "Okta", "jwks": issuer.jwks}
    given = admin.ok("POST", "/identity_provider/update", change)
    assert (given["keys"], given["keys_source"]) == (1, None)
    assert user_of(issuer.token()) == "ada"

    change = {"identity_provider": "Okta", "jwks": {}, "jwks_url": f"{issuer.url}/jwks"}
    at_address = admin.ok("POST", "/identity_provider/update", change)
    assert at_address["jwks_url"] == f"{issuer.url}/jwks"
    assert admin.ok("GET", "/identity_provider/list") == [at_address]
    admin.ok("POST", "/identity_provider/delete", {"identity_provider": "Okta"})
    with pytest.raises(AuthenticationFailed):
        user_of(issuer.token())


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"audiences": []}, "audiences"),
    ({"algorithms": ["HS256"]}, "algorithms"),
    ({"algorithms": ["none"]}, "algorithms"),
    ({"algorithms": ["RS256"]}, "issuer"),
    ({"scopes": ["root"]}, "scopes"),
    ({"scope_map": {"x": "root"}}, "scope_map"),
    ({"jwks": {"keys": []}}, "jwks"),
    ({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}, "jwks"),
    ({"jwks_url": "https://169.254.169.254/jwks"}, "jwks_url"),
    ({"jwks_url": "http://id.example.org/jwks"}, "jwks_url"),
    ({"issuer": "http://127.0.0.1:1"}, "issuer"),
    ({"default_team_id": "team_00"}, "default_team_id"),
    ({"leeway_s": 301}, "leeway_s"),
]


def test_what_can_t_be_used_is_refused_with_its_field(admin: Caller, issuer: FakeIssuer) -> None:
    body = {"name": "Okta", "issuer": issuer.url, "audiences": [AUDIENCE]}

    named = [admin.refused("POST", "/identity_provider/new", body | more)["param"] for more, _ in UNUSABLE]

    assert named == [param for _, param in UNUSABLE]
    assert not IdentityProvider.objects.exists()


def test_the_same_keys_change_no_configuration_and_others_do(admin: Caller, issuer: FakeIssuer) -> None:
    provider = new_provider(admin, issuer)
    (row,) = IdentityProvider.objects.all()
    before, events = version(), AuditEvent.objects.count()

    age(301)
    same = refresh_due_keys({row.pk})
    not_due = refresh_due_keys({row.pk})
    assert (same, not_due, version(), issuer.fetches()) == (0, 0, before, 2)

    age(301)
    issuer.new_key("two")
    assert refresh_due_keys({row.pk}) == 1
    assert version() == before + 1
    assert AuditEvent.objects.count() == events
    # Whoever asks at once is not let to fetch again.
    assert not refresh_keys(row.pk, not_sooner_s=10)
    assert issuer.fetches() == 3
    assert provider["keys"] == 1


def test_a_provider_that_is_away_keeps_its_last_keys_for_as_long_as_its_row_says(
    admin: Caller, issuer: FakeIssuer
) -> None:
    new_provider(admin, issuer, stale_hours=1)
    GatewayUser.objects.create(user_id="ada")
    (row,) = IdentityProvider.objects.all()
    issuer.fail()

    age(3000)
    assert refresh_due_keys({row.pk}) == 0
    assert user_of(issuer.token()) == "ada"
    (shown,) = admin.ok("GET", "/identity_provider/list")
    assert "503" in shown["keys_failure"]
    age(3700)
    with pytest.raises(AuthenticationFailed) as refused:
        user_of(issuer.token())
    assert refused.value.reason == "token_keys_stale"
    issuer.publish()
    age(3700)
    refresh_due_keys({row.pk})
    assert user_of(issuer.token()) == "ada"


def test_users_are_made_up_to_a_number_and_named_by_the_token(admin: Caller, issuer: FakeIssuer) -> None:
    token_supplies._full.clear()
    new_provider(
        admin, issuer, makes_users=True, max_users=1, user_prefix="okta:", management_mode="optional"
    )
    ada = admin.with_key(issuer.token("ada", name="Ada L.", email="ada@example.org"))
    bob = admin.with_key(issuer.token("bob"))

    me = ada.ok("GET", "/me")
    refused = bob.refused("GET", "/me")

    assert me["key"]["user_id"] == "okta:ada"
    user = GatewayUser.objects.get()
    assert (user.user_id, user.name, user.email) == ("okta:ada", "Ada L.", "ada@example.org")
    assert AuditEvent.objects.filter(actor="identity provider Okta", action="created").count() == 1
    assert (refused["status"], refused["code"]) == (401, "invalid_api_key")


def test_tokens_enter_the_management_api_with_the_scopes_that_the_map_says(
    admin: Caller, issuer: FakeIssuer
) -> None:
    GatewayUser.objects.create(user_id="ada")
    options = {"scope_claim": "scope", "scope_map": {"gw.admin": "admin"}}
    new_provider(admin, issuer, **options)
    token = issuer.token(scope="openid gw.admin")
    assert admin.with_key(token).refused("GET", "/team/list")["status"] == 401

    change = {"identity_provider": "Okta", "management_mode": "optional"}
    admin.ok("POST", "/identity_provider/update", change)
    new_team(admin.with_key(token))

    event = AuditEvent.objects.get(object_type="security_app.team")
    assert (event.actor, event.actor_kind) == ("Okta: ada", "key")
    assert admin.with_key(issuer.token()).refused("GET", "/team/list")["status"] == 403
    assert admin.with_key(token).refused("GET", "/key/info")["status"] == 404


def test_a_strict_management_api_takes_no_keys_but_the_master_key(admin: Caller, issuer: FakeIssuer) -> None:
    key = admin.ok("POST", "/key/generate", {"scopes": ["admin"]})["key"]
    new_provider(admin, issuer, management_mode="strict")

    assert admin.with_key(key).refused("GET", "/team/list")["status"] == 401
    assert admin.ok("GET", "/team/list") == []
    change = {"identity_provider": "Okta", "management_mode": "permissive"}
    admin.ok("POST", "/identity_provider/update", change)
    bad = admin.with_key(issuer.token(exp=1))
    bad._headers["x-api-key"] = key
    assert bad.ok("GET", "/team/list") == []


def test_a_stream_s_token_is_good_until_it_ends_or_its_user_is_blocked(
    admin: Caller, issuer: FakeIssuer
) -> None:
    user = GatewayUser.objects.create(user_id="ada")
    key = admin.ok("POST", "/key/generate", {})["key"]
    new_provider(admin, issuer)
    good, bad = issuer.token(), issuer.token(exp=1)
    assert may_enter(good)
    assert not may_enter(bad, key)
    assert may_enter(key)

    change = {"identity_provider": "Okta", "inference_mode": "permissive"}
    admin.ok("POST", "/identity_provider/update", change)
    assert may_enter(bad, key)
    assert not may_enter(bad, "sk-unknown")
    admin.ok("POST", "/user/update", {"user_id": user.user_id, "blocked": True})
    assert not may_enter(good)


def test_private_parts_of_given_keys_are_not_kept(admin: Caller, issuer: FakeIssuer) -> None:
    jwks = {"keys": [key | {"d": "c2VjcmV0LXBhcnQ"} for key in issuer.jwks["keys"]]}

    made = new_provider(admin, issuer, jwks=jwks)
    admin.ok("POST", "/identity_provider/update", {"identity_provider": "Okta", "jwks": jwks})

    assert made["keys"] == 1
    assert "c2VjcmV0LXBhcnQ" not in IdentityProvider.objects.get().jwks_text
    assert not AuditEvent.objects.filter(after__contains="c2VjcmV0LXBhcnQ").exists()


def test_the_default_team_of_a_provider_stays(admin: Caller, issuer: FakeIssuer) -> None:
    team = new_team(admin)["team_id"]
    new_provider(admin, issuer, default_team_id=team)
    GatewayUser.objects.create(user_id="ada")
    store.refresh()

    error = admin.refused("POST", "/team/delete", {"team_ids": [team]})
    verdict = admin.ok("POST", "/identity_provider/preview", {"token": issuer.token()})
    admin.ok("POST", "/identity_provider/update", {"identity_provider": "Okta", "default_team_id": ""})
    admin.ok("POST", "/team/delete", {"team_ids": [team]})

    assert (error["status"], error["param"]) == (409, "team_ids")
    assert verdict["team_id"] == team


def test_a_provider_that_is_away_for_long_is_a_finding(admin: Caller, issuer: FakeIssuer) -> None:
    new_provider(admin, issuer)
    (row,) = IdentityProvider.objects.all()
    issuer.fail()
    age(301)
    refresh_due_keys({row.pk})
    soon = list(unreached(utc_now()))

    (found,) = unreached(utc_now() + timedelta(hours=2))

    assert soon == []
    assert found.object_id == row.pk.hex
    assert "503" in found.detail


def test_a_preview_says_whom_a_token_is_for_or_why_it_is_refused(admin: Caller, issuer: FakeIssuer) -> None:
    new_provider(admin, issuer, makes_users=True, allowed_tools=["crm_*"])
    path = "/identity_provider/preview"

    unknown = admin.ok("POST", path, {"token": issuer.token()})
    GatewayUser.objects.create(user_id="ada")
    store.refresh()
    good = admin.ok("POST", path, {"token": issuer.token()})
    expired = admin.ok("POST", path, {"token": issuer.token(exp=1)})
    other_door = admin.ok("POST", path, {"token": issuer.token(), "door": "management"})

    assert (unknown["allowed"], unknown["reason"]) == (False, "user_would_be_made")
    assert (good["allowed"], good["user_id"], good["allowed_tools"]) == (True, "ada", ["crm_*"])
    assert (expired["reason"], other_door["reason"]) == ("token_expired", "token_door")
    assert GatewayUser.objects.count() == 1
    assert not any(issuer.token().encode() in answer for answer in admin.answers)


def test_refused_tokens_are_in_the_audit_once_a_minute(admin: Caller, issuer: FakeIssuer) -> None:
    folds.take(everything=True)
    new_provider(admin, issuer, management_mode="optional")
    expired = admin.with_key(issuer.token(exp=1))
    for _ in range(3):
        expired.refused("GET", "/team/list")

    chain_denials(folds.take(everything=True))

    (event,) = AuditEvent.objects.filter(action="denied")
    detail = json.loads(event.detail)
    assert (detail["reason"], detail["count"]) == ("token_expired", 3)


def test_a_preview_of_access_reads_claims_that_are_given(admin: Caller) -> None:
    rule = {"name": "mfa", "kind": "model", "pattern": "*", "effect": "allow"}
    admin.ok("POST", "/security/rules", {**rule, "condition": "claims.amr.exists(x, x == 'mfa')"})
    body = {"user_id": "ada", "model": "fake/x"}

    with_factor = admin.ok("POST", "/security/preview", {**body, "claims": {"amr": ["mfa"]}})
    without = admin.ok("POST", "/security/preview", {**body, "claims": {"amr": ["pwd"]}})
    a_key = admin.ok("POST", "/security/preview", body)

    assert [one["allowed"] for one in (with_factor, without, a_key)] == [True, False, False]


def test_a_list_asks_as_often_for_many_as_for_one(admin: Caller, issuer: FakeIssuer) -> None:
    counts = []
    for number in range(3):
        body = {"name": f"P{number}", "issuer": f"https://{number}.example.org", "audiences": [AUDIENCE]}
        admin.ok("POST", "/identity_provider/new", {**body, "jwks": issuer.jwks})
        with CaptureQueriesContext(connection) as asked:
            rows = admin.ok("GET", "/identity_provider/list")
        counts.append(len(asked))
        assert [row["keys"] for row in rows] == [1] * (number + 1)

    assert counts[2] == counts[1]


def test_a_stream_of_a_key_ends_when_keys_are_taken_no_longer(admin: Caller, issuer: FakeIssuer) -> None:
    key = create_key(actor="admin").plain
    new_provider(admin, issuer, inference_mode="permissive")
    store.refresh()
    before = may_enter(key), may_enter(issuer.token(exp=1), key)

    admin.ok("POST", "/identity_provider/update", {"identity_provider": "Okta", "inference_mode": "strict"})
    store.refresh()

    assert before == (True, True)
    assert not may_enter(key)
    assert not may_enter(issuer.token(exp=1), key)
