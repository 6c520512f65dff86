"""What the snapshot knows of who may do what: keys in the section "security", people in "people"."""

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

__all__ = [
    "PEOPLE",
    "SECTION",
    "Bound",
    "DoorRules",
    "EndUserEntry",
    "Issuer",
    "KeyPolicy",
    "OrganizationEntry",
    "PeopleConfig",
    "Principal",
    "SecurityConfig",
    "TeamEntry",
    "UserEntry",
    "build",
    "build_people",
    "pinned_versions",
]
