"""Whom a request is for: headers and tokens count for keys that trust them, and tokens must be good."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway_project.core.errors import AuthenticationFailed, PermissionDenied
from security_app.registry import (
    Bound,
    DoorRules,
    EndUserEntry,
    Issuer,
    KeyPolicy,
    PeopleConfig,
    Principal,
)
from security_app.registry.jwks import public_keys
from security_app.services.end_users import trusted_end_user, with_end_user
from security_app.services.permissions import decide_model

SECRET = "0123456789abcdef0123456789abcdef"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
HEADER = b"x-openwebui-user-jwt"


def principal(trust: str = "off", issuer: Issuer | None = None) -> Principal:
    rules = DoorRules((), (), trust, None if issuer is None else issuer.id)
    policy = KeyPolicy(frozenset({"inference"}), ())
    return Principal(uuid4(), "chat", "", policy, 0.0, False, door_rules=rules)


def issuer(*, secret: str = "", jwks: Any = None, name: str = "open-webui", audience: str = "") -> Issuer:
    return Issuer(uuid4(), "Chat", name, audience, HEADER, "sub", secret, public_keys(jwks or {}))


def people(*issuers: Issuer) -> PeopleConfig:
    config = PeopleConfig()
    config.issuers = {item.id: item for item in issuers}
    return config


def token(key: Any = SECRET, algorithm: str = "HS256", *, kid: str | None = None, **claims: Any) -> bytes:
    all_claims = {"iss": "open-webui", "sub": "ada", "exp": time.time() + 300} | claims
    given = {name: value for name, value in all_claims.items() if value is not None}
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(given, key, algorithm=algorithm, headers=headers).encode()


def jwks() -> dict[str, Any]:
    rsa_jwk = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "r1", "use": "sig"}
    ec_jwk = ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True) | {"kid": "e1"}
    return {"keys": [rsa_jwk, ec_jwk]}


def end_user(who: Issuer, value: bytes) -> str:
    return trusted_end_user(people(who), principal("jwt", who), {HEADER: value})


@pytest.mark.parametrize(
    "header", ["x-litellm-end-user-id", "x-litellm-customer-id", "x-openwebui-user-id", HEADER.decode()]
)
def test_an_end_user_header_without_trust_is_ignored(header: str) -> None:
    assert trusted_end_user(people(), principal("off"), {header.encode(): token()}) == ""
    assert trusted_end_user(people(), principal("off")._replace(door_rules=None), {HEADER: b"ada"}) == ""


def test_headers_count_for_keys_that_trust_them() -> None:
    headers = {b"x-openwebui-user-id": b"u-1", b"x-litellm-end-user-id": b" ada "}

    assert trusted_end_user(people(), principal("header"), headers) == "ada"
    assert trusted_end_user(people(), principal("header"), {b"x-openwebui-user-id": b"u-1"}) == "u-1"
    assert trusted_end_user(people(), principal("header"), {b"x-openwebui-user-email": b"a@b.c"}) == ""
    assert trusted_end_user(people(), principal("header"), {HEADER: token()}) == ""


def test_a_key_that_trusts_tokens_trusts_no_plain_header() -> None:
    who = issuer(secret=SECRET)

    assert trusted_end_user(people(who), principal("jwt", who), {b"x-openwebui-user-id": b"ada"}) == ""


def test_good_tokens_tell_the_end_user() -> None:
    by_secret, by_keys = issuer(secret=SECRET), issuer(jwks=jwks(), audience="gateway")

    assert end_user(by_secret, token()) == "ada"
    assert end_user(by_secret, b"Bearer " + token()) == "ada"
    assert end_user(by_keys, token(RSA_KEY, "RS256", kid="r1", aud="gateway")) == "ada"
    assert end_user(by_keys, token(EC_KEY, "ES256", kid="e1", aud=["other", "gateway"])) == "ada"
    assert end_user(by_keys, token(EC_KEY, "ES256", aud="gateway")) == "ada"


@pytest.mark.parametrize(
    "value",
    [
        token("another secret of 32 characters!"),
        token(exp=time.time() - 60),
        token(exp=None),
        token(nbf=time.time() + 600),
        token(iss="somebody"),
        token(iss=None),
        token(aud="other"),
        token(sub=None),
        token(sub=" "),
        token(sub="a\0da"),
        token(sub="a" * 257),
        token(exp=[1]),
        token(exp=float("inf")),
        token(SECRET * 2, "HS512"),
        token("", "none"),
        token()[:-2] + b"xx",
        b"a.b.c",
        b"x" * 10_000,
        b"\xff\xfe",
        b"[" * 4000,
    ],
)
def test_any_other_token_refuses_the_request(value: bytes) -> None:
    with pytest.raises(AuthenticationFailed) as refused:
        end_user(issuer(secret=SECRET), value)

    assert refused.value.reason == "end_user_token"


def test_a_public_key_is_no_shared_secret() -> None:
    who = issuer(jwks=jwks())
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # PyJWT itself refuses to sign with a PEM, so this is what an attacker would make.
    forged = jwt.api_jws.PyJWS(algorithms=["HS256"])
    forged.unregister_algorithm("HS256")

    class Naive(jwt.algorithms.HMACAlgorithm):
        def prepare_key(self, key: Any) -> bytes:
            return bytes(key)

    forged.register_algorithm("HS256", Naive(Naive.SHA256))
    payload = jwt.utils.base64url_decode(token(RSA_KEY, "RS256").split(b".")[1])
    value = forged.encode(payload, pem, algorithm="HS256", headers={"kid": "r1"}).encode()

    with pytest.raises(AuthenticationFailed):
        end_user(who, value)


def test_keys_are_for_their_own_algorithm_and_id() -> None:
    who = issuer(jwks=jwks())

    for value in (
        token(RSA_KEY, "RS512", kid="r1"),
        token(RSA_KEY, "RS256", kid="e1"),
        token(ec.generate_private_key(ec.SECP256R1()), "ES256", kid="e1"),
        token(),
    ):
        with pytest.raises(AuthenticationFailed):
            end_user(who, value)


def test_weak_private_and_other_keys_of_a_set_are_left_out() -> None:
    short = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)  # noqa: S505  (it must be refused)
    private = RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True)
    shared = {"kty": "oct", "k": "c2VjcmV0"}
    sealing = jwks()["keys"][0] | {"use": "enc"}
    other_curve = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)

    assert public_keys({"keys": [short, private, shared, sealing, other_curve, "no key", {}]}) == ()


def test_an_issuer_that_is_gone_lets_no_token_in() -> None:
    who = issuer(secret=SECRET)

    with pytest.raises(AuthenticationFailed):
        trusted_end_user(people(), principal("jwt", who), {HEADER: token()})


def test_an_end_user_is_narrowed_and_blocked_by_the_row() -> None:
    config = people()
    config.end_users = {
        "ada": EndUserEntry("ada", "", False, Bound("end_user", ("local/*",))),
        "eve": EndUserEntry("eve", "", True, None),
    }

    narrowed = with_end_user(config, principal(), "ada")
    unknown = with_end_user(config, principal(), "bob")

    assert not decide_model(narrowed, "openai/gpt-5").is_allowed
    assert decide_model(unknown, "openai/gpt-5").is_allowed
    assert (narrowed.end_user, unknown.end_user) == ("ada", "bob")
    with pytest.raises(PermissionDenied) as refused:
        with_end_user(config, principal(), "eve")
    assert refused.value.code == "end_user_blocked"
