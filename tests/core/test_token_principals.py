"""Signed tokens in the place of keys: whom they are for, and each way of being no good."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway_project.core.errors import AuthenticationFailed
from gateway_project.core.snapshot import Section, Snapshot
from security_app.models.conditions import compile_condition, validate_condition
from security_app.registry import (
    DOORS,
    PEOPLE,
    Bound,
    DoorsConfig,
    OrganizationEntry,
    PeopleConfig,
    Principal,
    Provider,
    Rule,
    RulesConfig,
    TeamEntry,
    UserEntry,
)
from security_app.registry.identities import ClaimMap
from security_app.registry.jwks import public_keys
from security_app.services.permissions import Question, decide
from security_app.services.signed_tokens import claimed_issuer
from security_app.services.token_memory import TokenMemory
from security_app.services.token_principals import (
    LacksIssuer,
    LacksKey,
    LacksUser,
    TokenRefused,
    principal_of_token,
)

ISSUER = "https://id.example.org/"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ALGORITHMS = ("RS256", "RS512", "ES256")


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> TokenMemory:
    """Nothing is remembered from test to test."""
    fresh = TokenMemory()
    monkeypatch.setattr("security_app.services.token_principals.token_memory", fresh)
    return fresh


def jwk(key: Any, kid: str) -> dict[str, Any]:
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return kind.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}


def provider(**changes: Any) -> Provider:
    made = Provider(uuid4(), "Okta", ISSUER)
    made.modes = {"inference": "optional", "management": "off"}
    made.audiences = ("gateway",)
    made.keys = public_keys({"keys": [jwk(RSA_KEY, "r1"), jwk(EC_KEY, "e1")]}, ALGORITHMS)
    made.leeway_s = 10.0
    made.scopes = frozenset({"inference"})
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def people(**changes: Any) -> PeopleConfig:
    config = PeopleConfig()
    acme = OrganizationEntry(uuid4(), "Acme", False, None)
    search = TeamEntry(uuid4(), "Search", acme, False, Bound("team", ("fake/*",)))
    config.organizations = {acme.id: acme}
    config.teams = {search.id: search}
    config.users = {"ada": UserEntry("ada", "Ada", "", "internal_user", False, None)}
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def snapshot(who: Provider, folk: PeopleConfig | None = None) -> Snapshot:
    doors = DoorsConfig()
    doors.providers = {who.issuer: who}
    return Snapshot({DOORS: Section(doors.seal(), 1), PEOPLE: Section(folk or people(), 1)})


def claims(**changes: Any) -> dict[str, Any]:
    all_claims = {"iss": ISSUER, "aud": "gateway", "sub": "ada", "exp": time.time() + 86_400} | changes
    return {name: value for name, value in all_claims.items() if value is not None}


def token(key: Any = RSA_KEY, algorithm: str = "RS256", kid: str | None = "r1", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={} if kid is None else {"kid": kid})


def raw(header: str, payload: Any = None, signature: str = "AAAA") -> str:
    parts = [header, json.dumps(claims() if payload is None else payload)]
    return ".".join(
        [*(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts), signature]
    )


def of(who: Provider, text: str, folk: PeopleConfig | None = None, door: str = "inference") -> Principal:
    return principal_of_token(snapshot(who, folk), text, door)


def test_a_good_token_is_its_user_with_what_the_provider_allows() -> None:
    who = provider(allowed_models=("fake/*",))

    found = of(who, token())

    assert (found.user_id, found.owner_kind, found.name) == ("ada", "user", "Okta: ada")
    assert found.policy.scopes == {"inference"}
    assert found.policy.allowed_models == ("fake/*",)
    assert found.key_id is not None
    assert found.key_id == of(who, token(EC_KEY, "ES256", "e1")).key_id
    assert found.key_id != of(provider(), token()).key_id
    assert found.claims is not None
    assert found.claims["sub"] == "ada"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (token(aud="other"), "token_audience"),
        (token(aud=None), "token_claims"),
        (token(exp=time.time() - 11), "token_expired"),
        (token(exp=None), "token_claims"),
        (token(exp="soon"), "token_malformed"),
        (token(exp=10**400), "token_malformed"),
        (token(nbf=time.time() + 80_000), "token_not_yet_valid"),
        (token(sub=None), "token_claims"),
        (token(sub="a\0da"), "token_claims"),
        (token(sub="\ud800"), "token_claims"),
        (token(sub="bob"), "token_user"),
        (token(OTHER_RSA_KEY), "token_signature"),
        (token()[:-4] + "AAAA", "token_signature"),
        (token(RSA_KEY, "RS384"), "token_key"),
        (token(EC_KEY, "ES256", "r1"), "token_key"),
        (token(kid="r2"), "token_key"),
        (token("s" * 64, "HS256"), "token_key"),
        (raw('{"alg":"none"}', signature=""), "token_key"),
        (raw('{"alg":"RS256","kid":"r1","crit":["x"]}'), "token_malformed"),
        (raw('{"alg":"RS256","kid":"r1","kid":"e1"}'), "token_malformed"),
        (raw('{"alg":["RS256"],"kid":"r1"}'), "token_malformed"),
        (raw('{"alg":"RS256","kid":7}'), "token_malformed"),
        (raw('{"alg":"RS256","jwk":{"kty":"RSA"},"kid":"evil"}'), "token_key"),
        (raw("[1]"), "token_malformed"),
        (raw('{"alg":"RS256"}', payload={"iss": 3}), "token_issuer"),
        (raw('{"alg":"RS256"}', payload={"iss": "https://evil.example"}), "token_issuer"),
        (raw('{"alg":"RS256"}', payload=claims(filler="x" * 9000)), "token_too_large"),
        ("eyJ.eyJ.x", "token_malformed"),
    ],
)  # fmt: skip
def test_every_other_token_is_refused(text: str, reason: str) -> None:
    with pytest.raises(AuthenticationFailed) as refused:
        of(provider(), text)

    assert refused.value.reason == reason
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert text not in refused.value.message


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused() -> None:
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = raw('{"alg":"HS256","kid":"r1"}', signature="").rstrip(".")
    signature = hmac.new(pem, signed.encode(), "sha256").digest()
    forged = f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    told = public_keys({"keys": [jwk(RSA_KEY, "r1")]}, (*ALGORITHMS, "HS256"))

    with pytest.raises(TokenRefused) as refused:
        of(provider(keys=told), forged)

    assert refused.value.reason == "token_key"


def test_two_keys_of_one_name_are_nobody_s_proof_but_one_told_twice_is() -> None:
    twice = public_keys({"keys": [jwk(RSA_KEY, "r1"), jwk(RSA_KEY, "r1")]}, ALGORITHMS)
    two = public_keys({"keys": [jwk(RSA_KEY, "r1"), jwk(OTHER_RSA_KEY, "r1")]}, ALGORITHMS)

    assert of(provider(keys=twice), token()).user_id == "ada"
    with pytest.raises(TokenRefused, match="not valid"):
        of(provider(keys=two), token())


def test_a_token_without_a_key_s_name_needs_a_provider_with_one_key() -> None:
    one = public_keys({"keys": [jwk(RSA_KEY, "r1")]}, ALGORITHMS)
    two = public_keys({"keys": [jwk(RSA_KEY, "r1"), jwk(OTHER_RSA_KEY, "r2")]}, ALGORITHMS)

    assert of(provider(keys=one), token(kid=None)).user_id == "ada"
    with pytest.raises(TokenRefused):
        of(provider(keys=two), token(kid=None))


def test_what_is_lacking_is_told_to_who_can_supply_it() -> None:
    who = provider(is_fetched=True, stale_s=3600.0, keys_fetched_at=time.time(), makes_users=True)

    with pytest.raises(LacksKey):
        of(who, token(kid="r2"))
    with pytest.raises(LacksUser):
        of(who, token(sub="bob"))
    with pytest.raises(LacksIssuer):
        of(provider(issuer="https://other.example"), token())


def test_keys_that_were_fetched_too_long_ago_serve_no_longer() -> None:
    old = provider(is_fetched=True, stale_s=3600.0, keys_fetched_at=time.time() - 3601)
    recent = provider(is_fetched=True, stale_s=3600.0, keys_fetched_at=time.time() - 3500)

    assert of(recent, token()).user_id == "ada"
    with pytest.raises(LacksKey) as refused:
        of(old, token())
    assert refused.value.reason == "token_keys_stale"


def test_a_token_is_let_in_only_at_doors_that_its_provider_is_for() -> None:
    who = provider()

    assert of(who, token()).user_id == "ada"
    with pytest.raises(TokenRefused) as refused:
        of(who, token(), door="management")
    assert (refused.value.reason, refused.value.is_permissive) == ("token_door", False)
    with pytest.raises(TokenRefused) as passed_over:
        of(provider(modes={"inference": "permissive"}), token(exp=1))
    assert passed_over.value.is_permissive


def test_a_token_is_verified_once_and_looked_up_anew_when_people_change(memory: TokenMemory) -> None:
    who, text = provider(), token()
    doors = snapshot(who)
    first = principal_of_token(doors, text, "inference")
    # Verified anew it would be refused.
    who.keys = ()
    again = principal_of_token(doors, text, "inference")
    blocked = people(users={"ada": UserEntry("ada", "Ada", "", "internal_user", True, None)})
    other_people = Snapshot({**doors.sections, PEOPLE: Section(blocked, 2)})

    assert again is first
    with pytest.raises(AuthenticationFailed) as refused:
        principal_of_token(other_people, text, "inference")
    assert refused.value.reason == "user_blocked"
    with pytest.raises(TokenRefused):
        of(who, text)


def test_what_an_older_request_finds_is_nothing_for_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread meets the newer people while this one still looks up among the older ones."""
    who, text = provider(), token()
    older = snapshot(who)
    blocked = people(users={"ada": UserEntry("ada", "Ada", "", "internal_user", True, None)})
    newer = Snapshot({**older.sections, PEOPLE: Section(blocked, 2)})
    refused: list[str] = []

    def claimed_meanwhile(shown: bytes) -> str:
        if not refused:
            refused.append("begun")
            with pytest.raises(AuthenticationFailed) as failure:
                principal_of_token(newer, text, "inference")
            refused.append(failure.value.reason)
        return claimed_issuer(shown)

    monkeypatch.setattr("security_app.services.token_principals.claimed_issuer", claimed_meanwhile)
    principal_of_token(older, text, "inference")

    with pytest.raises(AuthenticationFailed) as again:
        principal_of_token(newer, text, "inference")

    assert refused == ["begun", "user_blocked"]
    assert again.value.reason == "user_blocked"


