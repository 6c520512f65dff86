"""The kinds of upstream: what differs between services that speak OpenAI's wire format."""

from __future__ import annotations

from typing import NamedTuple

AZURE = "azure-openai"


class Kind(NamedTuple):
    """One kind of upstream.

    `local_port` is where a server of this kind usually listens on this machine (probed at first start);
    `price_provider` is its id in the price catalogue, None for what costs nothing by the token.
    """

    id: str
    label: str
    base_url: str
    path_prefix: str
    local_port: int | None
    price_provider: str | None
    needs_url: bool = True


KINDS: dict[str, Kind] = {
    kind.id: kind
    for kind in (
        Kind("openai", "OpenAI", "https://api.openai.com", "/v1", None, "openai"),
        Kind(AZURE, "Azure OpenAI", "", "/openai/v1", None, "azure"),
        Kind("openai-compatible", "OpenAI-compatible", "", "/v1", None, None),
        Kind("ollama", "Ollama", "http://127.0.0.1:11434", "/v1", 11434, None),
        Kind("lmstudio", "LM Studio", "http://127.0.0.1:1234", "/v1", 1234, None),
        Kind("vllm", "vLLM", "http://127.0.0.1:8001", "/v1", 8001, None),
        Kind("tensorrt-llm", "TensorRT-LLM", "http://127.0.0.1:8355", "/v1", 8355, None),
        Kind("demo", "Demo (built in, no network)", "", "", None, None, needs_url=False),
    )
}


def credential_headers(kind: str, credential: str) -> dict[str, str]:
    """The header that carries a credential; Azure's keys have one of their own, its tokens (JWTs) don't."""
    if kind == AZURE and not (credential.startswith("eyJ") and credential.count(".") == 2):
        return {"api-key": credential}
    return {"Authorization": f"Bearer {credential}"}
