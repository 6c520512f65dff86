"""What an upstream at Azure may be told, and what of it goes together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upstreams_app.kinds import AZURE, KINDS
from upstreams_app.options import WrongOption, check_options


def check_azure_options(options: Mapping[str, Any]) -> None:
    """WrongOption unless the options are as described, and go together."""
    kind = KINDS[AZURE]
    check_options(kind.label, kind.options, options)
    identity = options.get("identity")
    if identity == "managed" and "tenant_id" in options:
        raise WrongOption("A managed identity has its tenant; leave tenant_id empty.", option="tenant_id")
    for name, other in (("tenant_id", "client_id"), ("client_id", "tenant_id")):
        if not identity and name in options and other not in options:
            raise WrongOption(f"With {name} goes {other}.", option=other)
