"""How many calls a chat becomes at one target: one for each choice, where the vendor gives one at a time."""

from __future__ import annotations

from typing import Any

from gateway_project.core.codec import RawFields, loads
from upstreams_app.kinds import KINDS
from upstreams_app.providers import provider_of
from upstreams_app.services.choices import CHAT, wanted_choices


def calls_at_once(kind: str, path: str, fields: RawFields, *, model: str) -> int:
    """The number of calls; InvalidRequest for more choices than the gateway joins."""
    if path != CHAT or "n" not in fields or not KINDS[kind].may_call_often:
        return 1
    try:
        asked: dict[str, Any] = {
            name: loads(bytes(fields[name])) for name in ("n", "stream") if name in fields
        }
    except (ValueError, RecursionError):
        # Who makes the calls reads the whole body, and refuses it.
        return 1
    wanted = wanted_choices(asked)
    provider = provider_of(kind)
    if provider is not None and wanted <= provider.max_choices(asked, model=model):
        return 1
    return wanted
