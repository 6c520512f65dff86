"""An identity provider at the wire: keys that it signs with, what it publishes, tokens that it issues."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.management.model_server import ModelServer

AUDIENCE = "gateway"


class FakeIssuer:
    """Publishes its keys at `/jwks`, and says so in its discovery document."""

    def __init__(self) -> None:
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.server = ModelServer({})
        self.new_key("one")

    @property
    def url(self) -> str:
        """Its issuer identifier."""
        return self.server.url

    @property
    def jwks(self) -> dict[str, Any]:
        """What it publishes now."""
        keys = self._keys.items()
        return {
            "keys": [ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} for kid, key in keys]
        }

    def new_key(self, kid: str, *, is_only: bool = True) -> None:
        """Sign with a new key from now on, and publish it, alone or beside the others."""
        if is_only:
            self._keys.clear()
        self._keys[kid] = ec.generate_private_key(ec.SECP256R1())
        self.publish()

    def publish(self) -> None:
        """Answer well."""
        self.server.answers["/jwks"] = (200, self.jwks)
        self.server.answers["/.well-known/openid-configuration"] = (
            200,
            {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"},
        )

    def fail(self) -> None:
        """Answer with errors until it publishes again."""
        self.server.answers["/jwks"] = (503, {})

    def token(self, subject: str = "ada", **claims: Any) -> str:
        """A token by its newest key."""
        kid, key = list(self._keys.items())[-1]
        given = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "exp": time.time() + 300, **claims}
        return jwt.encode(given, key, "ES256", headers={"kid": kid})

    def fetches(self) -> int:
        """How often its keys were fetched."""
        return sum(seen.path == "/jwks" for seen in self.server.requests)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.__exit__(kind, error, traceback)
