"""What the nightly audit asks of this app: keys, secrets in the open, providers, the chain, the snapshot."""

from __future__ import annotations

from security_app.services.finding_sources import configuration, evidence, keys, providers
from security_app.services.findings import FindingSource, register_finding_source


def register() -> None:
    """Have the audit know of them; for `ready()`."""
    for name, find in (
        ("keys_expiring", keys.expiring),
        ("keys_expired", keys.expired),
        ("keys_unused", keys.unused),
        ("keys_over_permissive", keys.over_permissive),
        ("plaintext_secrets", configuration.plaintext_secrets),
        ("config_drift", configuration.left_out),
        ("identity_providers", providers.unreached),
        ("audit_chain", evidence.damaged_chain),
    ):
        register_finding_source(FindingSource(name, find))
