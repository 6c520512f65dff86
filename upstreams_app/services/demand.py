"""What a call of a model may come to, whichever of its upstreams serves it."""

from __future__ import annotations

from gateway_project.core.codec import RawFields
from gateway_project.core.context import RequestContext
from security_app.services.reservation import Demand
from upstreams_app.registry import ModelEntry
from usage_app.registry import UsageConfig
from usage_app.services.estimate import demand, input_tokens, output_tokens


def estimate_call(
    context: RequestContext, entry: ModelEntry, operation: str, body: bytes, fields: RawFields
) -> Demand:
    """What to reserve for a request with this body; embeddings have no output."""
    prices: UsageConfig = context.snapshot.sections["usage"].value
    return demand(
        prices,
        (target.model_id for target in entry.targets),
        # As the settlement does: by the moment in its id.
        at=(context.request_id.int >> 80) / 1000,
        input_tokens=input_tokens(body),
        output_tokens=0 if operation == "embeddings" else output_tokens(fields, entry.max_output_tokens),
    )
