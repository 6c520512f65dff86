"""Public keys of those who sign tokens, as a JWK set (RFC 7517) has them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

ALGORITHMS = ("RS256", "ES256")
_MIN_RSA_BITS = 2048
_BY_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


class IssuerKey(NamedTuple):
    """A public key of an issuer, and the one algorithm that it is for."""

    key_id: str | None
    algorithm: str
    key: Any


def public_keys(jwks: Mapping[str, Any], algorithms: Collection[str] = ALGORITHMS) -> tuple[IssuerKey, ...]:
    """The keys of a set that are for signatures by these algorithms; others are left out.

    A key that does not say its algorithm is there once for each one that it fits.
    """
    found: dict[tuple[str | None, str, str], IssuerKey] = {}
    for jwk in jwks.get("keys", ()):
        for key in _public_keys(jwk, algorithms):
            # The same key told twice is no second one.
            found.setdefault((key.key_id, key.algorithm, _numbers(jwk)), key)
    return tuple(found.values())


def _numbers(jwk: Mapping[str, Any]) -> str:
    return " ".join(str(jwk.get(name, "")) for name in ("n", "e", "crv", "x", "y"))


def _public_keys(jwk: Any, algorithms: Collection[str]) -> Iterator[IssuerKey]:
    # Only who has issuers pays for it.
    from jwt import PyJWK, PyJWTError

    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return
    key_id = jwk.get("kid")
    for algorithm in _fitting(jwk, algorithms):
        try:
            key = PyJWK(jwk, algorithm).key
        except (PyJWTError, ValueError, TypeError, KeyError):
            return
        if jwk["kty"] == "RSA" and key.key_size < _MIN_RSA_BITS:
            return
        yield IssuerKey(key_id if isinstance(key_id, str) else None, algorithm, key)


def _fitting(jwk: Mapping[str, Any], algorithms: Collection[str]) -> list[str]:
    """Which of the algorithms a key is for, by its type and by what it says itself."""
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if kind == "RSA":
        fitting = [name for name in algorithms if name.startswith(("RS", "PS"))]
    elif kind in ("EC", "OKP") and isinstance(curve, str):
        fitting = [name for name in algorithms if name == _BY_CURVE.get(curve)]
    else:
        fitting = []
    stated = jwk.get("alg")
    return fitting if stated is None else [name for name in fitting if name == stated]
