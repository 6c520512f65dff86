"""Secrets: AES-256-GCM for fields at rest, HMAC-SHA-256 digests for API keys, and their key rings.

A ring is a tuple of `RingKey(id, secret)`; the first is used for new values, all are tried for old
ones. Ciphertexts carry the id of their key, so rotation needs no guess.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import zlib
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_PREFIX = "sk-gw-"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_RANDOM_CHARS = 40
_CHECKSUM_CHARS = 6
_NONCE_BYTES = 12
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class RingKey(NamedTuple):
    """One secret of a ring: a short id, stored beside what it made, and 32 bytes."""

    id: str
    secret: bytes


Ring = tuple[RingKey, ...]


class DecryptionError(Exception):
    """A ciphertext was made by a key that the ring lacks, was moved to another row, or was altered."""


def parse_ring(text: str) -> Ring:
    """Read `id:base64,id:base64`; each secret is 32 bytes. ValueError says what is wrong."""
    keys = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        key_id, _, encoded = part.partition(":")
        if not key_id or not encoded:
            raise ValueError("each key must look like id:base64")
        try:
            secret = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ValueError(f"the secret of key '{key_id}' is not base64") from error
        if len(secret) != 32:
            raise ValueError(f"the secret of key '{key_id}' has {len(secret)} bytes, not 32")
        keys.append(RingKey(key_id, secret))
    if len({key.id for key in keys}) != len(keys):
        raise ValueError("two keys share an id")
    return tuple(keys)


def new_ring_text() -> str:
    """A ring with one fresh key, as `parse_ring` reads it."""
    return f"k{secrets.token_hex(3)}:{base64.b64encode(os.urandom(32)).decode()}"


def encrypt(plain: str, *, ring: Ring, associated: str) -> str:
    """Encrypt with the current key of the ring; `associated` binds the result to its place.

    The result is `v1:<key id>:<base64 of nonce and ciphertext>` (NIST SP 800-38D, AES-256-GCM).
    """
    key = ring[0]
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(key.secret).encrypt(nonce, plain.encode(), associated.encode())
    return f"v1:{key.id}:{base64.b64encode(nonce + sealed).decode()}"


def decrypt(sealed: str, *, ring: Ring, associated: str) -> str:
    """The inverse of `encrypt`; DecryptionError if the key is unknown or the value was tampered with."""
    try:
        version, key_id, encoded = sealed.split(":", 2)
        data = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as error:
        raise DecryptionError("not a sealed value") from error
    if version != "v1":
        raise DecryptionError(f"unknown version '{version}' of a sealed value")
    for key in ring:
        if key.id == key_id:
            try:
                plain = AESGCM(key.secret).decrypt(
                    data[:_NONCE_BYTES], data[_NONCE_BYTES:], associated.encode()
                )
            except (InvalidTag, ValueError) as error:
                raise DecryptionError("the sealed value was altered or moved") from error
            return plain.decode()
    raise DecryptionError(f"the key ring lacks key '{key_id}'")


def seal_bytes(plain: bytes, *, ring: Ring, associated: bytes) -> bytes:
    """As `encrypt`, of bytes to bytes: `<key id>:`, the nonce, the ciphertext."""
    key, nonce = ring[0], os.urandom(_NONCE_BYTES)
    return key.id.encode() + b":" + nonce + AESGCM(key.secret).encrypt(nonce, plain, associated)


def unseal_bytes(sealed: bytes, *, ring: Ring, associated: bytes) -> bytes:
    """The inverse of `seal_bytes`; DecryptionError as `decrypt`."""
    key_id, _, data = sealed.partition(b":")
    for key in ring:
        if key.id.encode() == key_id:
            try:
                return AESGCM(key.secret).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], associated)
            except (InvalidTag, ValueError) as error:
                raise DecryptionError("the sealed bytes were altered or moved") from error
    raise DecryptionError("the key ring lacks the key of these bytes")


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, rest = divmod(number, 62)
        digits.append(_BASE62[rest])
    return "".join(reversed(digits))


def new_api_key() -> str:
    """A new client key: `sk-gw-`, 40 random base62 characters (238 bits), 6 of their CRC32."""
    random_part = "".join(secrets.choice(_BASE62) for _ in range(_KEY_RANDOM_CHARS))
    return KEY_PREFIX + random_part + _base62(zlib.crc32(random_part.encode()), _CHECKSUM_CHARS)


def has_valid_checksum(api_key: str) -> bool:
    """Whether a key is one of ours by form: no mistyped one is, and a secret scanner can tell, too."""
    body = api_key.removeprefix(KEY_PREFIX)
    if body == api_key or len(body) != _KEY_RANDOM_CHARS + _CHECKSUM_CHARS:
        return False
    random_part, checksum = body[:_KEY_RANDOM_CHARS], body[_KEY_RANDOM_CHARS:]
    return checksum == _base62(zlib.crc32(random_part.encode()), _CHECKSUM_CHARS)


def token_hash(api_key: str) -> bytes:
    """SHA-256 of a key: the form in which other gateways export keys, so theirs can be imported."""
    return hashlib.sha256(api_key.encode()).digest()


@lru_cache(maxsize=16)
def _hmac_state(pepper: bytes) -> tuple[Any, Any]:
    """SHA-256 after the inner and the outer padded key: HMAC (RFC 2104) at half of `hmac.digest`'s cost."""
    block = pepper.ljust(64, b"\0") if len(pepper) <= 64 else hashlib.sha256(pepper).digest().ljust(64, b"\0")
    return hashlib.sha256(block.translate(_INNER_PAD)), hashlib.sha256(block.translate(_OUTER_PAD))


def key_digest(hashed_key: bytes, pepper: bytes) -> bytes:
    """What the database holds of a key: HMAC-SHA-256 of its `token_hash` under a pepper."""
    inner_state, outer_state = _hmac_state(pepper)
    inner, outer = inner_state.copy(), outer_state.copy()
    inner.update(hashed_key)
    outer.update(inner.digest())
    digest: bytes = outer.digest()
    return digest
