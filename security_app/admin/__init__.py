"""The admin of the security app; importing it registers everything."""

from security_app.admin import (
    access,
    audit,
    authorizers,
    content,
    findings,
    identities,
    issuers,
    keys,
    limits,
    people,
    teams,
)

__all__ = [
    "access",
    "audit",
    "authorizers",
    "content",
    "findings",
    "identities",
    "issuers",
    "keys",
    "limits",
    "people",
    "teams",
]
