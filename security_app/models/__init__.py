"""Who may do what: keys, people, secrets at rest, versions of the configuration."""

from security_app.models.access import AccessGroup, AccessRule
from security_app.models.audit import AuditCheckpoint, AuditEvent, AuditHead
from security_app.models.authorizer import ExternalAuthorizer
from security_app.models.config import SECTIONS, ConfigModel, ConfigQuerySet, ConfigVersion
from security_app.models.content import ContentPolicy
from security_app.models.finding import Finding
from security_app.models.first_run import FirstRun
from security_app.models.identity import IdentityKeySet, IdentityProvider
from security_app.models.key import SCOPES, ApiKey
from security_app.models.limits import Budget, Limit, SubjectKind, WhenUnavailable
from security_app.models.people import (
    EndUser,
    GatewayUser,
    Membership,
    Organization,
    Team,
    TokenIssuer,
)
from security_app.models.secret import CheckValue

__all__ = [
    "SCOPES",
    "SECTIONS",
    "AccessGroup",
    "AccessRule",
    "ApiKey",
    "AuditCheckpoint",
    "AuditEvent",
    "AuditHead",
    "Budget",
    "CheckValue",
    "ConfigModel",
    "ConfigQuerySet",
    "ConfigVersion",
    "ContentPolicy",
    "EndUser",
    "ExternalAuthorizer",
    "Finding",
    "FirstRun",
    "GatewayUser",
    "IdentityKeySet",
    "IdentityProvider",
    "Limit",
    "Membership",
    "Organization",
    "SubjectKind",
    "Team",
    "TokenIssuer",
    "WhenUnavailable",
]