def test_what_is_remembered_ends_with_the_token_and_has_bounds(
    monkeypatch: pytest.MonkeyPatch, memory: TokenMemory
) -> None:
    small = TokenMemory(size=10)
    monkeypatch.setattr("security_app.services.token_principals.token_memory", small)
    who = provider()
    config = snapshot(who)
    for number in range(25):
        principal_of_token(config, token(EC_KEY, "ES256", "e1", jti=str(number)), "inference")
    text = token(exp=time.time() + 5)
    principal_of_token(config, text, "inference")
    who.keys = ()

    assert len(small) <= 10
    assert principal_of_token(config, text, "inference").user_id == "ada"
    late = time.time() + 16
    monkeypatch.setattr("time.time", lambda: late)
    with pytest.raises(TokenRefused):
        principal_of_token(config, text, "inference")


def test_claims_tell_team_and_organization_and_what_is_not_here_is_refused() -> None:
    folk = people()
    (team,) = folk.teams.values()
    assert team.organization is not None
    who = provider(claims=ClaimMap("sub", "", "groups", "org", "", "", {}))

    found = of(who, token(groups=["staff", "Search"], org="Acme"), folk)

    assert (found.team_id, found.organization_id) == (team.id, team.organization.id)
    assert not decide(found, Question("model", "other/x"), rules=RulesConfig()).is_allowed
    assert decide(found, Question("model", "fake/x"), rules=RulesConfig()).is_allowed
    with pytest.raises(TokenRefused) as no_team:
        of(who, token(groups=["staff"], org="Acme"), folk)
    with pytest.raises(TokenRefused) as other_organization:
        of(who, token(groups=["Search"], org="Evil"), folk)
    assert (no_team.value.reason, other_organization.value.reason) == ("token_team", "token_organization")


