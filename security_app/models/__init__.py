"""Who may do what: keys, secrets at rest, versions of the configuration."""

from security_app.models.audit import AuditCheckpoint, AuditEvent, AuditHead
from security_app.models.config import SECTIONS, ConfigModel, ConfigQuerySet, ConfigVersion
from security_app.models.first_run import FirstRun
from security_app.models.key import SCOPES, ApiKey
from security_app.models.secret import CheckValue

__all__ = [
    "SCOPES",
    "SECTIONS",
    "ApiKey",
    "AuditCheckpoint",
    "AuditEvent",
    "AuditHead",
    "CheckValue",
    "ConfigModel",
    "ConfigQuerySet",
    "ConfigVersion",
    "FirstRun",
]
