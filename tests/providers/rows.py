"""The rows of a gateway over one provider, and what writes them: `-m tests.providers.rows JSON`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

KEY = "sk-provider-test-inference-1"
UPSTREAM = "vendor"
CREDENTIAL = "vendor-secret-0123456789"


@dataclass(frozen=True)
class Served:
    """One upstream of a kind at a fake vendor; its models are `vendor/<name>`."""

    kind: str
    base_url: str
    models: tuple[str, ...] = ("model",)
    path_prefix: str | None = None
    credential: str = CREDENTIAL
    options: dict[str, Any] = field(default_factory=dict)

    def json(self) -> str:
        """As `write` takes it."""
        return json.dumps(asdict(self))


def write(served: Served) -> None:
    """Write all rows; needs configured Django settings and a migrated database."""
    from security_app.services.keys import create_key
    from upstreams_app.kinds import KINDS
    from upstreams_app.models import Upstream, UpstreamModel

    upstream = Upstream(name=UPSTREAM, kind=served.kind, base_url=served.base_url, options=served.options)
    prefix = served.path_prefix
    upstream.path_prefix = KINDS[served.kind].path_prefix if prefix is None else prefix
    upstream.set_api_key(served.credential)
    # Each test gets what its vendor answers, at once.
    upstream.max_retries = upstream.breaker_failures = upstream.queue_size = 0
    upstream.full_clean()
    upstream.save()
    for name in served.models:
        UpstreamModel.objects.create(upstream=upstream, name=name, mode="chat")
    create_key(actor="tests", plain=KEY, name="alice")


if __name__ == "__main__":
    import django

    django.setup()
    fields = json.loads(sys.argv[1])
    write(Served(**{**fields, "models": tuple(fields["models"])}))
