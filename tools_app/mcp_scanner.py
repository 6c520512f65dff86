"""What is suspicious in the definition of a tool: text for models that people do not see, or do not expect.

Rules, not a proof: they find what is known of poisoned tools (Invariant Labs' tool poisoning and shadowing,
2025; Unicode tags as hidden text; mixed scripts, Unicode Technical Standard 39). Patterns are bounded, so
that no definition takes long.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict

MAX_FINDINGS = 20
_EXCERPT_CHARS = 80
HIDDEN, INVISIBLE, MIXED, LOOKALIKE, ENCODED = (
    "hidden_instruction",
    "invisible_characters",
    "mixed_scripts",
    "look_alike",
    "encoded_text",
)
# With one of these a tool waits for a person, also where first sight pins others.
GRAVE = frozenset({HIDDEN, INVISIBLE})


class Finding(TypedDict):
    """One thing that is suspicious, where, and in words."""

    kind: str
    where: str
    message: str


_RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (message, re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for message, pattern in (
        (
            "tells the model to ignore what it was told",
            r"\b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:previous|prior|above|earlier|all|other|system)\b"
            r".{0,20}\b(?:instruction|prompt|rule|message|guideline)",
        ),
        (
            "tells the model to keep something from the user",
            r"\b(?:do not|don't|never|without)\b.{0,30}"
            r"\b(?:tell|telling|mention|mentioning|inform|informing|notify|notifying|reveal|show|alert|ask)\w*\b"
            r".{0,30}\b(?:user|human|person|anyone|them)\b",
        ),
        (
            "speaks to the model in a tag of its own",
            r"<\s*/?\s*(?:important|system|secret|instruction|instructions|admin|hidden|assistant)\b[^>]{0,80}>"
            r"|\[/?(?:system|inst)\]|<!--",
        ),
        (
            "names files that hold secrets",
            r"(?:~|/home/\w+|/root)/\.(?:ssh|aws|gnupg|kube|config|cursor|docker|npmrc|netrc)\b|\bid_(?:rsa|ed25519)\b"
            r"|\.cursor/mcp\.json|\bmcp\.json\b|/etc/(?:passwd|shadow)|\b\.env\b(?=.{0,40}\b(?:read|content|send|pass))",
        ),
        (
            "makes other tools its business",
            r"\b(?:before|after|whenever|when|instead of)\b.{0,20}"
            r"\b(?:using|calling|invoking|use|call|invoke|any)\b.{0,40}\b(?:other|another|any|every|all)\b.{0,20}\btools?\b",
        ),
        (
            "has the model send something elsewhere",
            r"\b(?:send|forward|post|upload|exfiltrate|transmit|bcc|copy)\b.{0,60}"
            r"\b(?:to|at)\b.{0,20}(?:https?://|[\w.+-]{1,40}@[\w-]{1,40}\.)",
        ),
        (
            "demands to be obeyed first",
            r"\b(?:you must|you should|always|mandatory|required)\b.{0,40}"
            r"\b(?:first|before anything|before any other)\b.{0,40}"
            r"\b(?:read|call|run|execute|send|pass|include)\b",
        ),
        (
            "asks for the conversation or the system prompt",
            r"\b(?:system prompt|(?:entire|full|whole|previous) (?:conversation|chat|context|history))\b"
            r"|\b(?:conversation|chat) (?:history|log)\b.{0,40}\b(?:here|parameter|argument|pass|include)",
        ),
    )
)
_ENCODED = re.compile(r"[A-Za-z0-9+/]{160,}={0,2}")
_WORD = re.compile(r"\w{2,100}")
# Written like letters of another kind; also what a hasty eye takes for another letter.
_LIKE = str.maketrans(
    {
        **dict.fromkeys("0", "o"),
        **dict.fromkeys("1iIl|", "l"),
        "5": "s",
        "$": "s",
        "а": "a",  # noqa: RUF001  (Cyrillic, as are those below)
        "е": "e",  # noqa: RUF001
        "о": "o",  # noqa: RUF001
        "р": "p",  # noqa: RUF001
        "с": "c",  # noqa: RUF001
        "у": "y",  # noqa: RUF001
        "х": "x",  # noqa: RUF001
        "і": "l",  # noqa: RUF001
        "ѕ": "s",  # noqa: RUF001
        "_": "",
        "-": "",
        ".": "",
        "/": "",
    }
)


def scanned(definition: Mapping[str, Any]) -> list[Finding]:
    """All that is suspicious in a definition, by its own words."""
    found: list[Finding] = []
    for where, text in _texts(definition):
        found += _of_text(where, text)
        if len(found) >= MAX_FINDINGS:
            break
    return found[:MAX_FINDINGS]


class LookAlikes:
    """Names of tools of other servers, and of these servers, by what they look like."""

    def __init__(self, others: Iterable[tuple[str, str]]) -> None:
        """`others` are pairs of a server and its tool's own name."""
        self._servers: dict[str, set[str]] = {}
        self._names: dict[str, set[tuple[str, str]]] = {}
        for server, name in others:
            self._servers.setdefault(skeleton(server), set()).add(server)
            self._names.setdefault(skeleton(name), set()).add((server, name))

    def of(self, server: str, name: str) -> list[Finding]:
        """Those whose name, or whose server's, looks the same as these and is another."""
        found = [
            Finding(
                kind=LOOKALIKE, where="server", message=f"The server's name looks like that of “{other}”."
            )
            for other in sorted(self._servers.get(skeleton(server), ()))
            if other != server
        ]
        found += [
            Finding(
                kind=LOOKALIKE,
                where="name",
                message=f"The name looks like that of “{other_name}” of the server “{other_server}”.",
            )
            for other_server, other_name in sorted(self._names.get(skeleton(name), ()))
            if other_server != server and other_name != name
        ]
        return found[:MAX_FINDINGS]


