"""Issuers of end users' tokens: what proves their signatures is fetched here, kept, and never shown."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import connection
from jwt.algorithms import ECAlgorithm

from security_app.models import TokenIssuer
from security_app.registry import PEOPLE
from security_app.services.configuration import store
from security_app.tasks import refresh_issuers
from tests.management.caller import Caller
from tests.management.model_server import ModelServer
from tests.management.people import new_key

SECRET = "0123456789abcdef0123456789abcdef"


def jwk(kid: str) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return ECAlgorithm.to_jwk(key, as_dict=True) | {"kid": kid}


def entries() -> dict[str, Any]:
    store.refresh()
    return {item.name: item for item in store.current.sections[PEOPLE].value.issuers.values()}


def test_a_secret_is_encrypted_and_never_shown(admin: Caller) -> None:
    made = admin.ok("POST", "/token_issuer/new", {"name": "chat", "issuer": "open-webui", "secret": SECRET})

    assert made["has_secret"]
    assert made["header"] == "x-openwebui-user-jwt"
    assert admin.ok("GET", "/token_issuer/list") == [made]
    assert entries()["chat"].secret == SECRET
    assert not any(SECRET.encode() in answer for answer in admin.answers)
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret_sealed FROM security_app_tokenissuer")
        assert SECRET not in cursor.fetchone()[0]


def test_public_keys_are_fetched_and_fetched_anew_in_the_background(admin: Caller) -> None:
    answers = {"/jwks": (200, {"keys": [jwk("one"), {"kty": "oct", "k": "c2VjcmV0"}]})}
    with ModelServer(answers) as server:
        url = f"{server.url}/jwks"
        made = admin.ok("POST", "/token_issuer/new", {"name": "idp", "jwks_url": url, "audience": "gw"})
        first = [key.key_id for key in entries()["idp"].keys]
        unchanged = refresh_issuers()
        answers["/jwks"] = (200, {"keys": [jwk("two")]})
        changed = refresh_issuers()
        second = [key.key_id for key in entries()["idp"].keys]
        answers["/jwks"] = (500, {})
        failed = refresh_issuers()

    assert (made["keys"], made["has_secret"]) == (1, False)
    assert (first, second) == (["one"], ["two"])
    assert (unchanged, changed, failed) == (0, 1, 0)
    assert [key.key_id for key in entries()["idp"].keys] == ["two"]
    assert "oct" not in str(TokenIssuer.objects.get().jwks)


def test_a_secret_and_an_address_take_each_other_s_place(admin: Caller) -> None:
    admin.ok("POST", "/token_issuer/new", {"name": "chat", "secret": SECRET})
    with ModelServer({"/jwks": (200, {"keys": [jwk("one")]})}) as server:
        url = f"{server.url}/jwks"
        keyed = admin.ok("POST", "/token_issuer/update", {"token_issuer": "chat", "jwks_url": url})
    by_keys = entries()["chat"]
    shared = admin.ok("POST", "/token_issuer/update", {"token_issuer": "chat", "secret": SECRET})
    by_secret = entries()["chat"]

    assert (keyed["has_secret"], keyed["keys"], by_keys.secret) == (False, 1, "")
    assert (shared["has_secret"], shared["jwks_url"], by_secret.keys) == (True, None, ())


def test_an_issuer_that_keys_trust_stays(admin: Caller) -> None:
    made = admin.ok("POST", "/token_issuer/new", {"name": "chat", "secret": SECRET})
    key = new_key(admin, trusts_end_user="jwt", token_issuer=made["token_issuer"])

    refused = admin.refused("POST", "/token_issuer/delete", {"token_issuer": "chat"})
    admin.ok("POST", "/key/delete", {"keys": [key["key_id"]]})
    gone = admin.ok("POST", "/token_issuer/delete", {"token_issuer": "chat"})

    assert (refused["status"], refused["param"]) == (409, "token_issuer")
    assert gone == {"deleted": made["token_issuer"]}
    assert key["token_issuer"] == made["token_issuer"]


def test_tokens_need_an_issuer(admin: Caller) -> None:
    error = admin.refused("POST", "/key/generate", {"trusts_end_user": "jwt"})

    assert (error["status"], error["param"]) == (400, "token_issuer")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "secret"),
        ({"secret": SECRET, "jwks_url": "https://id.example/jwks"}, "secret"),
        ({"secret": "short"}, "secret"),
        ({"jwks_url": "http://id.example/jwks"}, "jwks_url"),
        ({"jwks_url": "http://169.254.169.254/jwks"}, "jwks_url"),
        ({"jwks_url": "http://127.0.0.1:1/jwks"}, "jwks_url"),
        ({"jwks_url": "ftp://id.example/jwks"}, "jwks_url"),
        ({"secret": SECRET, "header": "authorization"}, "header"),
        ({"secret": SECRET, "header": "two words"}, "header"),
        ({"secret": SECRET, "jwks": {}}, "jwks"),
    ],
)
def test_what_proves_nothing_is_refused(admin: Caller, fields: dict[str, Any], param: str) -> None:
    error = admin.refused("POST", "/token_issuer/new", {"name": "chat", **fields})

    assert (error["status"], error["param"]) == (400, param)
    assert not TokenIssuer.objects.exists()
