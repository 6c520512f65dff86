"""Which environment variables a person may name where an upstream's credential or address is asked for.

Whoever manages upstreams also chooses the host that a credential goes to. Without a rule they could send
themselves whatever the process was started with: cloud keys, database passwords, tokens of the build.
"""

from __future__ import annotations

from collections.abc import Sequence

# How vendors of models call what clients need; LiteLLM's names end so too.
_VENDOR_SUFFIXES = ("_API_KEY", "_API_BASE", "_BASE_URL")
# What makes this gateway trust itself: no setting opens these.
_PRIVATE_PREFIXES = ("GATEWAY_", "DJANGO_", "DATABASE_URL", "REDIS_URL")


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
