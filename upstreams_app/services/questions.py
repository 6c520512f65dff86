"""What the choice of a target may ask about a request. The simulator asks the same without a request.

Values for conditions are made only when a route asks for them by name: most routes have no conditions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gateway_project.core.codec import RawFields, join_object
from gateway_project.core.context import RequestContext
from gateway_project.core.snapshot import Snapshot
from security_app.registry import Principal
from usage_app.services.estimate import input_tokens

# Headers that say nothing secret. Whoever wants to route by one of their own calls it x-route-….
_HEADERS = frozenset({b"user-agent", b"accept-language", b"x-session-id"})
_HEADER_PREFIX = b"x-route-"
_MAX_HEADERS = 32
_MAX_HEADER_CHARS = 512
_IMAGE = re.compile(rb'"type"\s*:\s*"(?:image_url|input_image|image)"')
_NOTHING = re.compile(rb"null|\[\s*\]")
# Others go by their paths, such as "images/generations".
_OPERATIONS = {"/chat/completions": "chat"}


class Question(NamedTuple):
    """Who asks for what. `at_s` is seconds since 1970, `read_fields` gives the members of the body."""

    snapshot: Snapshot
    principal: Principal
    at_s: float
    path: str
    is_stream: bool
    read_fields: Callable[[], RawFields]
    headers: Mapping[bytes, bytes]
    tags: tuple[str, ...] = ()
    session: str = ""
    end_user: str = ""
    model_id: str = ""

    def values(self, names: Collection[str]) -> dict[str, Any]:
        """What conditions may ask, as far as it is asked for."""
        return {name: _VALUES[name](self) for name in names}


def ask_about(
    context: RequestContext,
    model_id: str,
    path: str,
    read_fields: Callable[[], RawFields],
    *,
    is_stream: bool,
    headers: Mapping[bytes, bytes],
    session: str = "",
) -> Question:
    """What may be asked of a request at the door, or of a call of a run."""
    return Question(
        context.snapshot,
        context.principal,
        # As its record shows it: by the moment in its id.
        (context.request_id.int >> 80) / 1000,
        path,
        is_stream,
        read_fields,
        headers,
        context.tags,
        session,
        context.end_user,
        model_id,
    )


def _tokens(question: Question) -> int:
    return input_tokens(join_object(question.read_fields()))


def _has_tools(question: Question) -> bool:
    fields = question.read_fields()
    return any(
        name in fields and not _NOTHING.fullmatch(bytes(fields[name])) for name in ("tools", "functions")
    )


def _has_images(question: Question) -> bool:
    messages = question.read_fields().get("messages")
    return messages is not None and _IMAGE.search(bytes(messages)) is not None


def _headers(question: Question) -> dict[str, str]:
    shown = [name for name in question.headers if name in _HEADERS or name.startswith(_HEADER_PREFIX)]
    return {
        name.decode("latin-1"): question.headers[name].decode("latin-1")[:_MAX_HEADER_CHARS]
        for name in shown[:_MAX_HEADERS]
    }


def _principal(question: Question) -> dict[str, str]:
    principal = question.principal
    return {
        "key_id": principal.key_id.hex if principal.key_id is not None else "",
        "key_name": principal.name,
        "team_id": principal.team_id.hex if principal.team_id is not None else "",
        "organization_id": principal.organization_id.hex if principal.organization_id is not None else "",
        "user_id": principal.user_id,
        "end_user": question.end_user,
    }


def _moment(question: Question) -> datetime:
    return datetime.fromtimestamp(question.at_s, UTC)


# By the names of `route_conditions.NAMES`.
_VALUES: Mapping[str, Callable[[Question], Any]] = {
    "model": lambda question: question.model_id,
    "operation": lambda question: _OPERATIONS.get(question.path, question.path.strip("/")),
    "stream": lambda question: question.is_stream,
    "tokens": _tokens,
    "has_tools": _has_tools,
    "has_images": _has_images,
    "tags": lambda question: list(question.tags),
    "headers": _headers,
    "hour": lambda question: _moment(question).hour,
    "now": _moment,
    "principal": _principal,
    "metadata": lambda question: question.principal.facts.metadata if question.principal.facts else {},
    "team_metadata": lambda question: (
        question.principal.facts.team_metadata if question.principal.facts else {}
    ),
}
