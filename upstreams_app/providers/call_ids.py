"""Ids of calls of tools that carry a vendor's signature of what the model thought before it called.

Gemini wants its `thoughtSignature` back with the call in the next request, and a gateway keeps no
conversations. Of all that a call has, its id is what every chat client gives back unchanged: it must, for the
result names it. Members beside it are lost where a client puts a stream together anew. Vendors bound the
length and the characters of ids, so no other vendor ever sees a signature: it is cut off wherever a request
is read, or relayed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway_project.core.ids import uuid7

MARK: Final = "__signed_"
# What ids that vendors did not give begin with.
OWN_PREFIX: Final = "call_"
_SIGNED = re.compile(rf"(.*?){MARK}([A-Za-z0-9_-]+)", re.DOTALL)
_MARK_BYTES: Final = MARK.encode()
_SIGNED_MEMBER = re.compile(
    rb'("(?:id|tool_call_id|call_id)"\s*:\s*"[^"\\]{0,256}?)' + _MARK_BYTES + rb'[A-Za-z0-9_-]+(?=")'
)
_TO_URL = str.maketrans("+/", "-_", "=")
_FROM_URL = str.maketrans("-_", "+/")


class CallId(NamedTuple):
    """An id, and the signature (base64) that it carried, or ""."""

    id: str
    signature: str = ""


def without_signatures(body: bytes) -> bytes:
    """A request of OpenAI's format as its own vendors take it; nearly free where there is no signature."""
    return _SIGNED_MEMBER.sub(rb"\1", body) if _MARK_BYTES in body else body


def new_id() -> str:
    """An id for a call that the vendor gave none."""
    return OWN_PREFIX + uuid7().hex


def join_id(call_id: str, signature: str) -> str:
    """The id for the client; `signature` is base64."""
    return f"{call_id}{MARK}{signature.translate(_TO_URL)}" if signature else call_id


def split_id(text: str) -> CallId:
    """An id as a client sends it back."""
    found = _SIGNED.fullmatch(text)
    if found is None:
        return CallId(text)
    signature = found[2].translate(_FROM_URL)
    return CallId(found[1], signature + "=" * (-len(signature) % 4))
