"""Anthropic's Messages API: Claude, and what speaks its wire format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from gateway_project.core.codec import dumps_loosely, loads
from gateway_project.core.errors import InvalidRequest
from upstreams_app.kinds import KINDS
from upstreams_app.options import check_options
from upstreams_app.providers.anthropic.answers import read_answer
from upstreams_app.providers.anthropic.errors import read_error
from upstreams_app.providers.anthropic.requests import Call, wire_call
from upstreams_app.providers.anthropic.streams import StreamReader
from upstreams_app.providers.anthropic.traits import API_VERSION
from upstreams_app.providers.wire import ListedModel, ModelsPage, Provider, Site, WireRequest

_OAUTH_BETA: Final = "oauth-2025-04-20"
_PAGE: Final = 1000


def provider() -> Provider:
    """The provider of this package."""
    return Anthropic()


class Anthropic:
    """See `Provider`."""

    def exchange(self, path: str, fields: dict[str, Any], *, model: str, site: Site) -> AnthropicExchange:
        """A chat; Anthropic has nothing else of OpenAI's."""
        if path != "/chat/completions":
            raise InvalidRequest(
                f"Anthropic has nothing like {path}.", param="model", code="unsupported_parameter"
            )
        call = wire_call(fields, model=model, options=site.options)
        headers = _headers(site, call.api_version, call.betas)
        return AnthropicExchange(call, model, WireRequest("/messages", dumps_loosely(call.body), headers))

    def max_choices(self, fields: Mapping[str, Any], *, model: str) -> int:
        """One."""
        return 1

    def authority(self, site: Site) -> KeyAuthority:
        """The key, or the client's own."""
        return KeyAuthority(site.credential)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """ValueError unless the options are ours."""
        kind = KINDS["anthropic"]
        check_options(kind.label, kind.options, options)

    def base_url(self, options: Mapping[str, Any]) -> str:
        """Where Anthropic itself is."""
        return "https://api.anthropic.com"

    def models_request(self, site: Site, cursor: str = "") -> WireRequest:
        """GET /v1/models."""
        query = {"limit": str(_PAGE)} | ({"after_id": cursor} if cursor else {})
        version = site.options.get("version", API_VERSION)
        return WireRequest("/models", b"", _headers(site, version), urlencode(query), method="GET")

    def read_models(self, body: bytes) -> ModelsPage:
        """A page of that list, without models that are no more."""
        page = loads(body)
        models = [
            ListedModel(
                item["id"],
                "chat",
                item.get("max_input_tokens"),
                item.get("max_tokens"),
                item.get("display_name") or "",
            )
            for item in page["data"]
            if item.get("lifecycle") != "retired"
        ]
        return ModelsPage(models, (page.get("last_id") or "") if page.get("has_more") else "")


class AnthropicExchange:
    """See `Exchange`. The request is that of the call, wherever it is made."""

    def __init__(self, call: Call, model: str, request: WireRequest) -> None:
        self.request = request
        self._answer_tool = call.answer_tool
        self._stream = StreamReader(model, answer_tool=call.answer_tool)

    @property
    def usage_so_far(self) -> Mapping[str, Any] | None:
        """As `TellsUsage`: the input is told when the stream begins."""
        return self._stream.usage_so_far

    def answer(self, body: bytes) -> bytes:
        """The completion."""
        return read_answer(body, answer_tool=self._answer_tool)

    def feed(self, piece: bytes) -> bytes:
        """The chunks that a piece completes."""
        return self._stream.feed(piece)

    def finish(self) -> bytes:
        """The end of the chunks."""
        return self._stream.finish()

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """A refusal."""
        return read_error(status, body)


class KeyAuthority:
    """Keys go into `x-api-key`, tokens (of OAuth, or JWTs) into `Authorization`."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def headers(self, request: WireRequest, url: str, credential: str) -> Mapping[str, str]:
        """The header with the key."""
        key = credential or self._key
        if key.startswith("sk-ant-oat"):
            betas = request.headers.get("anthropic-beta")
            merged = f"{betas},{_OAUTH_BETA}" if betas else _OAUTH_BETA
            return {"authorization": f"Bearer {key}", "anthropic-beta": merged}
        if key.startswith("eyJ"):
            return {"authorization": f"Bearer {key}"}
        return {"x-api-key": key} if key else {}

    async def close(self) -> None:
        """Nothing is open."""


def _headers(site: Site, version: str, betas: tuple[str, ...] = ()) -> dict[str, str]:
    headers = {"anthropic-version": version}
    if named := dict.fromkeys((*site.options.get("betas", ()), *betas)):
        headers["anthropic-beta"] = ",".join(named)
    return headers
