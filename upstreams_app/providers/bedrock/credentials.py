"""Who the gateway is for AWS: keys that an upstream holds, a Bedrock API key, or the machine's own identity.

The machine's identity (environment, profile, web identity of a pod, container, instance) and roles are had
through botocore, which blocks: everything of `Chain` but `current` runs in a thread.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import loads
from upstreams_app.errors import UpstreamUnreachable

# Before their expiry: from when new ones are fetched beside the calls, and from when no call goes without.
REFRESH_EARLY: Final = timedelta(minutes=5)
REFRESH_FIRST: Final = timedelta(minutes=2)
# Keys that tell no expiry may still be changed, in a file or by a process.
UNDATED_SERVE: Final = timedelta(minutes=15)
_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
_TIMEOUTS_S = {"connect_timeout": 3, "read_timeout": 10}
_SESSION_NAME: Final = "agent-gateway"
_MAX_CHAINS = 64


class Keys(NamedTuple):
    """What requests are signed with. None of it may be shown, the id of the key apart."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Keys()"


class Bearer(NamedTuple):
    """A Bedrock API key, which is sent as it is."""

    key: str

    def __repr__(self) -> str:
        return "Bearer()"


@dataclass(frozen=True, slots=True)
class Identity:
    """Where keys come from: `keys`, or the machine's (of a `profile`); with `role_arn` they assume a role."""

    keys: Keys | None = field(default=None, repr=False)
    profile: str = ""
    role_arn: str = ""
    external_id: str = ""
    session_name: str = ""
    region: str = ""


def parse_credential(credential: str) -> Keys | Bearer | None:
    """What an upstream's credential says; None for none. UpstreamUnreachable for what is no credential.

    Keys are `ID:SECRET`, `ID:SECRET:TOKEN`, or JSON with the names that AWS's own files use.
    """
    if not credential:
        return None
    if credential.startswith("{"):
        return _parse_json(credential)
    key_id, colon, rest = credential.partition(":")
    if colon and _KEY_ID.fullmatch(key_id):
        secret, _, token = rest.partition(":")
        if secret:
            return Keys(key_id, secret, token or None)
    elif not colon and not credential.startswith(("AKIA", "ASIA")):
        return Bearer(credential)
    raise UpstreamUnreachable("its credential is neither ACCESS_KEY_ID:SECRET, nor JSON, nor an API key")


def _parse_json(credential: str) -> Keys:
    try:
        fields = loads(credential)
        key_id, secret = fields["aws_access_key_id"], fields["aws_secret_access_key"]
        token = fields.get("aws_session_token") or None
    except (AttributeError, KeyError, TypeError, ValueError):
        key_id = secret = token = None
    if not all(isinstance(text, str) and text for text in (key_id, secret, token or "-")):
        raise UpstreamUnreachable(
            "its credential is JSON without the texts aws_access_key_id and aws_secret_access_key"
        ) from None
    return Keys(key_id, secret, token)


def identity_of(options: Mapping[str, Any], keys: Keys | None, region: str) -> Identity:
    """Whose keys an upstream's calls are signed with."""
    role = options.get("role_arn", "")
    return Identity(
        keys=keys,
        profile=options.get("profile", ""),
        role_arn=role,
        external_id=options.get("external_id", ""),
        session_name=(options.get("session_name") or _SESSION_NAME) if role else "",
        region=region,
    )


class Chain:
    """The keys of one identity, kept until shortly before they expire. One refresh is under way at a time."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._lock = threading.Lock()
        self._source: Any = None
        self._known: tuple[Keys, datetime] | None = None

    def current(self, spare: timedelta = REFRESH_FIRST) -> Keys | None:
        """The keys, if they are good for `spare` yet. Never blocks."""
        known = self._known
        return known[0] if known is not None and utc_now() + spare < known[1] else None

    def refresh(self, spare: timedelta = REFRESH_FIRST) -> Keys:
        """New keys, if those that are known don't last; blocks. UpstreamUnreachable says why not."""
        with self._lock:
            if keys := self.current(spare):
                return keys
            try:
                self._known = self._fetch()
            except Exception as error:  # noqa: BLE001  (botocore has dozens, and none may show itself)
                self._source = None
                if spare > REFRESH_FIRST and (keys := self.current()):
                    return keys
                raise UpstreamUnreachable(_reason(error, self._identity)) from None
            return self._known[0]

    def _fetch(self) -> tuple[Keys, datetime]:
        if self._source is None:
            self._source = _source(self._identity)
        if self._source is None:
            raise LookupError
        frozen = self._source.get_frozen_credentials()
        # It has no public name, and botocore's own refresh would come in the middle of a call.
        expires = getattr(self._source, "_expiry_time", None)
        until = expires.astimezone(UTC) if isinstance(expires, datetime) else utc_now() + UNDATED_SERVE
        if not isinstance(expires, datetime) and self._identity.keys is None:
            # Asked again, the chain may have others by then.
            self._source = None
        return Keys(frozen.access_key, frozen.secret_key, frozen.token), until


@lru_cache(maxsize=_MAX_CHAINS)
def chain_of(identity: Identity) -> Chain:
    """The chain of an identity, one in a process: calls and probes share its keys."""
    return Chain(identity)


def _source(identity: Identity) -> Any:
    """botocore's credentials of an identity; None if there are none."""
    from botocore.config import Config
    from botocore.credentials import AssumeRoleCredentialFetcher, Credentials, DeferredRefreshableCredentials
    from botocore.session import Session

    session = Session(profile=identity.profile or None)
    session.set_default_client_config(Config(**_TIMEOUTS_S, retries={"max_attempts": 1}))
    if identity.region:
        session.set_config_variable("region", identity.region)
    if identity.keys is not None:
        found: Any = Credentials(*identity.keys)
    else:
        found = session.get_credentials()
    if found is None or not identity.role_arn:
        return found
    extra = {"RoleSessionName": identity.session_name}
    if identity.external_id:
        extra["ExternalId"] = identity.external_id
    fetcher = AssumeRoleCredentialFetcher(session.create_client, found, identity.role_arn, extra_args=extra)
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")


def _reason(error: Exception, identity: Identity) -> str:
    """What went wrong in a few words; never botocore's own, which may hold what no one should see."""
    what = "assuming its AWS role failed" if identity.role_arn else "AWS credentials can't be had"
    if isinstance(error, LookupError) and not error.args:
        return "there are no AWS credentials: none is stored, and the machine has none"
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        return f"{what} ({code[:60]})" if code.isalnum() else what
    return f"{what} ({type(error).__name__})"
