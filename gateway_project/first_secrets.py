"""The secrets of a new machine: `manage.py bootstrap` writes what is missing, once."""

from __future__ import annotations

import os
import secrets
import sys

from gateway_project.core.crypto import new_ring_text

_SECRETS = {
    "GATEWAY_SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "GATEWAY_ENCRYPTION_KEYS": new_ring_text,
    "GATEWAY_KEY_PEPPERS": new_ring_text,
}
_RESTARTED = "GATEWAY_BOOTSTRAP_RESTARTED"


class SecretsError(Exception):
    """The file of secrets is there, and lacks some."""


def write_secrets() -> None:
    """Write what is missing to `secrets.env`, readable by its owner alone, and run this command again.

    Settings are read once in a process. Returns if nothing is missing; needs no more of Django than them.
    """
    from django.conf import settings

    from gateway_project.settings.base import env

    missing = [name for name in _SECRETS if not env.str(name, default="")]
    if not missing:
        return
    path = settings.SECRETS_FILE
    if os.environ.get(_RESTARTED):
        raise SecretsError(f"{path} lacks {', '.join(missing)}; set or remove the file.")
    settings.GATEWAY_DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = "".join(f"{name}={_SECRETS[name]()}\n" for name in missing)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if path.exists() else os.O_EXCL)
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, lines.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sys.stdout.write(f"Wrote {', '.join(missing)} to {path}. Back this file up.\n")
    sys.stdout.flush()
    os.environ[_RESTARTED] = "1"
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606  (it takes no shell)
