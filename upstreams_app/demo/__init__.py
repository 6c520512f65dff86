"""The demo upstream: a small, faithful OpenAI inside the process, without network, keys or chance.

It speaks the wire format of chat completions, completions, embeddings, moderations, reranking, images,
speech, transcriptions and models, so that everything before it (keys, limits, ledger, streaming) can be
tried and tested with nothing else running. The same request always gets the same answer; only `id` and
`created` differ. It knows no agent and no client by name.

It works on the event loop, among everybody's calls, so each request is kept small: bodies of 1 MB, answers of
some thousand tokens, 2048 messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway_project.core.errors import GatewayError, InvalidRequest, NotFound, PayloadTooLarge
from upstreams_app.demo.catalogue import MODELS, DemoModel, list_models
from upstreams_app.demo.chat import answer_chat
from upstreams_app.demo.completions import answer_completion
from upstreams_app.demo.embeddings import answer_embeddings
from upstreams_app.demo.forms import Form
from upstreams_app.demo.images import answer_images, answer_pictures
from upstreams_app.demo.judging import answer_moderation, answer_rerank
from upstreams_app.demo.sound import answer_recording, answer_speech
from upstreams_app.demo.wire import DemoAnswer, json_answer

__all__ = ["MODELS", "DemoAnswer", "DemoModel", "answer", "answer_form"]

MAX_BODY_BYTES = 1_000_000
T = TypeVar("T", bytes, Form)
_OPERATIONS: dict[str, Callable[[bytes], Awaitable[DemoAnswer]]] = {
    "/chat/completions": answer_chat,
    "/completions": answer_completion,
    "/embeddings": answer_embeddings,
    "/models": list_models,
    "/moderations": answer_moderation,
    "/rerank": answer_rerank,
    "/images/generations": answer_images,
    "/audio/speech": answer_speech,
}
_FORM_OPERATIONS: dict[str, Callable[[Form], Awaitable[DemoAnswer]]] = {
    "/images/edits": answer_pictures,
    "/images/variations": answer_pictures,
    "/audio/transcriptions": answer_recording,
    "/audio/translations": answer_recording,
}


async def answer(path: str, body: bytes) -> DemoAnswer:
    """Answer one request; `path` stands without the /v1 prefix, `body` is empty for /models.

    Never raises for what the client sent: wrong input becomes an answer in OpenAI's error form.
    """
    return await _answered(_OPERATIONS.get(path), body, body)


async def answer_form(path: str, content_type: str, body: bytes) -> DemoAnswer:
    """As `answer`, for a request that is a form with files."""
    return await _answered(_FORM_OPERATIONS.get(path), body, Form(content_type, body))


async def _answered(
    operation: Callable[[T], Awaitable[DemoAnswer]] | None, body: bytes, given: T
) -> DemoAnswer:
    try:
        if operation is None:
            raise NotFound("Invalid URL.")
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge("The demo reads requests of up to 1 MB.")
        return await operation(given)
    except GatewayError as error:
        return json_answer(error.body(), status=error.status)
    except RecursionError:
        return json_answer(InvalidRequest("The request is nested too deeply.").body(), status=400)
