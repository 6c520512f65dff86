"""Bodies of POST /model/new."""

from __future__ import annotations

from typing import Any

LOCAL = "http://127.0.0.1:9/v1"


def body(name: str = "chat", model: str = "openai/small", **params: Any) -> dict[str, Any]:
    """A body of POST /model/new."""
    return {"model_name": name, "litellm_params": {"model": model, "api_base": LOCAL, **params}}


def priced(name: str, **info: Any) -> dict[str, Any]:
    """The same with facts about the model."""
    return body(name) | {"model_info": info}
