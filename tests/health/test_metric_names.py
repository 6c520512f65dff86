"""The names of metrics are a contract: the reference lists them, dashboard and alerts use no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway_project.observability import exposition
from gateway_project.observability.metric_families import COUNTERS, GAUGES, HISTOGRAMS

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "ops" / "grafana" / "agent-gateway.json"
ALERTS = ROOT / "ops" / "prometheus" / "alerts.yml"
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"
_NAME = re.compile(r"\b(?:agent_gateway|gen_ai|process)_[a-z_]+")
# Beginnings of names that are labels.
_LABELS = {label for counter in COUNTERS.values() for label in counter.labels}
_LABELS |= {label for histogram in HISTOGRAMS.values() for label in histogram.labels}


def shown_names() -> set[str]:
    """The names of all samples that a scrape may have."""
    names = {f"{counter.name}_total" for counter in COUNTERS.values()}
    names |= {gauge.name + ("_total" if gauge.is_counter else "") for gauge in GAUGES.values()}
    for family in HISTOGRAMS.values():
        names |= {f"{family.name}_{part}" for part in ("bucket", "count", "sum")}
    return names


def used_names(expression: str) -> set[str]:
    """The metrics in a PromQL expression."""
    return set(_NAME.findall(expression)) - _LABELS


def expressions() -> list[str]:
    """Every expression of the dashboard and the alerts."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    alerts = yaml.safe_load(ALERTS.read_text())
    return found + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


def test_what_is_rendered_has_the_families_that_are_declared() -> None:
    text = exposition.render_text().decode()

    families = {family.name for family in text_string_to_metric_families(text)}

    declared = {counter.name for counter in COUNTERS.values()} | {gauge.name for gauge in GAUGES.values()}
    assert families == declared | {histogram.name for histogram in HISTOGRAMS.values()}


@pytest.mark.parametrize("expression", expressions())
def test_dashboard_and_alerts_use_what_there_is(expression: str) -> None:
    assert used_names(expression) <= shown_names()
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")


def test_the_dashboard_asks_for_its_data_source() -> None:
    dashboard = json.loads(DASHBOARD.read_text())

    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 10
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_each_alert_is_complete() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]

    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert {"summary", "description"} == set(rule["annotations"])


def test_the_reference_lists_each_metric() -> None:
    listed = set(re.findall(r"^\| `([a-z_]+)`", REFERENCE.read_text(), re.MULTILINE))

    names = {f"{counter.name}_total" for counter in COUNTERS.values()}
    names |= {gauge.name + ("_total" if gauge.is_counter else "") for gauge in GAUGES.values()}
    assert listed == names | {family.name for family in HISTOGRAMS.values()}
