"""How many calls a request becomes at one target: one for each choice, where the vendor gives one a call."""

from __future__ import annotations

from typing import Any

from gateway_project.core.codec import RawFields, loads
from upstreams_app.kinds import KINDS
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import MakesImages
from upstreams_app.services.choices import CHAT, IMAGES, wanted_choices


def calls_at_once(kind: str, path: str, fields: RawFields, *, model: str) -> int:
    """The number of calls; InvalidRequest for more choices than the gateway joins."""
    if path not in (CHAT, IMAGES) or "n" not in fields or not KINDS[kind].may_call_often:
        return 1
    provider = provider_of(kind)
    try:
        asked: dict[str, Any] = {
            name: loads(bytes(fields[name])) for name in ("n", "stream") if name in fields
        }
    except (ValueError, RecursionError):
        # Who makes the calls reads the whole body, and refuses it.
        return 1
    if path == IMAGES:
        return _calls_for_images(provider, asked, model)
    wanted = wanted_choices(asked)
    if provider is not None and wanted <= provider.max_choices(asked, model=model):
        return 1
    return wanted


def _calls_for_images(provider: object, asked: dict[str, Any], model: str) -> int:
    if not isinstance(provider, MakesImages):
        return 1
    wanted = wanted_choices(asked)
    return 1 if wanted <= provider.max_images(model) else wanted
