"""Secrets at rest open only where and with what they were sealed; keys have a form that scanners know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.core.crypto import (
    DecryptionError,
    RingKey,
    decrypt,
    encrypt,
    has_valid_checksum,
    key_digest,
    new_api_key,
    new_ring_text,
    parse_ring,
    token_hash,
)

OLD = RingKey("old", b"o" * 32)
NEW = RingKey("new", b"n" * 32)
PLACE = "upstream.api_key:0001"


@given(st.text(max_size=200))
def test_what_was_sealed_opens_in_its_place(plain: str) -> None:
    sealed = encrypt(plain, ring=(NEW,), associated=PLACE)

    assert decrypt(sealed, ring=(NEW,), associated=PLACE) == plain
    assert sealed.startswith("v1:new:")
    assert not plain or len(plain) < 4 or plain not in sealed


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert len({encrypt("secret", ring=(NEW,), associated=PLACE) for _ in range(50)}) == 50


def test_a_secret_that_was_moved_does_not_open() -> None:
    sealed = encrypt("secret", ring=(NEW,), associated=PLACE)

    with pytest.raises(DecryptionError, match="altered or moved"):
        decrypt(sealed, ring=(NEW,), associated="upstream.api_key:0002")


def test_no_byte_can_be_altered() -> None:
    sealed = encrypt("secret", ring=(NEW,), associated=PLACE)
    head, _, encoded = sealed.rpartition(":")
    data = base64.b64decode(encoded)

    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 1
        with pytest.raises(DecryptionError):
            decrypt(f"{head}:{base64.b64encode(altered).decode()}", ring=(NEW,), associated=PLACE)


@pytest.mark.parametrize(
    "sealed",
    [
        "",
        "secret",
        "v1:new",
        "v1:new:***",
        "v2:new:AAAA",
        "v1:none:AAAA",
        "v1:new:é",
    ],
)
def test_what_is_no_sealed_value_is_refused(sealed: str) -> None:
    with pytest.raises(DecryptionError):
        decrypt(sealed, ring=(NEW,), associated=PLACE)


def test_a_ring_rotates() -> None:
    before = encrypt("secret", ring=(OLD,), associated=PLACE)
    after = encrypt("secret", ring=(NEW, OLD), associated=PLACE)

    assert after.startswith("v1:new:")
    assert decrypt(before, ring=(NEW, OLD), associated=PLACE) == "secret"
    with pytest.raises(DecryptionError, match="lacks key 'old'"):
        decrypt(before, ring=(NEW,), associated=PLACE)


def test_new_keys_have_the_form_that_scanners_look_for() -> None:
    keys = {new_api_key() for _ in range(200)}

    assert len(keys) == 200
    assert all(re.fullmatch(r"sk-gw-[0-9A-Za-z]{46}", key) for key in keys)
    assert all(has_valid_checksum(key) for key in keys)


def test_a_mistyped_key_fails_its_checksum() -> None:
    key = new_api_key()

    for position in range(6, len(key)):
        wrong = "a" if key[position] != "a" else "b"
        assert not has_valid_checksum(key[:position] + wrong + key[position + 1 :])
    for other in ("", "sk-gw-", key[:-1], key + "0", key[3:], "sk-" + key[6:], "sk-gw-" + "é" * 46):
        assert not has_valid_checksum(other)


@given(st.text(max_size=60).filter(lambda text: text.isprintable()), st.binary(min_size=1, max_size=100))
def test_a_digest_is_the_hmac_of_the_hash(key: str, pepper: bytes) -> None:
    hashed = token_hash(key)

    assert hashed == hashlib.sha256(key.encode()).digest()
    assert key_digest(hashed, pepper) == hmac.digest(pepper, hashed, "sha256")


def test_a_generated_ring_reads_back() -> None:
    (key,) = parse_ring(new_ring_text())

    assert len(key.secret) == 32
    assert re.fullmatch(r"k[0-9a-f]{6}", key.id)


def test_a_ring_is_read_in_order() -> None:
    texts = [f"{name}:{base64.b64encode(os.urandom(32)).decode()}" for name in ("b", "a")]

    assert [key.id for key in parse_ring(f" {texts[0]} ,{texts[1]},")] == ["b", "a"]
    assert parse_ring("") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x", "id:base64"),
        (":AAAA", "id:base64"),
        ("a:!!", "not base64"),
        ("a:QUJD", "3 bytes, not 32"),
        ("a:" + "A" * 43 + "=,a:" + "A" * 43 + "=", "share an id"),
    ],
)
def test_a_broken_ring_says_why_without_its_secret(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_ring(text)

    assert "A" * 43 not in str(caught.value)
