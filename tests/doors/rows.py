"""The rows that the live server of the door tests serves, and what writes them: `-m tests.doors.rows`.

Every upstream is the same fake vendor under other conditions. Keys have known texts, so that nobody need
carry them over.
"""

from __future__ import annotations

from decimal import Decimal

VENDOR_CREDENTIAL = "sk-vendor-secret-0123456789"
KEY = "sk-door-test-inference-key-1"
OTHER_KEY = "sk-door-test-inference-key-2"
LIMITED_KEY = "sk-door-test-limited-key-3"
ADMIN_KEY = "sk-door-test-admin-key-4"
METRICS_KEY = "sk-door-test-metrics-key-5"
BLOCKED_KEY = "sk-door-test-blocked-key-6"
EXPIRED_KEY = "sk-door-test-expired-key-7"
MASTER_KEY = "sk-door-test-master-00000000"

MODEL = "fake/fake-chat"
EMBEDDING_MODEL = "fake/fake-embedding"
# Behind each of these ids is the upstream of the same name; only `fake` has a price.
UPSTREAMS: dict[str, dict[str, object]] = {
    "fake": {},
    "backup": {},
    "silent": {"asks_stream_usage": False},
    "narrow": {"max_concurrency": 1},
    "hasty": {"first_token_timeout_s": 0.3, "idle_timeout_s": 0.3},
    "idle": {"idle_timeout_s": 0.3},
    "brief": {"total_timeout_s": 1.5},
    "passing": {"credential_source": "client"},
    "azure": {"kind": "azure-openai", "path_prefix": "/openai/v1"},
    "azure-dated": {"kind": "azure-openai", "path_prefix": "/openai/v1", "api_version": "2024-10-21"},
    "azure-passing": {"kind": "azure-openai", "path_prefix": "/openai/v1", "credential_source": "client"},
    # Nobody listens there; and the vendor waits for a request where a TLS handshake should begin.
    "gone": {"base_url": "http://127.0.0.1:1"},
    "mute": {"base_url": "https://127.0.0.1:{port}", "connect_timeout_s": 0.3},
}
# The vendor's, until a copy of these rows is for a vendor that runs.
ANY_PORT = 65_431
INPUT_PRICE = Decimal("2.50")
OUTPUT_PRICE = Decimal("10")


def write() -> None:
    """Write all rows; needs configured Django settings and a migrated database."""
    _write_upstreams()
    _write_keys()


def _write_upstreams() -> None:
    from gateway_project.core.clock import utc_now
    from upstreams_app.models import Route, RouteTarget, Upstream, UpstreamModel
    from usage_app.models import Price

    models: dict[str, UpstreamModel] = {}
    for name, fields in UPSTREAMS.items():
        upstream = Upstream(name=name, kind="openai-compatible", base_url="http://127.0.0.1:{port}")
        if "credential_source" not in fields:
            upstream.set_api_key(VENDOR_CREDENTIAL)
        for field, value in fields.items():
            setattr(upstream, field, value)
        upstream.base_url = upstream.base_url.replace("{port}", str(ANY_PORT))
        # Tests share these, and have them fail at will: each gets what it asks for, at once.
        upstream.max_retries = upstream.breaker_failures = upstream.queue_size = 0
        upstream.full_clean()
        upstream.save()
        for model in ("backup-chat" if name == "backup" else "fake-chat", "fake-embedding", "org/with slash"):
            mode = "embedding" if model == "fake-embedding" else "chat"
            models[f"{name}/{model}"] = UpstreamModel.objects.create(upstream=upstream, name=model, mode=mode)
    Price.objects.create(
        model=MODEL,
        valid_from=utc_now(),
        input=INPUT_PRICE,
        output=OUTPUT_PRICE,
        picture_prices={"hd/1024x1792": "0.12", "1024x1024": "0.04"},
    )
    routes = {
        "pair": (MODEL, "backup/backup-chat"),
        "trio": ("hasty/fake-chat", "gone/fake-chat", MODEL),
        "tëst/route ✓": (MODEL,),
        "alias": (MODEL,),
    }
    for name, targets in routes.items():
        route = Route.objects.create(name=name)
        for priority, target in enumerate(targets, start=1):
            RouteTarget.objects.create(route=route, model=models[target], priority=priority)


def _write_keys() -> None:
    from datetime import timedelta

    from gateway_project.core.clock import utc_now
    from security_app.services.keys import create_key

    past = utc_now() - timedelta(hours=1)
    create_key(actor="tests", plain=KEY, name="alice")
    create_key(actor="tests", plain=OTHER_KEY, name="bob", user_id="bob-7")
    create_key(actor="tests", plain=LIMITED_KEY, name="charlie", allowed_models=["fake/*"])
    create_key(actor="tests", plain=ADMIN_KEY, name="admin", scopes=["admin"])
    create_key(actor="tests", plain=METRICS_KEY, name="scraper", scopes=["metrics"])
    create_key(actor="tests", plain=BLOCKED_KEY, name="blocked", is_blocked=True)
    create_key(actor="tests", plain=EXPIRED_KEY, name="expired", expires_at=past)


if __name__ == "__main__":
    import django

    django.setup()
    write()
