"""The requests of a run as each upstream takes them: what servers call alike and what some refuse differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway_project.core.codec import RawFields, dumps_loosely, join_object, split_object
from gateway_project.core.context import RequestContext
from upstreams_app.registry import ModelEntry, Target, UpstreamConfig
from upstreams_app.route_treatment import Treatment
from upstreams_app.services.questions import ask_about

# Makes a request's body and its members: most calls need neither.
Asked = Callable[[], tuple[bytes, RawFields]]

# Servers that know the member; others refuse a tool that has it.
_KINDS_WITH_STRICT_TOOLS = ("openai", "azure-openai", "demo")
# Servers that know `max_completion_tokens`, Azure's dated API from this version on; others may ignore it.
_KINDS_WITH_NEWER_LIMIT = ("openai", "azure-openai")
_NEWER_LIMIT_SINCE = "2024-09-01"


def body_fields(request: dict[str, Any], target: Target) -> RawFields:
    """The members of the body for one target; the request stays as it is, as another target may follow."""
    body, upstream = dict(request), target.upstream
    if upstream.kind not in _KINDS_WITH_STRICT_TOOLS and "tools" in body:
        body["tools"] = [_without_strict(tool) for tool in body["tools"]]
    if _wants_newer_limit(upstream) and "max_tokens" in body:
        # The older name is refused by models that reason.
        limit = body.pop("max_tokens")
        body.setdefault("max_completion_tokens", limit)
    body.pop("stream_options", None)
    if body.get("stream") and upstream.asks_stream_usage:
        body["stream_options"] = {"include_usage": True}
    return {name: msgspec.Raw(dumps_loosely(value)) for name, value in body.items()}


def asked_fields(request: dict[str, Any], treatment: Treatment | None) -> tuple[bytes, RawFields]:
    """The body and its members as the route wants them: limits are held for what is sent."""
    body = dumps_loosely(request)
    fields = split_object(body, is_lenient=True)
    if treatment is None or not treatment.changes_body:
        return body, fields
    changed = treatment.apply(fields)
    return join_object(changed), changed


def _without_strict(tool: dict[str, Any]) -> dict[str, Any]:
    if "function" not in tool:
        return tool
    return {**tool, "function": {name: one for name, one in tool["function"].items() if name != "strict"}}


def _wants_newer_limit(upstream: UpstreamConfig) -> bool:
    is_dated_before = bool(upstream.api_version) and upstream.api_version < _NEWER_LIMIT_SINCE
    return upstream.kind in _KINDS_WITH_NEWER_LIMIT and not is_dated_before


def treatment_of(
    context: RequestContext, entry: ModelEntry, request: dict[str, Any], *, is_stream: bool
) -> Treatment | None:
    """What the model's route does to this very call."""
    treatment = entry.treatment
    if treatment is None or treatment.templates is None:
        return treatment
    fields = split_object(dumps_loosely(request), is_lenient=True)
    question = ask_about(
        context, entry.id, "/chat/completions", lambda: fields, is_stream=is_stream, headers={}
    )
    return treatment.resolved(question.values)
