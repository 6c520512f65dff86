"""The security_app app: who may do what."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.db.models.signals import pre_delete


class SecurityConfig(AppConfig):
    """Security: who may do what."""

    name = "security_app"
    verbose_name = "Security"

    def ready(self) -> None:
        """Have recorded what no write of ours sees: deletions by a cascade, accounts of people, logins.

        Also say what the nightly audit looks for here.
        """
        from security_app.models import ConfigModel
        from security_app.models.config import record_deletion
        from security_app.services import account_events, finding_sources

        for model in apps.get_models():
            if issubclass(model, ConfigModel):
                pre_delete.connect(record_deletion, sender=model)
        account_events.connect()
        finding_sources.register()
