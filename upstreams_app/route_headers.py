"""Headers that a route has its upstreams get: checks for what people enter, and the form of the request path.

They hold no secrets: credentials, and headers with secrets in them, are an upstream's, where they are masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from security_app.services.secret_patterns import secret_forms

MAX_HEADERS: Final = 16
MAX_HEADER_CHARS: Final = 500
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
# What decides who is asked, by whom, in which form, and where a message ends.
_NEVER_SENT = frozenset(
    {
        *("accept", "accept-encoding", "connection", "cookie", "date", "expect", "host", "keep-alive"),
        *("forwarded", "te", "trailer", "transfer-encoding", "upgrade", "via"),
    }
)
_NEVER_BEGIN = ("content-", "proxy-", "sec-", "set-cookie", "x-amz-", "x-gateway-")
# What headers with secrets are called: an upstream's own, and those of tools before it.
_SECRET_NAME = re.compile(
    r"(?:.*-)?(?:(?:api|access|subscription|private|auth)?-?key|token|secret|password|passwd|auth"
    r"|authorization|credentials?|signature|session-token|jwt)"
)
_SECRET_VALUE = re.compile(r"(?:basic|bearer|digest|negotiate|aws4-hmac-sha256)\s", re.IGNORECASE)


class SentHeaders(NamedTuple):
    """`defaults` are sent where the upstream has no such header, `overrides` also in place of its own."""

    defaults: Mapping[str, str]
    overrides: Mapping[str, str]


NO_HEADERS: Final = SentHeaders({}, {})


def check_sent_headers(value: Any) -> None:
    """ValueError unless it is an object of headers that a route may set, without secrets."""
    if not isinstance(value, dict) or len(value) > MAX_HEADERS:
        raise ValueError(f"Give a JSON object of at most {MAX_HEADERS} headers.")
    for name, text in value.items():
        check_header_name(name)
        if not isinstance(text, str) or not is_sendable(text):
            raise ValueError(f"'{name}' needs a text of 1 to {MAX_HEADER_CHARS} printable ASCII characters.")
        if secret_forms(text) or _SECRET_VALUE.match(text):
            raise ValueError(f"'{name}' seems to be a secret: those are extra headers of the upstream.")


def check_header_name(name: Any) -> None:
    """ValueError for headers that are not a route's to set."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"'{str(name)[:60]}' is no name of a header in small letters.")
    if name in _NEVER_SENT or name.startswith(_NEVER_BEGIN):
        raise ValueError(f"'{name}' can't be set by a route.")
    if _SECRET_NAME.fullmatch(name):
        raise ValueError(f"'{name}' is for a secret: those are extra headers of the upstream.")


def is_sendable(text: str) -> bool:
    """Whether a text is a header's value as it stands."""
    is_short = 0 < len(text) <= MAX_HEADER_CHARS
    return is_short and text.isascii() and text.isprintable() and text == text.strip()
