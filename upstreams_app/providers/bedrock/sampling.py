"""Limits and randomness: Converse's `inferenceConfig`.

Sources: the Converse API's reference (InferenceConfiguration), and Anthropic's for what Claude refuses.
"""

from __future__ import annotations

from typing import Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.anthropic.traits import Traits
from upstreams_app.providers.chat_parts import Json
from upstreams_app.providers.chat_request import ChatRequest

MAX_STOPS: Final = 2500


def inference_config(request: ChatRequest, claude: Traits | None, *, is_thinking: bool) -> Json:
    """The limits of a request; InvalidRequest names what the model would refuse."""
    if len(request.stop) > MAX_STOPS:
        raise _unsupported("stop", f"Bedrock takes {MAX_STOPS} stop sequences.")
    if claude is not None and any(not text.strip() for text in request.stop):
        raise _unsupported("stop", "Claude takes no stop sequence of white space alone.")
    values: Json = {
        "maxTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": list(request.stop) or None,
    }
    config = {name: value for name, value in values.items() if value is not None}
    if (request.temperature or 0) > 1:
        raise _unsupported("temperature", "Bedrock takes temperatures from 0 to 1.")
    if claude is not None:
        _check_claude(config, claude, is_thinking=is_thinking)
    return config


def _check_claude(config: Json, claude: Traits, *, is_thinking: bool) -> None:
    names = {"temperature": "temperature", "topP": "top_p"}
    for name in names:
        if config.get(name) == 1:
            # The default: naming it is refused by newer models.
            del config[name]
    asked = [param for name, param in names.items() if name in config]
    if asked and not claude.takes_sampling:
        raise _unsupported(asked[0], f"This model takes no '{asked[0]}'.")
    if asked and is_thinking:
        raise _unsupported(asked[0], f"This model takes no '{asked[0]}' while it reasons.")
    if len(asked) > 1 and not claude.takes_both_samplings:
        raise _unsupported("top_p", "This model takes 'temperature' or 'top_p', not both.")


def _unsupported(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")
