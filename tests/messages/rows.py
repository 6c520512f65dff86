"""The rows of a gateway for Anthropic's clients, and what writes them: `-m tests.messages.rows PORT PORT`."""

from __future__ import annotations

import sys

KEY = "sk-messages-test-inference-1"
NARROW_KEY = "sk-messages-test-narrow-key-2"
LIMITED_KEY = "sk-messages-test-limited-key-3"
DEMO, FAKE, CLAUDE, AGENT = "demo/chat", "fake/fake-chat", "vendor/claude-opus-4-1", "default/plain"
MODELS = {
    "demo": ("chat", "reasoning"),
    "fake": ("fake-chat",),
    "openai": ("gpt",),
    "vendor": ("claude-opus-4-1", "claude-opus-5"),
}


def write(vendor_port: int, anthropic_port: int) -> None:
    """Write all rows; needs configured Django settings and a migrated database."""
    from security_app.models import Limit
    from security_app.services.keys import create_key
    from upstreams_app.models import Upstream, UpstreamModel

    upstreams = (
        Upstream(name="demo", kind="demo", path_prefix=""),
        Upstream(name="fake", kind="openai-compatible", base_url=f"http://127.0.0.1:{vendor_port}"),
        Upstream(name="openai", kind="openai", base_url=f"http://127.0.0.1:{vendor_port}"),
        Upstream(name="vendor", kind="anthropic", base_url=f"http://127.0.0.1:{anthropic_port}"),
    )
    for upstream in upstreams:
        if upstream.kind != "demo":
            upstream.set_api_key("vendor-secret-0123456789")
        upstream.max_retries = upstream.breaker_failures = upstream.queue_size = 0
        upstream.full_clean()
        upstream.save()
        for name in MODELS[upstream.name]:
            UpstreamModel.objects.create(upstream=upstream, name=name, mode="chat")
    create_key(actor="tests", plain=KEY, name="alice")
    create_key(actor="tests", plain=NARROW_KEY, name="bob", allowed_models=["fake/*"])
    charlie = create_key(actor="tests", plain=LIMITED_KEY, name="charlie").row
    Limit.objects.create(subject_kind="key", subject_id=charlie.pk.hex, metric="output_tokens", value=100)


if __name__ == "__main__":
    import django

    django.setup()
    write(int(sys.argv[1]), int(sys.argv[2]))
