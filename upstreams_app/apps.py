"""The upstreams_app app: the LLM providers behind the door."""

from django.apps import AppConfig


class UpstreamsConfig(AppConfig):
    """Upstreams: the LLM providers behind the door."""

    name = "upstreams_app"
    verbose_name = "Upstreams"
