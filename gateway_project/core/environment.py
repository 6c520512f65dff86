"""Which environment variables and files a person may name where an upstream's credential is asked for.

Whoever manages upstreams also chooses the host that a credential goes to. Without a rule they could send
themselves whatever the process was started with: cloud keys, database passwords, tokens of the build.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings

# How vendors of models call what clients need; LiteLLM's names end so too.
_VENDOR_SUFFIXES = ("_API_KEY", "_API_BASE", "_BASE_URL")
# What makes this gateway trust itself: no setting opens these.
_PRIVATE_PREFIXES = ("GATEWAY_", "DJANGO_", "DATABASE_URL", "REDIS_URL", "EMAIL_URL")
# The kernel's view of this process, with its environment, and what proves to Kubernetes who it is.
_PRIVATE_PLACES = ("/proc", "/sys", "/var/run/secrets/kubernetes.io")


def check_variable(name: str, *, prefixes: Sequence[str]) -> None:
    """ValueError, in words for a person, unless an upstream may be given this variable's value.

    `prefixes` are those of GATEWAY_SECRET_ENV_PREFIXES.
    """
    if not name.isascii() or not name.replace("_", "").isalnum():
        raise ValueError("Give the name of an environment variable.")
    if name.upper().startswith(_PRIVATE_PREFIXES):
        raise ValueError("The gateway's own secrets can't be sent to an upstream.")
    if not name.endswith(_VENDOR_SUFFIXES) and not name.startswith(tuple(prefixes)):
        raise ValueError(
            f"The environment variable {name} can't be sent to an upstream: its name must end with _API_KEY "
            "(_API_BASE or _BASE_URL for an address) or begin with one of GATEWAY_SECRET_ENV_PREFIXES."
        )


def check_secret_file(path: Path) -> Path:
    """Where a secret file really is, links followed; ValueError unless an upstream may be given its text.

    Check again whenever the file is read: a link may lead elsewhere by then.
    """
    if not path.is_absolute() or "\0" in str(path):
        raise ValueError("Give an absolute path after file:.")
    real = _real(path)
    if any(real.is_relative_to(_real(place)) for place in _private_places()):
        raise ValueError("The gateway's own data can't be sent to an upstream.")
    return real


def _real(path: Path) -> Path:
    """As `Path.resolve`, which raises RuntimeError for links that go in circles."""
    return Path(os.path.realpath(path))


def _private_places() -> Iterator[Path]:
    yield from (settings.GATEWAY_DATA_DIR, settings.JOURNAL_DIR, settings.ENV_FILE)
    yield from map(Path, _PRIVATE_PLACES)
    for name, value in os.environ.items():
        # A secret of the gateway's own that is given as a file.
        if name.upper().startswith(_PRIVATE_PREFIXES) and name.upper().endswith("_FILE") and value:
            yield Path(value)