def test_an_organization_without_a_team_narrows_and_blocks() -> None:
    who = provider(claims=ClaimMap("sub", "", "", "org", "", "", {}))
    bound = Bound("organization", ("fake/*",))
    acme, evil = (OrganizationEntry(uuid4(), name, name == "Evil", bound) for name in ("Acme", "Evil"))
    folk = people(organizations={acme.id: acme, evil.id: evil})

    found = of(who, token(org="Acme"), folk)

    assert (found.organization_id, found.bounds) == (acme.id, (bound,))
    with pytest.raises(AuthenticationFailed) as refused:
        of(who, token(org="Evil"), folk)
    assert refused.value.reason == "organization_blocked"


def test_scopes_of_tokens_allow_only_what_the_map_says() -> None:
    names = ClaimMap("sub", "", "", "", "", "scope", {"gateway.admin": "admin"})
    who = provider(claims=names)

    assert of(who, token(scope="openid admin")).policy.scopes == {"inference"}
    assert of(who, token(scope="openid gateway.admin")).policy.scopes == {"inference", "admin"}
    assert of(who, token(scope=["gateway.admin", 3])).policy.scopes == {"inference", "admin"}
    assert of(who, token(scope={"a": 1})).policy.scopes == {"inference"}


def test_who_is_in_no_group_may_use_nothing_where_groups_count() -> None:
    who = provider(claims=ClaimMap("sub", "", "", "", "realm.groups", "", {}))

    member = of(who, token(realm={"groups": ["coders", "coders"]}))
    nobody = of(who, token())

    assert member.policy.model_groups == ("coders",)
    assert member.policy.tool_groups == ("coders",)
    assert not decide(nobody, Question("model", "fake/x"), rules=RulesConfig()).is_allowed
    assert not decide(nobody, Question("tool", "search"), rules=RulesConfig()).is_allowed


