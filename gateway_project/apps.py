"""The Django project as an app: it holds checks, commands and the shell around the other apps."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """The shell around the apps; no models of its own."""

    name = "gateway_project"
    label = "gateway"
    verbose_name = "Agent Gateway"

    def ready(self) -> None:
        """Register the system checks and the sections of the snapshot, and keep the roles' groups."""
        from gateway_project import checks, registries, roles  # noqa: F401  (importing registers)
        from gateway_project.denial_lines import use_the_journal

        use_the_journal()
        roles.connect()
