"""The security_app app: who may do what."""

from django.apps import AppConfig


class SecurityConfig(AppConfig):
    """Security: who may do what."""

    name = "security_app"
    verbose_name = "Security"
