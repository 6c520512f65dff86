"""What an upstream's credential for Vertex AI is: a key file, an API key, a token, or nothing: the machine's.

Source: https://cloud.google.com/docs/authentication (service account keys, user credentials, ADC).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gateway_project.core.codec import loads
from upstreams_app.errors import UpstreamUnreachable

TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105  (an address)
_KINDS: Final = {
    "service_account": ("client_email", "private_key"),
    "authorized_user": ("client_id", "client_secret", "refresh_token"),
}


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A JSON key, of a service account or of a user; `kind` is its `type`."""

    kind: str
    fields: dict[str, Any] = field(repr=False)

    @property
    def token_uri(self) -> str:
        """Where it is exchanged for a token."""
        return str(self.fields.get("token_uri") or TOKEN_URI)

    @property
    def project(self) -> str:
        """The project that it belongs to, if it says so."""
        return str(self.fields.get("project_id") or self.fields.get("quota_project_id") or "")


def read_key_file(text: str) -> KeyFile | None:
    """The JSON key that a credential is; None if it is no JSON. UpstreamUnreachable if it is of no use."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        fields = loads(text)
    except ValueError:
        raise UpstreamUnreachable("the credential is not the JSON of a key") from None
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UpstreamUnreachable(
            "the credential's JSON is no key of a service account or user; other kinds, such as workload "
            "identity federation, are taken from the machine: leave the credential empty"
        )
    missing = [name for name in _KINDS[kind] if not isinstance(fields.get(name), str) or not fields[name]]
    if missing:
        raise UpstreamUnreachable(f"the credential's JSON has no '{missing[0]}'")
    return KeyFile(kind, fields)
