"""The models of the demo upstream, by the names that it knows itself (the gateway adds `demo/`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway_project.core.errors import InvalidRequest, ModelNotFound
from upstreams_app.demo.wire import DemoAnswer, json_answer

Mode = Literal["chat", "embedding", "other"]
CREATED: Final = 1_767_225_600
TOKEN_PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class DemoModel:
    """One model: what it does, and how long it takes for each token."""

    name: str
    mode: Mode
    description: str
    pause_s: float = 0.0


MODELS: Final = (
    DemoModel("chat", "chat", "Answers from simple rules, calls tools, fills JSON schemas."),
    DemoModel("echo", "chat", "Repeats the last user message."),
    DemoModel("slow", "chat", "Like chat, with 50 ms for each token.", pause_s=TOKEN_PAUSE_S),
    DemoModel("reasoning", "chat", "Like chat, but thinks first, in reasoning_content."),
    DemoModel("embedding", "embedding", "Vectors from the words of a text: similar texts are near."),
    DemoModel("moderation", "other", "Flags texts by a few words."),
    DemoModel("rerank", "other", "Orders documents by the words that they share with a query."),
    DemoModel("image", "other", "Small pictures, a pattern for each prompt."),
    DemoModel("speech", "other", "Speaks in tones: WAV, which demo/transcribe can read back."),
    DemoModel("transcribe", "other", "Writes down what demo/speech said, and how long other recordings are."),
)
_BY_NAME: Final = {model.name: model for model in MODELS}


def find_model(name: Any, mode: Mode, *, only: str = "") -> DemoModel:
    """The model of a request; raises ModelNotFound, or InvalidRequest for none or one of another mode.

    `only` is the one that there is for what is asked.
    """
    if not isinstance(name, str) or not name:
        raise InvalidRequest("You must provide a model parameter.", param="model")
    model = _BY_NAME.get(name)
    if model is None:
        raise ModelNotFound(f"The model '{name}' does not exist.", param="model")
    if model.mode != mode or (only and name != only):
        raise InvalidRequest(
            f"The model '{name}' cannot be used here: it is for {model.mode}.", param="model"
        )
    return model


async def list_models(_body: bytes) -> DemoAnswer:
    """GET /models."""
    data = [
        {"id": model.name, "object": "model", "created": CREATED, "owned_by": "agent-gateway"}
        for model in MODELS
    ]
    return json_answer({"object": "list", "data": data})
