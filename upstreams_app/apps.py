"""The upstreams_app app: the LLM providers behind the door."""

from django.apps import AppConfig


class UpstreamsConfig(AppConfig):
    """Upstreams: the LLM providers behind the door."""

    name = "upstreams_app"
    verbose_name = "Upstreams"

    def ready(self) -> None:
        """Have alerts know which upstreams are down."""
        from upstreams_app.services.alert_measure import UPSTREAM_DOWN
        from usage_app.services.alerts.measures import register_measure

        register_measure("upstream_down", UPSTREAM_DOWN)
