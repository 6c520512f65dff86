"""The content section of the snapshot: whether somebody's questions and answers may be stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway_project.core.snapshot import Section
from security_app.models import ContentPolicy
from security_app.registry.policy import Principal

SECTION = "content"
_COLUMNS = ("subject_kind", "subject_id", "stores_texts", "masks_emails", "masks_cards", "retention_days")


class ContentRule(NamedTuple):
    """A policy as calls need it."""

    stores_texts: bool
    masks_emails: bool = True
    masks_cards: bool = True
    retention_days: int = 1


NOTHING_STORED = ContentRule(stores_texts=False)


class ContentConfig:
    """All policies, by whom they are for."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Mapping[tuple[str, str], ContentRule]) -> None:
        self._rules = rules

    def rule_for(self, principal: Principal) -> ContentRule:
        """The policy of a key, of its team, of everyone: the first that there is; else nothing is stored."""
        rules = self._rules
        if not rules:
            return NOTHING_STORED
        for kind, subject in (("key", principal.key_id), ("team", principal.team_id)):
            if subject is not None and (rule := rules.get((kind, subject.hex))) is not None:
                return rule
        return rules.get(("everyone", ""), NOTHING_STORED)


def build(
    previous: Section[ContentConfig] | None, version: int, sections: Mapping[str, Section[Any]]
) -> Section[ContentConfig]:
    """Read all policies."""
    rows = ContentPolicy.objects.values_list(*_COLUMNS).iterator(2000)
    rules = {(kind, subject): ContentRule(*rest) for kind, subject, *rest in rows}
    return Section(ContentConfig(rules), version)
