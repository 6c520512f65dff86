"""Claude on Vertex AI: Anthropic's Messages API behind `rawPredict` and `streamRawPredict`.

Source: Anthropic's guide "Claude on Vertex AI". The model stands in the path, the version of the API in the
body.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_project.core.codec import dumps_loosely, loads_loosely
from upstreams_app.providers.answers import refusal
from upstreams_app.providers.anthropic import AnthropicExchange
from upstreams_app.providers.anthropic.errors import read_error
from upstreams_app.providers.anthropic.requests import wire_call
from upstreams_app.providers.gemini.errors import read_refusal
from upstreams_app.providers.wire import WireRequest

API_VERSION: Final = "vertex-2023-10-16"


def claude_name(model: str) -> str:
    """The plain name of one of Anthropic's models; "" for all others."""
    name = model.removeprefix("publishers/").removeprefix("anthropic/").removeprefix("models/")
    return name if name.startswith("claude-") else ""


class ClaudeExchange(AnthropicExchange):
    """One chat; `resource` is the model's path."""

    def __init__(self, fields: dict[str, Any], *, model: str, resource: str) -> None:
        call = wire_call(fields, model=model, options={})
        body = {name: value for name, value in call.body.items() if name != "model"}
        headers = {"anthropic-beta": ",".join(call.betas)} if call.betas else {}
        method = "streamRawPredict" if body.get("stream") else "rawPredict"
        wire = dumps_loosely({"anthropic_version": API_VERSION, **body})
        super().__init__(call, model, WireRequest(f"{resource}:{method}", wire, headers))
        self.retry_after_s: int | None = None

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """As `Exchange.error`: Anthropic's own refusals, and Google's, which stands before it."""
        try:
            is_anthropics = loads_loosely(body)["type"] == "error"
        except (LookupError, TypeError, ValueError):
            is_anthropics = False
        if is_anthropics:
            return read_error(status, body)
        status, error, self.retry_after_s = read_refusal(status, body)
        return refusal(status, error)
