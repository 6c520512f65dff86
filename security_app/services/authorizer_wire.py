"""What goes to an external authorizer and what comes back: a signed question, a short answer.

A question names who asks for what, and never holds a body, a key or a token.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from gateway_project.core.codec import dumps, loads
from gateway_project.core.ids import printable, public_id
from security_app.registry import Principal
from security_app.registry.authorizers import Authorizer

VERSION = 1
MAX_ANSWER_BYTES = 16 * 1024
TIMESTAMP_HEADER = "x-gateway-timestamp"
SIGNATURE_HEADER = "x-gateway-signature"
_MAX_REASON_CHARS = 200
_MAX_PATH_CHARS = 500


class Asked(NamedTuple):
    """What is asked about: `kind` is route, model, agent or tool."""

    kind: str
    object: str
    door: str
    ip: str = ""
    method: str = ""
    path: str = ""
    agent: str = ""


class Answer(NamedTuple):
    """What it said, and why in its words."""

    is_allowed: bool
    reason: str = ""


class BadAnswer(Exception):
    """What came back is no answer; the text says why, in words for an operator."""


def question(authorizer: Authorizer, principal: Principal, asked: Asked) -> dict[str, Any]:
    """The question as far as this authorizer is told; the same for the same: answers can serve again."""
    sends = authorizer.sends
    who = {name: value for name, value in _who(principal).items() if name in sends}
    request = {
        name: getattr(asked, name)[:_MAX_PATH_CHARS] for name in ("ip", "method", "path") if name in sends
    }
    about: dict[str, Any] = {"kind": asked.kind, "object": asked.object, "door": asked.door}
    if asked.agent and "agent" in sends:
        about["agent"] = asked.agent
    return {"version": VERSION, "asked": about, "principal": who, "request": request}


def _who(principal: Principal) -> dict[str, Any]:
    return {
        "key": {"id": _id("key", principal.key_id), "name": principal.name},
        "user": principal.user_id,
        "team": _id("team", principal.team_id),
        "organization": _id("org", principal.organization_id),
        "end_user": principal.end_user,
        "scopes": sorted(principal.policy.scopes),
        "claims": principal.claims or {},
    }


def _id(prefix: str, value: UUID | None) -> str | None:
    return None if value is None else public_id(prefix, value)


def signed(authorizer: Authorizer, body: Mapping[str, Any], request_id: str) -> tuple[bytes, dict[str, str]]:
    """The bytes of a question and its headers: HMAC-SHA-256 of the timestamp, a dot, and the bytes."""
    content = dumps({**body, "request_id": request_id})
    timestamp = str(int(time.time()))
    mac = hmac.new(authorizer.secret.encode(), timestamp.encode() + b"." + content, "sha256").hexdigest()
    headers = {
        "content-type": "application/json",
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: f"sha256={mac}",
    }
    return content, headers


def read_answer(status: int, content: bytes) -> Answer:
    """What an answer says: 200 with `allow`, or 403; BadAnswer for everything else."""
    if status not in (200, 403):
        raise BadAnswer(f"status {status}")
    try:
        found = loads(content) if content else None
    except ValueError as error:
        if status == 403:
            return Answer(False)
        raise BadAnswer("its answer is not JSON") from error
    said = found if isinstance(found, dict) else {}
    reason = said.get("reason")
    # Whatever it writes goes to a client, to the log and to the audit.
    text = printable(reason)[:_MAX_REASON_CHARS] if isinstance(reason, str) else ""
    if status == 403:
        return Answer(False, text)
    if not isinstance(said.get("allow"), bool):
        raise BadAnswer("its answer has no 'allow'")
    return Answer(said["allow"], text)
