"""What the snapshot knows of who may do what: keys in the section "security", people in "people", rules."""

from security_app.registry.doors import DOORS, DoorsConfig, build_doors
from security_app.registry.identities import Provider
from security_app.registry.jwks import IssuerKey
from security_app.registry.keys import SECTION, SecurityConfig, build, pinned_versions
from security_app.registry.people import (
    PEOPLE,
    EndUserEntry,
    Issuer,
    OrganizationEntry,
    PeopleConfig,
    TeamEntry,
    UserEntry,
    build_people,
)
from security_app.registry.policy import Bound, DoorRules, KeyPolicy, Principal
from security_app.registry.rules import NO_RULES, RULES, Matched, Rule, RulesConfig, build_rules

__all__ = [
    "DOORS",
    "NO_RULES",
    "PEOPLE",
    "RULES",
    "SECTION",
    "Bound",
    "DoorRules",
    "DoorsConfig",
    "EndUserEntry",
    "Issuer",
    "IssuerKey",
    "KeyPolicy",
    "Matched",
    "OrganizationEntry",
    "PeopleConfig",
    "Principal",
    "Provider",
    "Rule",
    "RulesConfig",
    "SecurityConfig",
    "TeamEntry",
    "UserEntry",
    "build",
    "build_doors",
    "build_people",
    "build_rules",
    "pinned_versions",
]
