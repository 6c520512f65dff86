"""LiteLLM's provider prefixes: which kind of upstream each stands for, and where the vendor is.

`litellm_params.model` is `<prefix>/<the vendor's model>`; a name without a prefix is OpenAI's.
"""

from __future__ import annotations

from typing import NamedTuple

from upstreams_app.kinds import KINDS
from upstreams_app.presets import PRESETS, Preset


class Vendor(NamedTuple):
    """What a prefix means. `key_variables` are where people keep the credential, and LiteLLM looks for it."""

    prefix: str
    kind: str
    upstream_name: str
    base_url: str
    path_prefix: str = "/v1"
    key_variables: tuple[str, ...] = ()


def _of_kind(prefix: str, kind_id: str) -> Vendor:
    kind = KINDS[kind_id]
    return Vendor(prefix, kind_id, kind_id, kind.base_url, kind.path_prefix, kind.key_variables)


def _of_preset(preset: Preset) -> Vendor:
    return Vendor(
        preset.prefix, preset.kind, preset.id, preset.base_url, preset.path_prefix, preset.key_variables
    )


OPENAI = _of_kind("openai", "openai")
# Whatever speaks OpenAI's format somewhere else; its base URL must be given.
COMPATIBLE = Vendor("openai", "openai-compatible", "", "", "/v1")
_VENDORS = (
    OPENAI,
    Vendor("openai_like", "openai-compatible", "", ""),
    Vendor("custom_openai", "openai-compatible", "", ""),
    _of_kind("ollama", "ollama"),
    _of_kind("ollama_chat", "ollama"),
    _of_kind("lm_studio", "lmstudio"),
    _of_kind("hosted_vllm", "vllm"),
    _of_kind("vllm", "vllm"),
    _of_kind("tensorrt_llm", "tensorrt-llm"),
    _of_kind("nvidia/tensorrt", "tensorrt-llm"),
    _of_kind("demo", "demo"),
    _of_kind("azure", "azure-openai"),
    _of_kind("anthropic", "anthropic"),
    _of_kind("bedrock", "bedrock"),
    _of_kind("bedrock_converse", "bedrock"),
    _of_kind("gemini", "gemini"),
    _of_kind("vertex_ai", "vertex"),
    _of_kind("vertex_ai_beta", "vertex"),
    *(_of_preset(preset) for preset in PRESETS.values()),
)
VENDORS = {vendor.prefix: vendor for vendor in _VENDORS}
# Prefixes of LiteLLM whose vendors speak a format of their own.
UNSUPPORTED = frozenset(
    [
        "ai21",
        "azure_ai",
        "azure_text",
        "aws_polly",
        "baseten",
        "cloudflare",
        "codestral",
        "cohere",
        "cohere_chat",
        "databricks",
        "github_copilot",
        "huggingface",
        "nlp_cloud",
        "oci",
        "oobabooga",
        "palm",
        "petals",
        "predibase",
        "replicate",
        "sagemaker",
        "sagemaker_chat",
        "snowflake",
        "text-completion-codestral",
        "triton",
        "voyage",
        "watsonx",
        "watsonx_text",
    ]
)


class VendorModel(NamedTuple):
    """A vendor and the model's name there."""

    vendor: Vendor
    model: str


class UnknownVendor(ValueError):
    """The text says which prefix is unknown or not supported."""


def parse_model(model: str, *, provider: str | None = None, has_base_url: bool = False) -> VendorModel:
    """What `<prefix>/<model>` means; UnknownVendor for vendors that are not served.

    A first part that is no prefix belongs to the model's name (`meta-llama/Llama-3`), which then needs a
    base URL, for only OpenAI's own names come without a prefix.
    """
    if provider is not None:
        vendor = _vendor(provider)
        return VendorModel(vendor, model.removeprefix(provider + "/"))
    for prefix, vendor in VENDORS.items():
        if model.startswith(prefix + "/"):
            return VendorModel(vendor, model[len(prefix) + 1 :])
    first, slash, _ = model.partition("/")
    if first in UNSUPPORTED:
        raise UnknownVendor(_not_yet(first))
    if slash and not has_base_url:
        raise UnknownVendor(f"'{first}' is not a known prefix; give one, or 'api_base'")
    return VendorModel(OPENAI, model)


def prefix_of(kind: str, base_url: str) -> str:
    """The prefix under which an upstream would be found again, given its base URL as well."""
    for vendor in VENDORS.values():
        if vendor.kind == kind and vendor.base_url == base_url and base_url:
            return vendor.prefix
    if kind == COMPATIBLE.kind:
        return COMPATIBLE.prefix
    return next((vendor.prefix for vendor in VENDORS.values() if vendor.kind == kind), kind)


def _vendor(prefix: str) -> Vendor:
    vendor = VENDORS.get(prefix)
    if vendor is None:
        raise UnknownVendor(
            _not_yet(prefix) if prefix in UNSUPPORTED else f"'{prefix}' is not a known provider"
        )
    return vendor


def _not_yet(prefix: str) -> str:
    return (
        f"models of '{prefix}' are not supported yet; a server that speaks OpenAI's format is, as openai/NAME"
    )
