"""The demo upstream: a small, faithful OpenAI inside the process, without network, keys or chance.

It speaks the wire format of chat completions, completions, embeddings and models, so that everything before
it (keys, limits, ledger, streaming) can be tried and tested with nothing else running. The same request
always gets the same answer; only `id` and `created` differ. It knows no agent and no client by name.

It works on the event loop, among everybody's calls, so each request is kept small: bodies of 1 MB, answers of
some thousand tokens, 2048 messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway_project.core.errors import GatewayError, InvalidRequest, NotFound, PayloadTooLarge
from upstreams_app.demo.catalogue import MODELS, DemoModel, list_models
from upstreams_app.demo.chat import answer_chat
from upstreams_app.demo.completions import answer_completion
from upstreams_app.demo.embeddings import answer_embeddings
from upstreams_app.demo.wire import DemoAnswer, json_answer

__all__ = ["MODELS", "DemoAnswer", "DemoModel", "answer"]

MAX_BODY_BYTES = 1_000_000
_OPERATIONS: dict[str, Callable[[bytes], Awaitable[DemoAnswer]]] = {
    "/chat/completions": answer_chat,
    "/completions": answer_completion,
    "/embeddings": answer_embeddings,
    "/models": list_models,
}


async def answer(path: str, body: bytes) -> DemoAnswer:
    """Answer one request; `path` stands without the /v1 prefix, `body` is empty for /models.

    Never raises for what the client sent: wrong input becomes an answer in OpenAI's error form.
    """
    operation = _OPERATIONS.get(path)
    try:
        if operation is None:
            raise NotFound(f"Invalid URL ({path})")
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge("The demo reads requests of up to 1 MB.")
        return await operation(body)
    except GatewayError as error:
        return json_answer(error.body(), status=error.status)
    except RecursionError:
        return json_answer(InvalidRequest("The request is nested too deeply.").body(), status=400)
