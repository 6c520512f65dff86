"""What one request may have of the kept answers: nothing, or an answer under a key."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway_project.core.codec import RawFields
from upstreams_app.cache_policy import CacheRules
from upstreams_app.services.answer_cache.controls import Controls
from upstreams_app.services.answer_cache.keys import Asked, audience, cache_key
from upstreams_app.services.calls import Call
from upstreams_app.services.client import ClientPool
from upstreams_app.services.deciding import EMBEDDINGS, passed_over

_PATHS: Final = frozenset({"/chat/completions", "/completions", EMBEDDINGS})
# Nothing, in any spelling.
_NOTHING = re.compile(rb"\s*(null|false|\[\s*\]|)\s*")
_TOOLS: Final = ("tools", "functions")
# What acts, or is about the moment, at the vendor: an answer from before is none.
_ACTING: Final = ("store", "web_search_options", "previous_response_id", "background", "plugins")


class Lookup(NamedTuple):
    """A request's place among the kept answers. `max_age_s` None: any age that is kept at all."""

    key: str
    rules: CacheRules
    is_wanted: bool
    may_be_kept: bool
    ttl_s: int
    max_age_s: int | None
    is_shared: bool


def look_up(call: Call, controls: Controls, asked: RawFields, clients: ClientPool) -> Lookup | None:
    """The place of a call, before it is changed for an upstream; None where nothing is kept.

    `asked` are the members as the client wrote them: what a route makes of them stands in its rules.
    """
    rules = call.entry.cache
    if rules is None or call.stand_in is not None or (rules.is_on_request and not controls.is_asked_for):
        return None
    if call.path not in _PATHS or call.parcel is not None or call.entry.maintenance is not None:
        return None
    if not controls.is_wanted and not controls.may_be_kept:
        return None
    if _has_any(call.fields, _ACTING) or (not rules.includes_tools and _has_any(call.fields, _TOOLS)):
        return None
    question = Asked(
        model_id=call.entry.id,
        served_by=rules.served_by,
        passed_over=passed_over(call.question(), call.entry, clients.tracker),
        audience=audience(call.context.principal, rules.scope, call.context.end_user),
        namespace=controls.namespace,
        path=call.path,
        form="openai" if call.fields_for is None else "other",
        is_stream=call.is_stream,
        wants_usage=call.wants_usage,
        fields=asked,
    )
    ttl_s = rules.ttl_s if controls.ttl_s is None else min(controls.ttl_s, rules.ttl_s)
    return Lookup(
        key=cache_key(question),
        rules=rules,
        is_wanted=controls.is_wanted,
        may_be_kept=controls.may_be_kept,
        ttl_s=ttl_s,
        max_age_s=controls.max_age_s,
        # A stream would have to wait for another one's end, and for how fast its client reads.
        is_shared=not call.is_stream and controls.is_wanted and controls.may_be_kept,
    )


def _has_any(fields: RawFields, names: tuple[str, ...]) -> bool:
    return any((raw := fields.get(name)) is not None and not _NOTHING.fullmatch(raw) for name in names)
