"""What the snapshot knows of who may do what: keys in the section "security", people in "people", rules."""

from security_app.registry.keys import SECTION, SecurityConfig, build, pinned_versions
from security_app.registry.people import (
    PEOPLE,
    EndUserEntry,
    Issuer,
    IssuerKey,
    OrganizationEntry,
    PeopleConfig,
    TeamEntry,
    UserEntry,
    build_people,
)
from security_app.registry.policy import Bound, DoorRules, KeyPolicy, Principal
from security_app.registry.rules import NO_RULES, RULES, Matched, Rule, RulesConfig, build_rules

__all__ = [
    "NO_RULES",
    "PEOPLE",
    "RULES",
    "SECTION",
    "Bound",
    "DoorRules",
    "EndUserEntry",
    "Issuer",
    "IssuerKey",
    "KeyPolicy",
    "Matched",
    "OrganizationEntry",
    "PeopleConfig",
    "Principal",
    "Rule",
    "RulesConfig",
    "SecurityConfig",
    "TeamEntry",
    "UserEntry",
    "build",
    "build_people",
    "build_rules",
    "pinned_versions",
]
