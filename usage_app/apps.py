"""The usage_app app: what was used and what it cost."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class UsageConfig(AppConfig):
    """Usage: what was used and what it cost."""

    name = "usage_app"
    verbose_name = "Usage"

    def ready(self) -> None:
        """Say where use is written, what alerts watch and what the nightly audit looks for here.

        Also have partitions made after each migration.
        """
        from security_app.services.spend import register_spend_source
        from usage_app.services import finding_sources, refusals
        from usage_app.services.alerts import budgets, findings
        from usage_app.services.sinks import lag
        from usage_app.services.spend_source import LedgerSource

        register_spend_source(LedgerSource())
        budgets.register()
        findings.register()
        finding_sources.register()
        lag.register()
        refusals.register()
        post_migrate.connect(_ensure_partitions, sender=self)


def _ensure_partitions(**_: Any) -> None:
    from usage_app.services.partitions import ensure_partitions

    ensure_partitions()
