"""Forms with files, as small as the demo takes them."""

from __future__ import annotations

import re
from typing import Final

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.forms import FormError, FormScanner, boundary_of

_NAME: Final = re.compile(rb"(?i);[ \t]*name=\"?([^\";\r\n]+)")
_FILE: Final = re.compile(rb"(?i);[ \t]*filename\*?=")


class Form:
    """The texts and the files of a form by name; of several of one name the last. It is read when asked."""

    def __init__(self, content_type: str, body: bytes) -> None:
        self._content_type = content_type
        self.body = body

    def read(self) -> tuple[dict[str, str], dict[str, bytes]]:
        """The texts and the files; InvalidRequest if it is no form."""
        try:
            boundary = boundary_of(self._content_type)
            scanner = FormScanner(boundary, kept=())
            scanner.feed(self.body)
            scanner.finish()
        except FormError as error:
            raise InvalidRequest(str(error)) from error
        texts: dict[str, str] = {}
        files: dict[str, bytes] = {}
        for part in (b"\r\n" + self.body).split(b"\r\n--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            found = _NAME.search(head)
            name = found[1].decode() if found is not None else ""
            if _FILE.search(head):
                files[name] = content
            else:
                texts[name] = content.decode("utf-8", "replace")
        return texts, files
