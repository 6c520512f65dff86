"""Forms with files (multipart/form-data, RFC 7578) as they stream by: where parts are, and small fields.

Nothing is kept but the fields that are asked for. The grammar is the one that clients write, and no wider:
whatever two parsers could read in two ways is refused, since what is decided here (which model) must be what
the server behind us reads too.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

MAX_HEAD_BYTES = 8 * 1024
MAX_FIELD_BYTES = 1024
MAX_PARTS = 1000
_TYPE = re.compile(r"multipart/form-data\s*;\s*boundary=(?:\"([^\"\\]{1,70})\"|([^\s\";,]{1,70}))\s*", re.I)
# RFC 2046, section 5.1.1; a space may stand in it, but not at its end.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\x00]*)")
_NAME = re.compile(r"[0-9A-Za-z_.\[\]-]{1,100}")
# A quote after a backslash ends the text for some, and not for others.
_PARAMETER = re.compile(
    rb";[ \t]*(name|filename|filename\*)=(\"(?:[^\"\\]|\\(?!\"))*\"|[^\s\";,=\\]+)[ \t]*", re.IGNORECASE
)
_PLAIN_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary"})


class FormError(ValueError):
    """The body is no form that everybody reads alike; the text says why, `field` which part."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Span(NamedTuple):
    """Where something is in a body: the first byte, and the one after the last."""

    start: int
    end: int


def boundary_of(content_type: str) -> bytes:
    """What separates the parts of a form with this content type; FormError if it is none."""
    match = _TYPE.fullmatch(content_type.strip())
    boundary = (match[1] or match[2]) if match is not None else ""
    if not _BOUNDARY.fullmatch(boundary):
        raise FormError("Send the body as multipart/form-data with a boundary.")
    return boundary.encode()


def content_type_of(boundary: bytes) -> str:
    """The content type of a form with this boundary."""
    return f'multipart/form-data; boundary="{boundary.decode()}"'


class FormScanner:
    """Reads a form in whatever pieces it comes: `feed` them all, then `finish`; both raise FormError.

    `fields` are those of `kept` that have ended, decoded; `spans` where they are, their heads included.
    `files` is how many files have begun.
    """

    def __init__(self, boundary: bytes, *, kept: Collection[str]) -> None:
        self.fields: dict[str, str] = {}
        self.spans: dict[str, Span] = {}
        self.files = 0
        self._kept = kept
        self._mark = b"--" + boundary
        self._buffer = b""
        # Where in the body the buffer begins.
        self._at = 0
        self._read = self._read_opening
        self._part_start = 0
        self._content_start = 0
        self._field: str | None = None
        self._value = b""
        self._parts = 0

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body."""
        self._buffer += piece
        while self._read():
            pass

    def finish(self) -> None:
        """The body has ended."""
        if self._read != self._read_rest:
            raise FormError("The form ends before its last boundary.")

    def _drop(self, count: int) -> None:
        self._buffer = self._buffer[count:]
        self._at += count

    def _read_opening(self) -> bool:
        if len(self._buffer) < len(self._mark):
            if not self._mark.startswith(self._buffer):
                raise FormError("The form does not begin with its boundary.")
            return False
        if not self._buffer.startswith(self._mark):
            raise FormError("The form does not begin with its boundary.")
        self._drop(len(self._mark))
        self._read = self._read_boundary_end
        return True

    def _read_boundary_end(self) -> bool:
        end = self._buffer[:2]
        if len(end) < 2:
            return False
        if end == b"\r\n":
            self._read = self._read_head
            self._parts += 1
            if self._parts > MAX_PARTS:
                raise FormError(f"The form has more than {MAX_PARTS} parts.")
        elif end == b"--":
            self._read = self._read_rest
        else:
            raise FormError("The boundary stands where no part ends.")
        self._drop(2)
        self._part_start = self._at
        return True

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES + 4)
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise FormError(f"The head of a part is larger than {MAX_HEAD_BYTES} bytes.")
            return False
        name, is_file = _read_disposition(self._buffer[:end])
        if name in self._kept:
            if is_file:
                raise FormError(f"'{name}' must be a text, not a file.", name)
            if name in self.fields:
                raise FormError(f"'{name}' is there twice.", name)
            self._field = name
        else:
            self._field = None
        self.files += is_file
        self._drop(end + 4)
        self._content_start = self._at
        self._value = b""
        self._read = self._read_content
        return True

    def _read_content(self) -> bool:
        found = self._buffer.find(self._mark)
        if found < 0:
            # What may be the beginning of a boundary, and the line end before it, stays.
            decided = len(self._buffer) - len(self._mark) - 1
            if decided > 0:
                self._take(decided)
            return False
        end = self._at + found - 2
        if end < self._content_start or self._buffer[found - 2 : found] != b"\r\n":
            raise FormError("The boundary stands where no part ends.")
        self._take(found - 2)
        if self._field is not None:
            self._end_field(self._field, end)
        self._drop(2 + len(self._mark))
        self._read = self._read_boundary_end
        return True

    def _take(self, count: int) -> None:
        if self._field is not None:
            self._value += self._buffer[:count]
            if len(self._value) > MAX_FIELD_BYTES:
                raise FormError(f"'{self._field}' is longer than {MAX_FIELD_BYTES} bytes.", self._field)
        self._drop(count)

    def _end_field(self, name: str, end: int) -> None:
        try:
            self.fields[name] = self._value.decode()
        except UnicodeDecodeError as error:
            raise FormError(f"'{name}' is not valid UTF-8.", name) from error
        self.spans[name] = Span(self._part_start, end)

    def _read_rest(self) -> bool:
        if self._buffer not in (b"", b"\r", b"\r\n"):
            raise FormError("Something follows the end of the form.")
        return False


def _read_disposition(head: bytes) -> tuple[str, bool]:
    """The name of a part, and whether it is a file."""
    disposition = b""
    for line in head.split(b"\r\n"):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise FormError("The head of a part is not readable.")
        header, value = match[1].lower(), match[2].strip()
        if header == b"content-disposition":
            if disposition:
                raise FormError("A part has two dispositions.")
            disposition = value
        elif header == b"content-transfer-encoding" and value.lower() not in _PLAIN_ENCODINGS:
            raise FormError("Send the parts of the form without a transfer encoding.")
    kind, semicolon, rest = disposition.partition(b";")
    if kind.strip().lower() != b"form-data":
        raise FormError("A part has no disposition of form data.")
    parameters: dict[bytes, bytes] = {}
    rest, at = semicolon + rest, 0
    while at < len(rest):
        parameter = _PARAMETER.match(rest, at)
        if parameter is None or parameter[1].lower() in parameters:
            raise FormError("The disposition of a part is not readable.")
        parameters[parameter[1].lower()] = parameter[2]
        at = parameter.end()
    name = parameters.get(b"name", b"").removeprefix(b'"').removesuffix(b'"').decode("ascii", "replace")
    if not _NAME.fullmatch(name):
        raise FormError("The name of a part is missing or not usable.")
    return name, len(parameters) > 1
