"""`manage.py bootstrap`: everything that one machine needs before the first start; safe to repeat."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from gateway_project.checks import OF_OPERATORS
from gateway_project.core.crypto import DecryptionError
from gateway_project.first_secrets import SecretsError, write_secrets
from gateway_project.own_address import own_base_url
from gateway_project.settings.base import env


class Command(BaseCommand):
    """Write secrets once, migrate, make an administrator, a key and upstreams; print how to begin."""

    help = "Prepare this machine: secrets, database, an administrator, a first key, upstreams."
    # The checks complain about the very secrets that this command writes.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run all steps; each does nothing where its work is done already."""
        try:
            write_secrets()
        except SecretsError as error:
            raise CommandError(str(error)) from error
        self.check(tags=OF_OPERATORS)
        call_command("migrate", verbosity=0, interactive=False)
        self._check_rings()
        password = self._administrator()
        upstreams = self._upstreams()
        self._first_limit()
        key = self._first_key()
        self._greet(password, key, upstreams)

    def _check_rings(self) -> None:
        from security_app.services.rings import check_rings

        try:
            check_rings()
        except DecryptionError as error:
            raise CommandError(
                f"The key ring does not fit this database: {error}. Restore the secrets it was made with."
            ) from error

    def _administrator(self) -> tuple[str, str | None] | None:
        """Make an administrator if there is none; its name, and the password if it was generated."""
        from django.contrib.auth import get_user_model

        users = get_user_model()
        if users.objects.filter(is_superuser=True).exists():
            return None
        name = env.str("DJANGO_SUPERUSER_USERNAME", default="") or "admin"
        given = env.str("DJANGO_SUPERUSER_PASSWORD", default="")
        password = given or secrets.token_urlsafe(12)
        email = env.str("DJANGO_SUPERUSER_EMAIL", default="")
        users.objects.create_superuser(username=name, email=email, password=password)
        return name, None if given else password

    def _upstreams(self) -> list[str]:
        from upstreams_app.services.first_start import register_first_upstreams

        return register_first_upstreams()

    def _first_limit(self) -> None:
        """Before the first key: what holds for each one until somebody decides otherwise, in the admin."""
        from security_app.services.default_limit import make_default_limit

        make_default_limit()

    def _first_key(self) -> str | None:
        from security_app.models import ApiKey
        from security_app.services.keys import create_key

        if ApiKey.objects.exists():
            return None
        return create_key(actor="bootstrap", name="first key").plain

    def _greet(
        self, administrator: tuple[str, str | None] | None, key: str | None, upstreams: list[str]
    ) -> None:
        base = own_base_url()
        lines = [
            "",
            f"Agent Gateway {settings.VERSION}",
            f"  API       {base}/v1",
            f"  Admin     {base}/admin/",
            f"  API docs  {base}/docs",
            *(f"  Upstream  {line}" for line in upstreams),
        ]
        if administrator is not None:
            name, password = administrator
            lines += [
                "",
                f"Administrator: {name}",
                f"Password:      {password or '(as given in the environment)'}",
            ]
        if key is not None:
            body = '{"model": "demo/chat", "messages": [{"role": "user", "content": "Hello!"}]}'
            lines += [
                f"API key:       {key}",
                "The password and the key are shown this once.",
                "",
                "Once the server listens, try:",
                f"  curl -s {base}/v1/chat/completions -H 'Authorization: Bearer {key}' \\",
                f"    -H 'Content-Type: application/json' -d '{body}'",
            ]
        else:
            lines += ["", f"Keys are made in the admin: {base}/admin/security_app/apikey/add/"]
        self.stdout.write("\n".join([*lines, ""]))
        self.stdout.flush()
