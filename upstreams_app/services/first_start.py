"""What a new machine serves without any configuration: the demo, local servers, OpenAI if a key is there."""

from __future__ import annotations

import logging

from django.conf import settings

from gateway_project.core.errors import GatewayError
from upstreams_app.kinds import KINDS
from upstreams_app.models import Upstream
from upstreams_app.services.discovery import find_local_servers, import_models
from upstreams_app.services.management import create_upstream

logger = logging.getLogger(__name__)
_ACTOR = "bootstrap"


def register_first_upstreams() -> list[str]:
    """Register what is found and not yet known; a line for each new upstream, for a person to read."""
    lines = []
    if not Upstream.objects.filter(kind="demo").exists():
        row = create_upstream(actor=_ACTOR, name="demo", kind="demo", base_url="", path_prefix="")
        lines.append(_import_line(row))
    if settings.VENDOR_KEYS["OPENAI_API_KEY"] and not Upstream.objects.filter(kind="openai").exists():
        row = create_upstream(
            actor=_ACTOR,
            name="openai",
            kind="openai",
            base_url=KINDS["openai"].base_url,
            credential="env:OPENAI_API_KEY",
        )
        lines.append(_import_line(row))
    if settings.PROBE_LOCAL_SERVERS:
        lines += _register_local_servers()
    return lines


def _register_local_servers() -> list[str]:
    lines = []
    for found in find_local_servers():
        if Upstream.objects.filter(base_url=found.base_url).exists():
            continue
        name = found.kind if not Upstream.objects.filter(name=found.kind).exists() else f"{found.kind}-local"
        if Upstream.objects.filter(name=name).exists():
            continue
        row = create_upstream(actor=_ACTOR, name=name, kind=found.kind, base_url=found.base_url)
        lines.append(_import_line(row))
    return lines


def _import_line(row: Upstream) -> str:
    """Import the models; an upstream that does not answer now is kept and probed later."""
    try:
        result = import_models(row)
    except GatewayError as error:
        logger.warning("upstream.import_failed", extra={"upstream": row.name, "reason": error.message})
        return f"{row.name} ({row.base_url}): its models could not be read yet"
    where = row.base_url or "built in"
    return f"{row.name} ({where}): {result.added} models"
