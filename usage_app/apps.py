"""The usage_app app: what was used and what it cost."""

from django.apps import AppConfig


class UsageConfig(AppConfig):
    """Usage: what was used and what it cost."""

    name = "usage_app"
    verbose_name = "Usage"
