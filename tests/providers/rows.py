"""The rows of a gateway over some providers, and what writes them: `-m tests.providers.rows JSON`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

KEY = "sk-provider-test-inference-1"
UPSTREAM = "vendor"
CREDENTIAL = "vendor-secret-0123456789"


@dataclass(frozen=True)
class Served:
    """One upstream of a kind at a fake vendor; its models are `<name>/<model>`."""

    kind: str
    base_url: str
    models: tuple[str, ...] = ("model",)
    path_prefix: str | None = None
    credential: str = CREDENTIAL
    options: dict[str, Any] = field(default_factory=dict)
    name: str = UPSTREAM
    api_version: str = ""


def arguments(served: Served | Sequence[Served]) -> str:
    """What this module is called with."""
    return json.dumps([asdict(each) for each in ([served] if isinstance(served, Served) else served)])


def write(served: Sequence[Served]) -> None:
    """Write all rows; needs configured Django settings and a migrated database."""
    from security_app.services.keys import create_key

    for each in served:
        _write_upstream(each)
    create_key(actor="tests", plain=KEY, name="alice")


def _write_upstream(served: Served) -> None:
    from upstreams_app.kinds import KINDS
    from upstreams_app.models import Upstream, UpstreamModel

    upstream = Upstream(name=served.name, kind=served.kind, base_url=served.base_url, options=served.options)
    upstream.api_version = served.api_version
    prefix = served.path_prefix
    upstream.path_prefix = KINDS[served.kind].path_prefix if prefix is None else prefix
    upstream.set_api_key(served.credential)
    # Each test gets what its vendor answers, at once.
    upstream.max_retries = upstream.breaker_failures = upstream.queue_size = 0
    upstream.full_clean()
    upstream.save()
    for name in served.models:
        UpstreamModel.objects.create(upstream=upstream, name=name, mode="chat")


if __name__ == "__main__":
    import django

    django.setup()
    write([Served(**{**fields, "models": tuple(fields["models"])}) for fields in json.loads(sys.argv[1])])
