"""The references name what the code has: settings, events, checks, errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import agents_app.errors  # noqa: F401  (its errors are to be found)
import usage_app.errors  # noqa: F401  (its errors are to be found)
from gateway_project.core.errors import GatewayError
from upstreams_app import demo
from upstreams_app.demo import (
    chat_request,
    choice,
    completions,
    conversation,
    embeddings,
    fields,
    images,
    judging,
    schema_check,
    sound,
    tokens,
    tools,
)

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PACKAGES = (
    "agents_app",
    "gateway_project",
    "sdk_adapter",
    "security_app",
    "tools_app",
    "usage_app",
    "upstreams_app",
)


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
    modules = (
        choice,
        chat_request,
        completions,
        conversation,
        fields,
        tools,
        embeddings,
        images,
        judging,
        sound,
    )
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


def subclasses(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """All below it."""
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def raised_errors() -> set[tuple[int, str, str]]:
    """Status, type and code of the error classes, and of calls of them that set a code of their own."""
    kinds = {kind.__name__: kind for kind in subclasses(GatewayError) if kind.__module__.startswith(PACKAGES)}
    found = {(kind.status, kind.type, kind.code or "–") for kind in kinds.values()}
    for call in (node for node in ast.walk(ast.parse(sources())) if isinstance(node, ast.Call)):
        kind = kinds.get(getattr(call.func, "id", getattr(call.func, "attr", "")))
        values = {
            item.arg: item.value.value for item in call.keywords if isinstance(item.value, ast.Constant)
        }
        if kind is not None and values.get("code") is not None:
            found.add((int(str(values.get("status", kind.status))), kind.type, str(values["code"])))
    return found


def test_every_error_is_explained_and_no_other() -> None:
    rows = re.findall(
        r"^\| (\d{3}) \| `(\w+)` \| ([^|]+) \|", (REFERENCE / "errors.md").read_text(), re.MULTILINE
    )

    explained = {
        (int(status), kind, code.strip("`")) for status, kind, codes in rows for code in codes.split(", ")
    }

    assert explained == raised_errors()
