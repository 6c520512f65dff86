"""What may be stored of somebody's questions and answers: asked by whatever would store them.

    rule = content_rule(context)
    if rule.stores_texts:
        text = masked(text, rule)

Whoever stores texts deletes them after the rule's days.
"""

from __future__ import annotations

import re

from gateway_project.core.context import RequestContext
from security_app.registry.content import NOTHING_STORED, SECTION, ContentConfig, ContentRule
from security_app.services.secret_patterns import redacted

SECRET, EMAIL, CARD = "[secret]", "[e-mail]", "[card number]"
# Each is linear: addresses and tokens begin only where no part of one stands before. The letter of an escape
# in JSON, as of a line end, is no part of a token.
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+@[\w-]+(?:\.[\w-]+)+")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----|\Z)", re.DOTALL
)
_TOKEN = re.compile(
    r"(?:(?<![\w-])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", re.ASCII
)
# No card's number is written in shorter groups.
_DIGITS = re.compile(r"\d{3,}(?:[ -]\d{3,})*", re.ASCII)
_GROUP = re.compile(r"\d+", re.ASCII)
_CARD_DIGITS = range(13, 20)
# A digit's double, the digits of which are added.
_DOUBLED = str.maketrans("0123456789", "0246813579")


def content_rule(context: RequestContext) -> ContentRule:
    """The policy for a call's texts; one that stores nothing where there is none."""
    section = context.snapshot.sections.get(SECTION)
    if section is None:
        return NOTHING_STORED
    config: ContentConfig = section.value
    return config.rule_for(context.principal)


def masked(text: str, rule: ContentRule) -> str:
    """The text as it may be stored: without secrets of known forms, and what else the policy masks."""
    text = redacted(_TOKEN.sub(SECRET, _PRIVATE_KEY.sub(SECRET, text)), marker=SECRET)
    if rule.masks_emails:
        text = _EMAIL.sub(EMAIL, text)
    if rule.masks_cards:
        text = _DIGITS.sub(_without_cards, text)
    return text


def _without_cards(match: re.Match[str]) -> str:
    """Groups of digits without those that are a card's number together."""
    text = match[0]
    groups = [(group.start(), group.end()) for group in _GROUP.finditer(text)]
    kept: list[str] = []
    first = position = 0
    while first < len(groups):
        last = _card_from(text, groups, first)
        if last is None:
            first += 1
            continue
        kept += text[position : groups[first][0]], CARD
        position = groups[last][1]
        first = last + 1
    return "".join((*kept, text[position:]))


def _card_from(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last of the groups that are a card's number beginning with this one; the longest number counts."""
    digits, found = "", None
    for index in range(first, len(groups)):
        digits += text[slice(*groups[index])]
        if len(digits) >= _CARD_DIGITS.stop:
            break
        if len(digits) in _CARD_DIGITS and _is_card(digits):
            found = index
    return found


def _is_card(digits: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1, annex B)."""
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0
