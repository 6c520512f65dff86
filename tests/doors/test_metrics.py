"""Metrics as scrapers read them: both forms, exact over two processes and over the death of one."""

from __future__ import annotations

import json
import os
import signal
import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, METRICS_KEY, MODEL
from tests.fakes.vendor import FakeVendor
from tests.services import TRUSTS_NOBODY, wait_until

ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


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
    return httpx.get(gateway.url + path, headers=headers, timeout=10, trust_env=False, verify=TRUSTS_NOBODY)


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    wanted = set(labels.items())
    return sum(value for (sample, have), value in samples.items() if sample == name and wanted <= have)


def wait_until_written(gateway: Gateway) -> None:
    """Until each process wrote, for the others and for its successors, what it has counted by now."""
    now = time.time()

    def have_all_written() -> bool:
        files = [json.loads(path.read_text()) for path in (gateway.data / "metrics").glob("*/[0-9]*.json")]
        return {*gateway.server_pids()} <= {values["pid"] for values in files if values["at"] > now}

    wait_until(have_all_written, 10, "both processes to write their numbers")


def ask(gateway: Gateway, count: int, **more: object) -> None:
    """Calls, each on a new connection, so that both processes get some."""
    for _ in range(count):
        headers = {"authorization": f"Bearer {KEY}"}
        url = f"{gateway.url}/v1/chat/completions"
        answer = httpx.post(
            url, headers=headers, json=ASK | more, timeout=10, trust_env=False, verify=TRUSTS_NOBODY
        )
        assert answer.status_code == 200


def test_counts_are_exact_over_two_processes_and_a_death(vendor: FakeVendor, pair_gateway: Gateway) -> None:
    def total_of(name: str, **labels: str) -> float:
        return total(scrape(pair_gateway), name, **labels) - total(before, name, **labels)

    def calls() -> float:
        return total_of("agent_gateway_upstream_requests_total", upstream="fake", status="200")

    def streams() -> float:
        return total_of("agent_gateway_request_latency_ms_count", streaming="true")

    # What other tests did is all in it.
    wait_until_written(pair_gateway)
    before = scrape(pair_gateway)
    ask(pair_gateway, 40)
    wait_until(lambda: calls() == 40, 10, "both processes' calls to be counted")
    # A process that is killed takes what it counted since it last wrote, a second ago at most.
    wait_until_written(pair_gateway)
    assert total(scrape(pair_gateway), "agent_gateway_workers") == 2

    victim = pair_gateway.server_pids()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: victim not in (pids := pair_gateway.server_pids()) and len(pids) == 2, 20, "a new process"
    )
    wait_until(lambda: pair_gateway.is_ready() and calls() == 40, 10, "the calls of the dead to be counted")
    ask(pair_gateway, 10, stream=True)
    # A call is counted when it is settled, the request some time after.
    wait_until(lambda: (calls(), streams()) == (50, 10), 10, "the new process's calls to be counted")
    # Either process may answer the scrapes below, and knows of the other what that one has written.
    wait_until_written(pair_gateway)

    call = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "fake",
        "gen_ai_request_model": MODEL,
    }
    assert total_of("gen_ai_client_operation_duration_seconds_count", error_type="", **call) == 50
    assert total_of("gen_ai_client_operation_time_to_first_chunk_seconds_count", **call) == 10
    assert total_of("gen_ai_client_token_usage_count", gen_ai_token_type="input", **call) == 50
    assert total_of("agent_gateway_cost_usd_total", model=MODEL) > 0
    assert total_of("agent_gateway_upstream_attempts_total", upstream="fake") == 50


def test_failed_attempts_are_counted_by_upstream(vendor: FakeVendor, pair_gateway: Gateway) -> None:
    def failures() -> float:
        samples = scrape(pair_gateway)
        return total(samples, "agent_gateway_upstream_failures_total", upstream="gone", status="502")

    headers = {"authorization": f"Bearer {KEY}"}
    body = ASK | {"model": "gone/fake-chat"}
    url = f"{pair_gateway.url}/v1/chat/completions"
    wait_until_written(pair_gateway)
    before = failures()
    assert (
        httpx.post(
            url, headers=headers, json=body, timeout=10, trust_env=False, verify=TRUSTS_NOBODY
        ).status_code
        == 502
    )

    wait_until(lambda: failures() == before + 1, 10, "the failure to be counted")


def test_json_is_what_a_person_gets(pair_gateway: Gateway) -> None:
    answer = get(pair_gateway, "/metrics")

    assert answer.headers["content-type"].startswith("application/json")
    families = {family["name"]: family for family in answer.json()["metrics"]}
    assert families["agent_gateway_requests_total"]["type"] == "counter"
    assert families["process_resident_memory_bytes"]["samples"][0]["value"] > 10_000_000


def test_the_other_path_is_text_whatever_is_accepted(pair_gateway: Gateway) -> None:
    answer = get(pair_gateway, "/metrics/prometheus", accept="application/json")

    assert answer.text.startswith("# HELP")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/prometheus"])
def test_metrics_need_their_scope(pair_gateway: Gateway, path: str) -> None:
    assert get(pair_gateway, path, key=KEY).status_code == 403
    assert get(pair_gateway, path, key="").status_code == 401
