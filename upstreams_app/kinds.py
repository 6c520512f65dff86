"""The kinds of upstream: what differs between services, and who speaks their wire format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from upstreams_app.options import ANTHROPIC, AZURE_OPENAI, BEDROCK, THOUGHTS, VERTEX, Option

AZURE = "azure-openai"
THOUGHT_TAGS, THOUGHT_TAGS_OPENED = (option.name for option in THOUGHTS)
_LACKS = frozenset(
    {"n", "max_completion_tokens", "parallel_tool_calls", "audio", "modalities", "web_search_options"}
)
_THOUGHTS = frozenset({"reasoning_content"})
_LINE_ENDS = re.compile(r"[\r\n\t]+")


class Kind(NamedTuple):
    """One kind of upstream.

    `local_port` is where a server of this kind usually listens on this machine (probed at first start);
    `price_provider` is its id in the price catalogue, None for what costs nothing by the token. `provider`
    names the package in `upstreams_app.providers` that speaks its wire format, "" where that is OpenAI's.
    `credential` says what proves who calls; keys are often in the `key_variables` of the environment.
    `lacks` are members of OpenAI's chats, and of their messages, that its servers ignore without a word
    (`services.local_client`).
    """

    id: str
    label: str
    base_url: str
    path_prefix: str
    local_port: int | None
    price_provider: str | None
    needs_url: bool = True
    provider: str = ""
    options: tuple[Option, ...] = ()
    credential: str = ""
    key_variables: tuple[str, ...] = ()
    lacks: frozenset[str] = frozenset()

    @property
    def may_call_often(self) -> bool:
        """Whether several choices (`n`) of a chat may be as many calls of it."""
        return bool(self.provider) or "n" in self.lacks


KINDS: dict[str, Kind] = {
    kind.id: kind
    for kind in (
        Kind(
            "openai",
            "OpenAI",
            "https://api.openai.com",
            "/v1",
            None,
            "openai",
            credential="An API key (sk-…).",
            key_variables=("OPENAI_API_KEY",),
        ),
        Kind(
            AZURE,
            "Azure OpenAI",
            "",
            "/openai/v1",
            None,
            "azure",
            options=AZURE_OPENAI,
            credential="A key of the resource, or a token of Microsoft Entra. With tenant and client: the "
            "client’s secret, or its certificate with the private key (PEM).",
            key_variables=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        ),
        Kind(
            "anthropic",
            "Anthropic",
            "https://api.anthropic.com",
            "/v1",
            None,
            "anthropic",
            provider="anthropic",
            options=ANTHROPIC,
            credential="An API key of Anthropic (sk-ant-…).",
            key_variables=("ANTHROPIC_API_KEY",),
        ),
        Kind(
            "gemini",
            "Google Gemini",
            "https://generativelanguage.googleapis.com",
            "/v1beta",
            None,
            "gemini",
            provider="gemini",
            credential="An API key of Google AI Studio.",
            key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        ),
        Kind(
            "vertex",
            "Google Vertex AI",
            "",
            "/v1beta1",
            None,
            "vertex_ai",
            provider="vertex",
            options=VERTEX,
            credential="A service account’s key, the whole JSON as downloaded, or an API key of Vertex AI. "
            "None: the machine’s own (GOOGLE_APPLICATION_CREDENTIALS, workload identity, metadata service).",
        ),
        Kind(
            "bedrock",
            "Amazon Bedrock",
            "",
            "",
            None,
            "bedrock",
            provider="bedrock",
            options=BEDROCK,
            credential="A key pair as ACCESS_KEY_ID:SECRET_ACCESS_KEY (:SESSION_TOKEN), or an API key of "
            "Bedrock. None: the machine’s own (AWS_ACCESS_KEY_ID and its like, a profile, a role).",
        ),
        Kind("openai-compatible", "OpenAI-compatible", "", "/v1", None, None, options=THOUGHTS),
        Kind(
            "ollama",
            "Ollama",
            "http://127.0.0.1:11434",
            "/v1",
            11434,
            None,
            options=THOUGHTS,
            lacks=_LACKS | _THOUGHTS | {"tool_choice", "logit_bias"},
        ),
        Kind(
            "lmstudio",
            "LM Studio",
            "http://127.0.0.1:1234",
            "/v1",
            1234,
            None,
            options=THOUGHTS,
            lacks=_LACKS | {"logprobs", "top_logprobs"},
        ),
        Kind("vllm", "vLLM", "http://127.0.0.1:8001", "/v1", 8001, None, options=THOUGHTS, lacks=_THOUGHTS),
        Kind("tensorrt-llm", "TensorRT-LLM", "http://127.0.0.1:8355", "/v1", 8355, None, options=THOUGHTS),
        Kind("demo", "Demo (built in, no network)", "", "", None, None, needs_url=False),
    )
}

OPTIONS_IN_WORDS = (
    "What the kind may be told besides: "
    + "; ".join(
        f"{kind.id} has {', '.join(option.name for option in kind.options)}"
        for kind in KINDS.values()
        if kind.options
    )
    + " (see the guide of providers)."
)


def on_one_line(credential: str) -> str:
    """A credential that is JSON (a service account's key) or PEM without line ends: they mean nothing."""
    text = credential.strip()
    return _LINE_ENDS.sub(" ", text) if text.startswith(("{", "-----BEGIN ")) else credential


def uses_entra(options: Mapping[str, Any]) -> bool:
    """Whether calls of an upstream at Azure have tokens that the gateway fetches."""
    return "tenant_id" in options or "identity" in options


def credential_headers(
    kind: str, credential: str, options: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, str]:
    """The header that carries a credential; Azure's keys have one of their own, its tokens (JWTs) don't.

    What a token is fetched with is in none. Providers see to it themselves (`providers.wire.Authority`).
    """
    if KINDS[kind].provider or (kind == AZURE and uses_entra(options)):
        return {}
    if kind == AZURE and not (credential.startswith("eyJ") and credential.count(".") == 2):
        return {"api-key": credential}
    return {"Authorization": f"Bearer {credential}"}
