"""What a call of a model may come to, whichever of its upstreams serves it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway_project.core.codec import RawFields
from gateway_project.core.context import RequestContext
from security_app.services.reservation import Demand
from upstreams_app.kinds import KINDS
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.services.calls import Call
from upstreams_app.services.choices import MAX_CHOICES
from usage_app.registry import UsageConfig
from usage_app.services.estimate import demand, input_tokens, output_tokens, wanted_choices
from usage_app.services.extraction import estimate_tokens, service_tier, text_bytes

_WITHOUT_OUTPUT = frozenset({"embeddings", "moderations", "rerank"})


def estimate_call(
    context: RequestContext, entry: ModelEntry, operation: str, body: bytes, fields: RawFields
) -> Demand:
    """What to reserve for a request with this body; only texts that a model writes are output."""
    prices: UsageConfig = context.snapshot.sections["usage"].value
    given = input_tokens(body)
    return demand(
        prices,
        [target.model_id for target in entry.targets],
        # As the settlement does: by the moment in its id.
        at=(context.request_id.int >> 80) / 1000,
        input_tokens=given * _times_sent(entry.targets, fields) if "n" in fields else given,
        output_tokens=0 if operation in _WITHOUT_OUTPUT else output_tokens(fields, entry.max_output_tokens),
        service_tier=service_tier(fields["service_tier"]) if "service_tier" in fields else "",
        # Whatever is in base64 or linked to is not counted by its bytes.
        has_media="modalities" in fields or given != estimate_tokens(len(body)),
    )


def sent_bytes(call: Call, body: bytes, fields: RawFields) -> int:
    """How much text was sent to the target that was asked last, and is billed."""
    return text_bytes(body) * _times_sent(() if call.target is None else (call.target,), fields)


def _times_sent(targets: Sequence[Target], fields: RawFields) -> int:
    """How often the prompt may be sent: once for each choice to vendors that give one at a time."""
    if "n" not in fields or not any(KINDS[target.upstream.kind].may_call_often for target in targets):
        return 1
    return min(wanted_choices(fields), MAX_CHOICES)