def skeleton(name: str) -> str:
    """The same for names that a person may take for one another."""
    plain = unicodedata.normalize("NFKC", name).translate(_LIKE).casefold().translate(_LIKE)
    return plain.replace("rn", "m").replace("vv", "w")


def is_grave(findings: Iterable[Finding]) -> bool:
    """Whether a person should look before any client is told of the tool."""
    return any(finding["kind"] in GRAVE for finding in findings)


def _of_text(where: str, text: str) -> Iterator[Finding]:
    unseen = sorted({one for one in text if _is_unseen(one)})
    if unseen:
        codes = ", ".join(f"U+{ord(one):04X}" for one in unseen[:5])
        yield Finding(
            kind=INVISIBLE, where=where, message=f"{where} holds characters that nobody sees: {codes}."
        )
    # As a model reads it, whatever stands between the letters.
    plain = "".join(one for one in unicodedata.normalize("NFKC", text) if not _is_unseen(one))
    for message, pattern in _RULES:
        match = pattern.search(plain)
        if match is not None:
            excerpt = " ".join(match[0].split())[:_EXCERPT_CHARS]
            yield Finding(kind=HIDDEN, where=where, message=f"{where} {message}: “{excerpt}”.")
    if _ENCODED.search(plain):
        yield Finding(kind=ENCODED, where=where, message=f"{where} holds a long text that is encoded.")
    for word in _WORD.findall(text):
        if _is_mixed(word):
            message = f"{where} mixes scripts within a word: “{word[:_EXCERPT_CHARS]}”."
            yield Finding(kind=MIXED, where=where, message=message)
            break


def _is_unseen(one: str) -> bool:
    """Format characters, tags, private use and controls; not what layout and emoji need."""
    if one in "\n\r\t\u200d\u200c\ufe0f\u00ad":
        return False
    return unicodedata.category(one) in ("Cf", "Cc", "Co", "Cn") or "\U000e0100" <= one <= "\U000e01ef"


def _is_mixed(word: str) -> bool:
    """Latin letters beside Cyrillic or Greek ones that look like them."""
    if word.isascii():
        return False
    scripts = {unicodedata.name(one, "").partition(" ")[0] for one in word if one.isalpha()}
    return "LATIN" in scripts and bool(scripts & {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})


def _texts(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All texts of a definition with where they stand, the names of members too."""
    waiting: list[tuple[str, Any]] = [*reversed([*value.items()])]
    while waiting:
        where, one = waiting.pop()
        if isinstance(one, str):
            yield where, one
        elif isinstance(one, dict):
            for name, member in reversed([*one.items()]):
                yield f"a name in {where}", str(name)
                waiting.append((f"{where}.{name}"[:100], member))
        elif isinstance(one, list):
            waiting.extend((where, member) for member in reversed(one))
