"""The management routes of keys, people and access, and the keyholders that every route asks for."""

from ninja import Router

from security_app.api.access import router as access
from security_app.api.audit import router as audit
from security_app.api.auth import admin_key, any_key
from security_app.api.authorizers import router as authorizers
from security_app.api.budgets import router as budgets
from security_app.api.content import router as content
from security_app.api.customers import router as customers
from security_app.api.decisions import router as decisions
from security_app.api.findings import router as findings
from security_app.api.identities import router as identities
from security_app.api.issuers import router as issuers
from security_app.api.key_rotation import router as key_rotation
from security_app.api.key_sets import router as key_sets
from security_app.api.keys import router as keys
from security_app.api.limits import router as limits
from security_app.api.organizations import router as organizations
from security_app.api.teams import router as teams
from security_app.api.users import router as users

__all__ = ["admin_key", "any_key", "routers"]

routers: tuple[Router, ...] = (
    keys,
    key_sets,
    key_rotation,
    teams,
    users,
    customers,
    organizations,
    budgets,
    limits,
    content,
    access,
    decisions,
    audit,
    findings,
    issuers,
    identities,
    authorizers,
)
