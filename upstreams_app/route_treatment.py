"""What a route does to requests and answers: members of the body, messages around the prompt, headers; and
what it says while it is in maintenance. Checks for what people enter, and what the request path needs of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from gateway_project.core.codec import RawFields, dumps, loads
from upstreams_app.route_headers import (
    MAX_HEADER_CHARS,
    MAX_HEADERS,
    NO_HEADERS,
    SentHeaders,
    check_sent_headers,
)
from upstreams_app.route_templates import (
    Templates,
    ValuesOf,
    check_header_templates,
    check_member_templates,
    read_templates,
)

MAX_MEMBERS: Final = 32
MAX_MESSAGES: Final = 20
MAX_BYTES: Final = 32_768
_ROLES = ("system", "developer", "user", "assistant")
# What decides who answers, who pays and in which form: it is the client's, or has fields of its own.
_OWN_MEMBERS = frozenset({"model", "messages", "prompt", "input", "stream", "stream_options", "user", "n"})
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_HEADER = re.compile(r"x-[a-z0-9-]{1,60}")
# Headers of the gateway, which clients act on.
_OWN_HEADERS = ("x-gateway-", "x-ratelimit-", "x-request-id", "x-should-retry", "x-content-type", "x-accel-")
_NULL = msgspec.Raw(b"null")
# Two names of one member: the older one and the newer one of chats.
_TWINS: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


@dataclass(frozen=True, slots=True)
class Treatment:
    """Everything as it goes out to an upstream or a client; `overrides` that are null take a member away."""

    defaults: Mapping[str, msgspec.Raw]
    overrides: Mapping[str, msgspec.Raw]
    # Messages as JSON texts, with a comma between them.
    prepend: bytes
    append: bytes
    response_headers: tuple[tuple[bytes, bytes], ...]
    sent_headers: SentHeaders | None = None
    templates: Templates | None = None

    def resolved(self, values_of: ValuesOf) -> Treatment:
        """What it is for one request: what templates give overrides."""
        if self.templates is None:
            return self
        members, headers = self.templates.results(values_of)
        sent = self.sent_headers or NO_HEADERS
        return replace(
            self,
            overrides={**self.overrides, **members},
            sent_headers=sent._replace(overrides={**sent.overrides, **headers}),
            templates=None,
        )

    @property
    def changes_body(self) -> bool:
        """Whether a request is another one afterwards."""
        return bool(self.defaults or self.overrides or self.prepend or self.append)

    def apply(self, fields: RawFields) -> RawFields:
        """The members of a request as the route wants them, in a mapping of its own."""
        changed = dict(fields)
        for name, value in self.defaults.items():
            if name not in fields and _TWINS.get(name) not in fields:
                changed[name] = value
        for name, value in self.overrides.items():
            self._override(changed, name, value)
        messages = changed.get("messages")
        if messages is not None and (self.prepend or self.append):
            changed["messages"] = msgspec.Raw(self._around(bytes(messages)))
        return changed

    def _override(self, fields: RawFields, name: str, value: msgspec.Raw) -> None:
        twin = _TWINS.get(name, "")
        if twin and twin not in self.overrides and twin in fields:
            # Under the name that the request has: upstreams know one of them, or refuse both.
            fields.pop(name, None)
            name = twin
        if value is _NULL:
            fields.pop(name, None)
        else:
            fields[name] = value

    def _around(self, messages: bytes) -> bytes:
        inner = messages.strip()
        if not inner.startswith(b"[") or not inner.endswith(b"]"):
            # The upstream says what is wrong with it.
            return messages
        return b"[%b]" % b",".join(part for part in (self.prepend, inner[1:-1].strip(), self.append) if part)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What clients are told meanwhile: an error, or an answer if there is one."""

    message: str
    answer: str = ""


def read_treatment(columns: Mapping[str, Any]) -> Treatment | None:
    """What a row's columns of `COLUMNS` say, None where they say nothing; ValueError for nonsense."""
    for name, check in COLUMNS.items():
        check(columns[name])
    if not any(columns[name] for name in COLUMNS):
        return None
    defaults, overrides = columns["body_defaults"], columns["body_overrides"]
    sent = SentHeaders(columns["upstream_header_defaults"], columns["upstream_header_overrides"])
    return Treatment(
        {name: msgspec.Raw(dumps(value)) for name, value in defaults.items()},
        {name: _NULL if value is None else msgspec.Raw(dumps(value)) for name, value in overrides.items()},
        b",".join(map(dumps, columns["prompt_prepend"])),
        b",".join(map(dumps, columns["prompt_append"])),
        tuple((name.encode(), value.encode()) for name, value in columns["response_headers"].items()),
        sent if sent.defaults or sent.overrides else None,
        read_templates(columns["body_templates"], columns["upstream_header_templates"]),
    )


def check_members(value: Any) -> None:
    """ValueError unless it is an object of members that a route may set."""
    if not isinstance(value, dict) or len(value) > MAX_MEMBERS:
        raise ValueError(f"Give a JSON object of at most {MAX_MEMBERS} members.")
    for name in value:
        if not _MEMBER.fullmatch(name):
            raise ValueError(f"'{name}' is no name of a member.")
        if name in _OWN_MEMBERS:
            raise ValueError(f"'{name}' can't be set by a route.")
    _check_size(value)


def check_messages(value: Any) -> None:
    """ValueError unless it is a list of messages with a role and a text."""
    if not isinstance(value, list) or len(value) > MAX_MESSAGES:
        raise ValueError(f"Give a list of at most {MAX_MESSAGES} messages.")
    for message in value:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise ValueError("A message has a 'role' and a 'content'.")
        if message["role"] not in _ROLES:
            raise ValueError(f"A role is one of {', '.join(_ROLES)}.")
        if not isinstance(message["content"], str) or not message["content"].strip():
            raise ValueError("The content of a message is a text.")
    _check_size(value)


def check_response_headers(value: Any) -> None:
    """ValueError unless it is an object of x-… headers that are not the gateway's own."""
    if not isinstance(value, dict) or len(value) > MAX_HEADERS:
        raise ValueError(f"Give a JSON object of at most {MAX_HEADERS} headers.")
    for name, text in value.items():
        if not _HEADER.fullmatch(name) or name.startswith(_OWN_HEADERS):
            raise ValueError(f"'{name}' can't be set: give small x-… names that are not the gateway's own.")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise ValueError(f"'{name}' needs a text of printable ASCII characters.")
        if len(text) > MAX_HEADER_CHARS:
            raise ValueError(f"'{name}' has more than {MAX_HEADER_CHARS} characters.")


def _check_size(value: Any) -> None:
    try:
        text = dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("This can't be sent as JSON.") from error
    if len(text) > MAX_BYTES:
        raise ValueError(f"This has more than {MAX_BYTES} bytes.")
    if loads(text) != value:
        # Infinities and the like, which other writers of JSON let through.
        raise ValueError("This can't be sent as JSON.")


def check_body_templates(value: Any) -> None:
    """ValueError unless it is an object of members that a route may set, and of CEL expressions."""
    check_member_templates(value, check_members)


# The columns of a route that say how it treats requests and answers, and what each may hold.
COLUMNS: Final[Mapping[str, Callable[[Any], None]]] = {
    "body_defaults": check_members,
    "body_overrides": check_members,
    "body_templates": check_body_templates,
    "prompt_prepend": check_messages,
    "prompt_append": check_messages,
    "upstream_header_defaults": check_sent_headers,
    "upstream_header_overrides": check_sent_headers,
    "upstream_header_templates": check_header_templates,
    "response_headers": check_response_headers,
}
