"""Forms as clients write them, and as servers read them: by the standard library's parser for mail."""

from __future__ import annotations

from collections.abc import Iterable
from email.parser import BytesParser
from email.policy import HTTP
from typing import NamedTuple

BOUNDARY = "a-boundary"


class Part(NamedTuple):
    """A part of a form; one with a file name is a file."""

    name: str
    content: bytes
    filename: str | None = None

    def written(self) -> bytes:
        """With its head."""
        named = "" if self.filename is None else f'; filename="{self.filename}"'
        head = f'Content-Disposition: form-data; name="{self.name}"{named}\r\n'
        if self.filename is not None:
            head += "Content-Type: application/octet-stream\r\n"
        return head.encode() + b"\r\n" + self.content


def form(parts: Iterable[Part], boundary: str = BOUNDARY) -> bytes:
    """The body of a form."""
    mark = b"--" + boundary.encode()
    return b"".join(mark + b"\r\n" + part.written() + b"\r\n" for part in parts) + mark + b"--\r\n"


def content_type(boundary: str = BOUNDARY) -> str:
    """The header that goes with it."""
    return f"multipart/form-data; boundary={boundary}"


def read(body: bytes, kind: str) -> list[Part]:
    """The parts that a server finds in a body."""
    mail = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    assert mail.is_multipart(), body[:300]
    found = []
    for part in mail.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append(Part(str(name), content, part.get_filename()))
    return found
