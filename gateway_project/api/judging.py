"""What models say of given texts: whether they may stand, and in which order they answer a question."""

from __future__ import annotations

from ninja import Router

from gateway_project.api.admission import admit
from gateway_project.api.doors import door
from gateway_project.api.exchange import Exchange
from gateway_project.api.inference import answer_inference, check_required, infer, read_fields
from gateway_project.api.openapi import documented
from gateway_project.api.openapi_media import MODERATION_BODY, RERANK_BODY
from upstreams_app.services.measures import of_ranking

router = Router(tags=["judging"])
_RERANK = documented(RERANK_BODY, "Order documents by a query")


@door(router, "POST", "/v1/moderations", access="inference", **documented(MODERATION_BODY, "Moderate a text"))
async def moderate(exchange: Exchange) -> None:
    """Say what is wrong with a text or a picture, if anything."""
    await infer(exchange, "moderations", "/moderations", required="input")


@door(router, "POST", "/v1/rerank", access="inference", **_RERANK)
async def rerank(exchange: Exchange) -> None:
    """Order documents by how well they answer a query (Cohere's and Jina's form)."""
    await _rerank(exchange)


@door(router, "POST", "/v2/rerank", access="inference", **_RERANK)
async def rerank_v2(exchange: Exchange) -> None:
    """As /v1/rerank, under the path of Cohere's newer clients."""
    await _rerank(exchange)


async def _rerank(exchange: Exchange) -> None:
    admit()
    body = await exchange.read_body()
    fields = read_fields(body, exchange.path_params)
    check_required(fields, "documents")
    await answer_inference(
        exchange,
        fields,
        body=body,
        operation="rerank",
        path="/rerank",
        required="query",
        measure=of_ranking(body, fields),
    )