def test_an_address_that_was_not_verified_is_nobody_s_id() -> None:
    who = provider(claims=ClaimMap("email", "", "", "", "", "", {}))
    folk = people(users={"a@b.org": UserEntry("a@b.org", "", "", "internal_user", False, None)})

    assert of(who, token(email="a@b.org", email_verified=True), folk).user_id == "a@b.org"
    with pytest.raises(TokenRefused):
        of(who, token(email="a@b.org", email_verified=False), folk)


def test_conditions_read_claims_and_keys_have_none() -> None:
    rules = RulesConfig()
    condition = compile_condition("claims.amr.exists(x, x == 'mfa')")
    rules.add(Rule(uuid4(), "mfa", ("", ""), kind="model", pattern="*", is_allow=True, condition=condition))
    who = provider()
    question = Question("model", "fake/x")

    assert decide(of(who, token(amr=["pwd", "mfa"])), question, rules=rules).is_allowed
    assert not decide(of(who, token(amr=["pwd"])), question, rules=rules).is_allowed
    assert not decide(of(who, token()), question, rules=rules).is_allowed
    assert not decide(of(who, token())._replace(claims=None), question, rules=rules).is_allowed
    validate_condition("claims.department == 'legal'")


def test_claims_beyond_what_conditions_may_be_given_are_left_out() -> None:
    odd: dict[str, Any] = {"large": 10**30, "half": "\ud800", "deep": [[[[[[[[[1]]]]]]]]]}
    many: dict[str, Any] = {f"c{number}": number for number in range(100)}
    found = of(provider(), token(many=list(range(100)), few=[1], **odd, **many))

    assert found.claims is not None
    assert found.claims.keys().isdisjoint({"many", *odd})
    assert found.claims["few"] == [1]
    assert len(found.claims) <= 64
