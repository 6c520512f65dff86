"""The Django project as an app: it holds checks, commands and the shell around the other apps."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """The shell around the apps; no models of its own."""

    name = "gateway_project"
    label = "gateway"
    verbose_name = "Agent Gateway"

    def ready(self) -> None:
        """Register checks, sections of the snapshot and what the audit looks for; keep the roles' groups."""
        from gateway_project import checks, registries, roles  # noqa: F401  (importing registers)
        from gateway_project.denial_lines import use_the_journal
        from gateway_project.sign_in import sessions  # noqa: F401  (whoever signs in has a session that ends)
        from gateway_project.sign_in.findings import LACKING_FACTORS
        from security_app.services.findings import register_finding_source

        use_the_journal()
        roles.connect()
        register_finding_source(LACKING_FACTORS)
