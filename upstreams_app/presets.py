"""Services that speak OpenAI's format under an address of their own: what to fill in for each of them.

A preset is no kind of upstream: it only fills in a form or a body. What differs afterwards (where to ask
whether the service is there, what models it has) is found again by the upstream's address.
"""

from __future__ import annotations

from typing import NamedTuple


class Preset(NamedTuple):
    """One service. `base_url` and `path_prefix` together are what stands before `/chat/completions`.

    `prefix` is LiteLLM's, `key_variables` are the environment variables that hold the credential, the
    vendor's own name first; `price_provider` is its id in the price catalogue, if it is there. `health_path`
    follows the path prefix and, unlike some lists of models, is refused without a valid credential where the
    service has such a path. `models` stand in for a list that the service does not give.
    """

    id: str
    label: str
    prefix: str
    base_url: str
    path_prefix: str
    key_variables: tuple[str, ...]
    price_provider: str | None = None
    health_path: str = "/models"
    models: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of upstream that every preset makes."""
        return "openai-compatible"

    @property
    def values(self) -> dict[str, str]:
        """The columns of an upstream that it fills in."""
        return {
            "name": self.id,
            "kind": self.kind,
            "base_url": self.base_url,
            "path_prefix": self.path_prefix,
        }


PRESETS: dict[str, Preset] = {
    preset.id: preset
    for preset in (
        Preset(
            "cerebras",
            "Cerebras",
            "cerebras",
            "https://api.cerebras.ai",
            "/v1",
            ("CEREBRAS_API_KEY",),
            "cerebras",
        ),
        Preset(
            "deepinfra",
            "DeepInfra",
            "deepinfra",
            "https://api.deepinfra.com",
            "/v1/openai",
            ("DEEPINFRA_API_KEY",),
        ),
        Preset(
            "deepseek",
            "DeepSeek",
            "deepseek",
            "https://api.deepseek.com",
            "",
            ("DEEPSEEK_API_KEY",),
            "deepseek",
        ),
        Preset(
            "fireworks",
            "Fireworks AI",
            "fireworks_ai",
            "https://api.fireworks.ai",
            "/inference/v1",
            ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
            "fireworks",
        ),
        Preset("groq", "Groq", "groq", "https://api.groq.com", "/openai/v1", ("GROQ_API_KEY",), "groq"),
        Preset(
            "mistral", "Mistral", "mistral", "https://api.mistral.ai", "/v1", ("MISTRAL_API_KEY",), "mistral"
        ),
        Preset(
            "moonshot",
            "Moonshot AI",
            "moonshot",
            "https://api.moonshot.ai",
            "/v1",
            ("MOONSHOT_API_KEY",),
            "moonshotai",
        ),
        Preset(
            "nvidia-nim",
            "NVIDIA NIM",
            "nvidia_nim",
            "https://integrate.api.nvidia.com",
            "/v1",
            ("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"),
        ),
        Preset(
            "openrouter",
            "OpenRouter",
            "openrouter",
            "https://openrouter.ai",
            "/api/v1",
            ("OPENROUTER_API_KEY",),
            "openrouter",
            # Its list of models is public, so only this tells whether the key is good.
            health_path="/key",
        ),
        Preset(
            "perplexity",
            "Perplexity",
            "perplexity",
            "https://api.perplexity.ai",
            "",
            ("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"),
            "perplexity",
            # It lists no models; this lists the caller's own background requests.
            health_path="/async/chat/completions",
            models=("sonar", "sonar-pro", "sonar-reasoning-pro", "sonar-deep-research"),
        ),
        Preset(
            "sambanova", "SambaNova", "sambanova", "https://api.sambanova.ai", "/v1", ("SAMBANOVA_API_KEY",)
        ),
        Preset(
            "together",
            "Together AI",
            "together_ai",
            "https://api.together.xyz",
            "/v1",
            ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
            "together",
        ),
        Preset("xai", "xAI", "xai", "https://api.x.ai", "/v1", ("XAI_API_KEY",), "x-ai"),
    )
}
_BY_ADDRESS = {preset.base_url: preset for preset in PRESETS.values()}


def preset_at(kind: str, base_url: str) -> Preset | None:
    """The service that an upstream of this kind and address is, if it is a known one."""
    preset = _BY_ADDRESS.get(base_url)
    return preset if preset is not None and preset.kind == kind else None
