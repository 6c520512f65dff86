"""Metrics as scrapers read them: both forms, exact over two processes and over the death of one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.doors.gateway import Gateway, database_template
from tests.doors.rows import KEY, METRICS_KEY, MODEL
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def pair(shared_vendor: FakeVendor, shared_postgres_url: str, shared_valkey_url: str) -> Iterator[Gateway]:
    """A gateway of two processes, with nothing counted yet."""
    with (
        database_template(shared_vendor.port, shared_postgres_url) as template,
        Gateway(template.copy(), WEB_CONCURRENCY="2", REDIS_URL=shared_valkey_url) as running,
    ):
        yield running


def scrape(gateway: Gateway) -> Samples:
    """All samples of a Prometheus scrape, on a connection of its own."""
    answer = get(gateway, "/metrics", accept=PROMETHEUS)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def get(gateway: Gateway, path: str, *, key: str = METRICS_KEY, accept: str = "*/*") -> httpx.Response:
    """One request."""
    headers = {"x-api-key": key, "accept": accept} if key else {"accept": accept}
    return httpx.get(gateway.url + path, headers=headers, timeout=10, trust_env=False)


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    wanted = set(labels.items())
    return sum(value for (sample, have), value in samples.items() if sample == name and wanted <= have)


def written(gateway: Gateway) -> float:
    """The calls to the upstream `fake` in the files of all processes."""
    dumped = [json.loads(path.read_text()) for path in (gateway.data / "metrics").glob("*/[0-9]*.json")]
    rows = [row for values in dumped for row in values["rows"]]
    return float(sum(row[2][0] for row in rows if row[:2] == ["upstream_requests", ["fake", "200"]]))


def ask(gateway: Gateway, count: int, **more: object) -> None:
    """Calls, each on a new connection, so that both processes get some."""
    for _ in range(count):
        headers = {"authorization": f"Bearer {KEY}"}
        url = f"{gateway.url}/v1/chat/completions"
        answer = httpx.post(url, headers=headers, json=ASK | more, timeout=10, trust_env=False)
        assert answer.status_code == 200


def test_counts_are_exact_over_two_processes_and_a_death(vendor: FakeVendor, pair: Gateway) -> None:
    def calls() -> float:
        return total(scrape(pair), "agent_gateway_upstream_requests_total", upstream="fake", status="200")

    ask(pair, 40)
    wait_until(lambda: calls() == 40, 10, "both processes' calls to be counted")
    # A process that is killed takes what it counted since it last wrote, a second ago at most.
    wait_until(lambda: written(pair) == 40, 10, "both processes to write their numbers")
    assert total(scrape(pair), "agent_gateway_workers") == 2

    victim = pair.server_pids()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in pair.server_pids() and len(pair.server_pids()) == 2, 20, "a new one")
    wait_until(lambda: pair.is_ready() and calls() == 40, 10, "the calls of the dead to be counted")
    ask(pair, 10, stream=True)
    wait_until(lambda: calls() == 50, 10, "the new process's calls to be counted")

    samples = scrape(pair)
    assert total(samples, "agent_gateway_request_latency_ms_count", streaming="true") == 10
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "fake",
        "gen_ai_request_model": MODEL,
    }
    assert total(samples, "gen_ai_client_operation_duration_seconds_count", error_type="", **labels) == 50
    assert total(samples, "gen_ai_client_operation_time_to_first_chunk_seconds_count", **labels) == 10
    assert total(samples, "gen_ai_client_token_usage_count", gen_ai_token_type="input", **labels) == 50
    assert total(samples, "agent_gateway_cost_usd_total", model=MODEL) > 0
    assert total(samples, "agent_gateway_upstream_attempts_total", upstream="fake") == 50


def test_failed_attempts_are_counted_by_upstream(vendor: FakeVendor, pair: Gateway) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    body = ASK | {"model": "gone/fake-chat"}
    url = f"{pair.url}/v1/chat/completions"
    before = total(scrape(pair), "agent_gateway_upstream_failures_total", upstream="gone")
    assert httpx.post(url, headers=headers, json=body, timeout=10, trust_env=False).status_code == 502

    def failures() -> float:
        return total(scrape(pair), "agent_gateway_upstream_failures_total", upstream="gone", status="502")

    wait_until(lambda: failures() == before + 1, 10, "the failure to be counted")


def test_json_is_what_a_person_gets(pair: Gateway) -> None:
    answer = get(pair, "/metrics")

    assert answer.headers["content-type"].startswith("application/json")
    families = {family["name"]: family for family in answer.json()["metrics"]}
    assert families["agent_gateway_requests_total"]["type"] == "counter"
    assert families["process_resident_memory_bytes"]["samples"][0]["value"] > 10_000_000


def test_the_other_path_is_text_whatever_is_accepted(pair: Gateway) -> None:
    answer = get(pair, "/metrics/prometheus", accept="application/json")

    assert answer.text.startswith("# HELP")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/prometheus"])
def test_metrics_need_their_scope(pair: Gateway, path: str) -> None:
    assert get(pair, path, key=KEY).status_code == 403
    assert get(pair, path, key="").status_code == 401
