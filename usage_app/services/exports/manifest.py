"""Manifests: what a file holds, how it came about, and a signature, so that a forged one is noticed.

The signature is an HMAC-SHA-256 (RFC 2104) over the JSON of all other members with sorted names and without
spaces. Its key is derived from a key of GATEWAY_ENCRYPTION_KEYS, whose id it names: only the gateway can
check it. What is in the file anybody can check, by its SHA-256.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from gateway_project.core.crypto import Ring

MANIFEST_VERSION = 1
ALGORITHM = "HMAC-SHA-256"
_PURPOSE = b"agent-gateway report manifest v1"
_MAX_CHARS = 1_000_000


class BadManifest(ValueError):
    """The text is no manifest of ours."""


def signed(manifest: dict[str, Any], ring: Ring) -> dict[str, Any]:
    """The manifest with a signature by the current key of the ring."""
    key = ring[0]
    value = _signature(manifest, key.secret)
    return {**manifest, "signature": {"algorithm": ALGORITHM, "key_id": key.id, "value": value}}


def signature_problem(manifest: dict[str, Any], ring: Ring) -> str:
    """Why the signature does not hold; "" if it does."""
    signature = manifest.get("signature")
    if not isinstance(signature, dict) or signature.get("algorithm") != ALGORITHM:
        return "the manifest has no signature"
    secrets = [key.secret for key in ring if key.id == signature.get("key_id")]
    if not secrets:
        return "the manifest's signature is by a key that GATEWAY_ENCRYPTION_KEYS does not hold"
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    value = signature.get("value")
    if set(signature) != {"algorithm", "key_id", "value"} or not isinstance(value, str):
        return "the manifest's signature was changed"
    if not hmac.compare_digest(value.encode(), _signature(unsigned, secrets[0]).encode()):
        return "the manifest was changed or forged: its signature does not fit what it says"
    return ""


def manifest_text(manifest: dict[str, Any]) -> str:
    """The manifest as the file beside the export holds it."""
    return json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"


def parse_manifest(text: str) -> dict[str, Any]:
    """The inverse of `manifest_text`; BadManifest says why a text is none."""
    if len(text) > _MAX_CHARS:
        raise BadManifest("it is too long for a manifest")
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadManifest(f"it is not JSON: {error}") from error
    if not isinstance(value, dict) or value.get("manifest_version") != MANIFEST_VERSION:
        raise BadManifest(f"it is no manifest of version {MANIFEST_VERSION}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two members of one name would show one value to people and another to programs."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is there twice")
    return members


def _signature(manifest: dict[str, Any], secret: bytes) -> str:
    key = hmac.digest(secret, _PURPOSE, "sha256")
    text = json.dumps(manifest, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()
