"""The references name what the code has: settings, events, checks, errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway_project.core import errors
from upstreams_app import demo
from upstreams_app.demo import (
    chat_request,
    choice,
    completions,
    conversation,
    embeddings,
    fields,
    schema_check,
    tokens,
    tools,
)

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PACKAGES = ("gateway_project", "security_app", "usage_app", "upstreams_app")


def sources() -> str:
    """All code of the product as one text."""
    return "\n".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_every_setting_is_explained() -> None:
    text = (ROOT / "gateway_project" / "settings" / "base.py").read_text()
    text += (ROOT / "gateway_project" / "management" / "commands" / "bootstrap.py").read_text()
    read = set(re.findall(r'(?:env(?:\.\w+)?|os\.environ\.get)\(\s*"([A-Z_]+)"', text))

    explained = set(re.findall(r"`([A-Z][A-Z_]+)`", (REFERENCE / "settings.md").read_text()))

    assert read - explained == set()
    assert len(read) > 25


def test_no_setting_is_explained_that_nothing_reads() -> None:
    explained = re.findall(r"^\| `([A-Z][A-Z_]+)`", (REFERENCE / "settings.md").read_text(), re.MULTILINE)

    assert [name for name in explained if name not in sources()] == []


def test_every_log_event_is_explained() -> None:
    logged = set(re.findall(r'(?:log_event|logger\.\w+)\(\s*"([a-z]+\.[a-z_]+)"', sources()))

    explained = (REFERENCE / "events.md").read_text() + (REFERENCE / "ledger.md").read_text()

    assert {event for event in logged if f"`{event}`" not in explained} == set()
    assert {"http.request", "llm.call", "key.created"} <= logged


def test_every_limit_of_the_demo_is_explained() -> None:
    modules = (choice, chat_request, completions, conversation, fields, tools, embeddings)
    constants = {**vars(demo), **{name: value for module in modules for name, value in vars(module).items()}}
    limits = {name: value for name, value in constants.items() if name.startswith("MAX_")}
    limits |= {"MAX_STEPS": schema_check.MAX_STEPS, "MAX_COUNTED_CHARS": tokens.MAX_COUNTED_CHARS}
    text = (REFERENCE / "demo.md").read_text()

    assert {name for name, value in limits.items() if _written(value) not in text} == set()
    assert len(limits) > 14
    assert all(f"| `{model.name}` |" in text for model in demo.MODELS)


def _written(number: int) -> str:
    """With spaces between thousands where there are five digits and more."""
    return f"{number:,}".replace(",", " ") if number > 9999 else str(number)


def test_every_check_is_explained() -> None:
    raised = set(re.findall(r'id="(gateway\.[EW]\d{3})"', sources()))

    assert raised == set(re.findall(r"`(gateway\.[EW]\d{3})`", (REFERENCE / "checks.md").read_text()))


@pytest.mark.parametrize(
    "error",
    [item for item in vars(errors).values() if isinstance(item, type) and item.__module__ == errors.__name__],
)
def test_every_error_is_explained(error: type) -> None:
    if not issubclass(error, errors.GatewayError) or error is errors.GatewayError:
        return
    text = (REFERENCE / "errors.md").read_text()

    assert re.search(rf"^\| {error.status} \| `{error.type}` \|.*{error.code or '–'}", text, re.MULTILINE)
