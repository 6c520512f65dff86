"""The key of an answer: everything that the answer depends on, and whom it is for, as one digest.

It is a digest under a secret of the installation, so that nobody who sees keys can tell what was asked. Each
part is written with its length, so that no two requests give the same bytes. Values of parameters count as
the client wrote them, byte for byte: that is what the vendor gets. Who can't read the question in the same
way as the vendor can't be made to give an answer to another one.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

from django.conf import settings

from gateway_project.core.codec import RawFields
from security_app.registry import Principal
from upstreams_app.cache_policy import BY_KEY, BY_TEAM, GLOBAL

# Whoever changes what a key is made of, or what is kept under it, changes this too.
_VERSION: Final = b"1"
_TAG_BYTES: Final = 8
_KEY_BYTES: Final = 24
KEY_CHARS: Final = 2 * (_TAG_BYTES + _KEY_BYTES)
# How an answer is sent, and who serves it, stand in the key in their own places.
_NOT_COUNTED: Final = frozenset({"model", "stream"})


class Asked(NamedTuple):
    """What is asked, in which form the answer must be, and for whom.

    `form` is whose wire format the parameters are in; `served_by` is from the rules, and `passed_over` are
    those targets that are not for this request.
    """

    model_id: str
    served_by: bytes
    passed_over: frozenset[str]
    audience: tuple[str, ...]
    namespace: str
    path: str
    form: str
    is_stream: bool
    wants_usage: bool
    fields: RawFields


def audience(principal: Principal, scope: str, end_user: str) -> tuple[str, ...]:
    """With whom a caller shares answers; with nobody else where the scope can't be told.

    Keys without a team share with nobody. A key's end users don't share either.
    """
    if scope == GLOBAL:
        return (GLOBAL,)
    if scope == BY_TEAM and principal.team_id is not None:
        return BY_TEAM, principal.team_id.hex
    if principal.key_id is not None:
        return BY_KEY, principal.key_id.hex, end_user
    return "master", principal.name, end_user


def cache_key(asked: Asked) -> str:
    """The key; its start is the model id's, by which all answers of a model are found."""
    digest = blake2b(key=_secret(settings.SECRET_KEY), digest_size=_KEY_BYTES)
    parts: list[bytes] = [
        _VERSION,
        asked.model_id.encode(),
        asked.served_by,
        "\n".join(sorted(asked.passed_over)).encode(),
        str(len(asked.audience)).encode(),
        *(part.encode("utf-8", "surrogatepass") for part in asked.audience),
        asked.namespace.encode("utf-8", "surrogatepass"),
        asked.path.encode(),
        asked.form.encode(),
        b"stream" if asked.is_stream else b"plain",
        b"usage" if asked.wants_usage else b"",
    ]
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    for name in sorted(asked.fields.keys() - _NOT_COUNTED):
        value = memoryview(asked.fields[name])
        encoded = name.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded + len(value).to_bytes(8, "big"))
        digest.update(value)
    return model_tag(asked.model_id) + digest.hexdigest()


def model_tag(model_id: str) -> str:
    """What the keys of a model id's answers begin with."""
    secret = _secret(settings.SECRET_KEY)
    return blake2b(model_id.encode(), key=secret, digest_size=_TAG_BYTES, person=b"model").hexdigest()


def is_key(text: str) -> bool:
    """Whether a text can be a key of ours."""
    return len(text) == KEY_CHARS and text.isascii() and all(char in "0123456789abcdef" for char in text)


@lru_cache(maxsize=4)
def _secret(installation: str) -> bytes:
    return sha256(b"agent-gateway answer cache\0" + installation.encode()).digest()
