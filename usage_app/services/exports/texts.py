"""Texts in files that spreadsheets open: what could be taken for a formula is made harmless."""

from __future__ import annotations

import re

# OWASP, CSV Injection, with the wide forms of the same characters. Names of models, users and tags are what
# callers sent.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet could take the text for a formula."""
    return _FORMULA.match(text) is not None


def harmless(text: str) -> str:
    """The text, with an apostrophe before it if a spreadsheet could take it for a formula."""
    return f"'{text}" if is_formula(text) else text


def printable(text: str) -> str:
    """The text, with U+FFFD for each character that XML can't hold."""
    return _CONTROL.sub("\ufffd", text)
