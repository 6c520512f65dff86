"""Runs that an agent's own code starts, such as `Runner.run(…)` in a tool: parts of the run around them.

By default the SDK would send their calls to OpenAI, with the key that it finds in the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from agents.run import AgentRunner

from agents import Model, ModelProvider, MultiProvider, RunConfig, UserError
from agents_app.sdk.tracing import keeps_content

_provider: ContextVar[ModelProvider] = ContextVar("agents_app_provider")


class _Nobody(ModelProvider):
    """There is nobody whom a call could be for."""

    def get_model(self, model_name: str | None) -> Model:
        raise UserError("Agents can call models only while one answers a request.")


_NOBODY = _Nobody()


@contextmanager
def models_from(provider: ModelProvider) -> Iterator[None]:
    """While the block runs, and in the tasks that it starts, runs without a provider have this one."""
    token = _provider.set(provider)
    try:
        yield
    finally:
        _provider.reset(token)


def current_provider() -> ModelProvider:
    """The models of the run around the caller; outside of runs, one whose calls are errors."""
    return _provider.get(_NOBODY)


class GatewayRunner(AgentRunner):
    """The SDK's runner, but that models come from the run around it."""

    async def run(self, starting_agent: Any, input: Any, **options: Any) -> Any:
        """As `Runner.run`."""
        return await super().run(starting_agent, input, **_inside(options))

    def run_streamed(self, starting_agent: Any, input: Any, **options: Any) -> Any:
        """As `Runner.run_streamed`."""
        return super().run_streamed(starting_agent, input, **_inside(options))

    def run_sync(self, starting_agent: Any, input: Any, **options: Any) -> Any:
        """Not possible: it would need an event loop of its own, and connections belong to the server's."""
        raise UserError("Agents can't be run by run_sync here: use 'await Runner.run(…)' in an async tool.")


def _inside(options: dict[str, Any]) -> dict[str, Any]:
    config = options.get("run_config")
    if isinstance(config, dict):
        config = RunConfig(**config)
    if config is None:
        config = RunConfig()
    if isinstance(config.model_provider, MultiProvider):
        config = replace(
            config,
            model_provider=current_provider(),
            tracing_disabled=False,
            trace_include_sensitive_data=keeps_content(),
        )
    return {**options, "run_config": config}
