"""The upstreams_app app: the LLM providers behind the door."""

from django.apps import AppConfig


class UpstreamsConfig(AppConfig):
    """Upstreams: the LLM providers behind the door."""

    name = "upstreams_app"
    verbose_name = "Upstreams"

    def ready(self) -> None:
        """Tell alerts and the nightly audit which upstreams are down, and prices which models there are."""
        from security_app.services.findings import register_finding_source
        from upstreams_app.services.alert_measure import UPSTREAM_DOWN
        from upstreams_app.services.down_findings import DOWN_UPSTREAMS
        from upstreams_app.services.model_prices import configured_models, served_by
        from usage_app.services.alerts.measures import register_measure
        from usage_app.services.configured_models import register_configured_models

        register_measure("upstream_down", UPSTREAM_DOWN)
        register_finding_source(DOWN_UPSTREAMS)
        register_configured_models(configured_models, served_by)
