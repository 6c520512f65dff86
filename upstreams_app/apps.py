"""The upstreams_app app: the LLM providers behind the door."""

from django.apps import AppConfig


class UpstreamsConfig(AppConfig):
    """Upstreams: the LLM providers behind the door."""

    name = "upstreams_app"
    verbose_name = "Upstreams"

    def ready(self) -> None:
        """Have alerts and the nightly audit know which upstreams are down."""
        from security_app.services.findings import register_finding_source
        from upstreams_app.services.alert_measure import UPSTREAM_DOWN
        from upstreams_app.services.down_findings import DOWN_UPSTREAMS
        from usage_app.services.alerts.measures import register_measure

        register_measure("upstream_down", UPSTREAM_DOWN)
        register_finding_source(DOWN_UPSTREAMS)
