"""What secrets look like: our keys, and those of vendors that have a form of their own.

For finding secrets where none should be; a secret without a form can't be found this way.
"""

from __future__ import annotations

import re

REDACTED = "…"
# Each is linear: no repetition within a repetition. Forms that words could have need a digit, too.
_FORMS: tuple[tuple[str, str], ...] = (
    ("a gateway key", r"sk-gw-[0-9A-Za-z]{46}"),
    ("an Anthropic key", r"sk-ant-[0-9A-Za-z_-]{20,}"),
    ("an OpenAI-style key", r"sk-[0-9A-Za-z_-]{20,}"),
    ("an AWS access key", r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
    ("a GitHub token", r"gh[pousr]_[0-9A-Za-z]{30,}|github_pat_[0-9A-Za-z_]{22,}"),
    ("a GitLab token", r"glpat-[0-9A-Za-z_-]{20,}"),
    ("a Google key", r"AIza[0-9A-Za-z_-]{35}"),
    ("a Groq key", r"gsk_[0-9A-Za-z]{40,}"),
    ("a Hugging Face token", r"hf_[0-9A-Za-z]{30,}"),
    ("a Slack token", r"xox[abeoprs]-[0-9A-Za-z-]{10,}"),
    ("a Slack webhook", r"hooks\.slack\.com/services/[0-9A-Za-z/]{20,}"),
    ("a private key", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----"),
)
# The letter of an escape in JSON, as of a line end, is no part of a word.
_BEGIN = r"(?:(?<![0-9A-Za-z])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))"
_ALL = re.compile(_BEGIN + "(?:" + "|".join(f"({form})" for _, form in _FORMS) + ")")
_PRIVATE_KEY = "a private key"


def secret_forms(text: str) -> list[str]:
    """What kinds of secrets seem to be in the text, each once; never the secrets."""
    return list(dict.fromkeys(title for match in _ALL.finditer(text) if (title := _title(match))))


def redacted(text: str, *, marker: str = REDACTED) -> str:
    """The text with a marker in place of what seems to be a secret."""
    return _ALL.sub(lambda match: marker if _title(match) else match[0], text)


def _title(match: re.Match[str]) -> str:
    title = _FORMS[(match.lastindex or 1) - 1][0]
    has_digit = any(character.isdigit() for character in match[0])
    return title if has_digit or title == _PRIVATE_KEY else ""
