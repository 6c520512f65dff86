"""One run of an agent: the SDK's runner under our limits, its events as pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from pydantic import BaseModel

from agents import (
    Agent,
    AgentOutputSchemaBase,
    AgentsException,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelRefusalError,
    ModelSettings,
    OutputGuardrailTripwireTriggered,
    RunConfig,
    Runner,
)
from agents_app.entry import AgentEntry
from agents_app.errors import AgentFailed, RunLimitExceeded
from agents_app.sdk.convert import Item, items_of, settings_of
from agents_app.sdk.provider import GatewayProvider, RunDoor
from gateway_project.core.errors import GatewayError, InvalidRequest, PermissionDenied, UpstreamFailed

_MAX_PARALLEL_TOOLS = 8
_DELTAS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning_content",
    "response.reasoning_text.delta": "reasoning_content",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Something for the client: a text, and the member of a delta that it belongs into."""

    member: str
    text: str


@dataclass(slots=True)
class Run:
    """A request as the SDK takes it. Making one raises InvalidRequest, which names the field."""

    entry: AgentEntry
    agent: Agent[Any]
    items: list[Item]
    config: RunConfig

    @classmethod
    def of(cls, entry: AgentEntry, fields: dict[str, Any], door: RunDoor) -> Run:
        """A run of an agent on a chat request's fields."""
        config = RunConfig(
            model_provider=GatewayProvider(door),
            tracing_disabled=True,
            trace_include_sensitive_data=False,
            # A model that makes up a tool, or names one that is hidden from it, is told so.
            tool_not_found_behavior="return_error_to_model",
            tool_execution={"max_function_tool_concurrency": _MAX_PARALLEL_TOOLS},
        )
        return cls(entry, _adjusted(entry.agent, fields), items_of(fields.get("messages")), config)

    async def answer(self) -> str:
        """The final answer; raises GatewayError."""
        try:
            result = await Runner.run(
                self.agent, cast(Any, self.items), max_turns=self.entry.max_turns, run_config=self.config
            )
        except (AgentsException, GatewayError) as error:
            _raise(error, self.entry)
        return _text(result.final_output)

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The answer as it comes; raises GatewayError. Closing the iterator early ends the run at once."""
        result = Runner.run_streamed(
            self.agent, cast(Any, self.items), max_turns=self.entry.max_turns, run_config=self.config
        )
        has_content = False
        try:
            async for event in result.stream_events():
                if event.type == "raw_response_event":
                    member = _DELTAS.get(event.data.type)
                    if member is not None and (text := getattr(event.data, "delta", "")):
                        has_content = has_content or member == "content"
                        yield Piece(member, text)
            if result.run_loop_exception is not None:
                raise result.run_loop_exception
            if not has_content and (text := _text(result.final_output)):
                yield Piece("content", text)
        except (AgentsException, GatewayError) as error:
            _raise(error, self.entry)
        finally:
            # Before the events' iterator is closed, which would wait for the whole run.
            result.cancel()


class _ClientSchema(AgentOutputSchemaBase):
    """What the client wants the answer to look like; the text is the client's to parse."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def is_plain_text(self) -> bool:
        return False

    def name(self) -> str:
        return str(self._schema.get("name") or "answer")

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = self._schema.get("schema") or {}
        return schema

    def is_strict_json_schema(self) -> bool:
        return bool(self._schema.get("strict"))

    def validate_json(self, json_str: str) -> Any:
        return json_str


def _adjusted(agent: Agent[Any], fields: dict[str, Any]) -> Agent[Any]:
    """The agent as this client wants it; a copy only if there is something to change."""
    for name in ("tools", "functions"):
        if fields.get(name):
            raise InvalidRequest(f"'{name}' can't be given to an agent yet.", param=name)
    if fields.get("n") not in (None, 1):
        raise InvalidRequest("Agents give one answer: 'n' must be 1.", param="n")
    if fields.get("audio") is not None or "audio" in (fields.get("modalities") or ()):
        raise InvalidRequest("Agents answer with text.", param="modalities")
    changes: dict[str, Any] = {}
    settings = settings_of(fields)
    wanted = fields.get("response_format") or {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in (None, "text") and agent.output_type is not None:
        raise InvalidRequest("The agent has an answer format of its own.", param="response_format")
    if kind == "json_schema":
        changes["output_type"] = _ClientSchema(wanted.get("json_schema") or {})
    elif kind == "json_object":
        settings.extra_args = {**(settings.extra_args or {}), "response_format": {"type": "json_object"}}
    if settings != ModelSettings():
        changes["model_settings"] = agent.model_settings.resolve(settings)
    if not changes:
        return agent
    # A copy shares lists that it isn't given.
    lists = {name: list(getattr(agent, name)) for name in ("tools", "handoffs", "mcp_servers")}
    return agent.clone(**lists, **changes)


def _text(output: Any) -> str:
    if output is None or isinstance(output, str):
        return output or ""
    if isinstance(output, BaseModel):
        return output.model_dump_json()
    try:
        return json.dumps(output)
    except TypeError:
        return str(output)


def _raise(error: Exception, entry: AgentEntry) -> NoReturn:
    """Raise what the client is told of an error; texts of the agent's code and of its tools stay here."""
    if isinstance(error, GatewayError):
        raise error
    if isinstance(error, MaxTurnsExceeded):
        raise RunLimitExceeded(f"The run did not end within {entry.max_turns} turns.") from error
    if isinstance(error, InputGuardrailTripwireTriggered | OutputGuardrailTripwireTriggered):
        side = "input" if isinstance(error, InputGuardrailTripwireTriggered) else "answer"
        raise PermissionDenied(
            f"A guardrail of the agent refused the {side}.", code="guardrail_blocked"
        ) from error
    if isinstance(error, ModelRefusalError):
        raise PermissionDenied("The model refused to answer.", code="content_filter") from error
    if isinstance(error, ModelBehaviorError):
        raise UpstreamFailed("The model's answer can't be used by the agent.") from error
    raise AgentFailed("The agent failed; the log has the details.") from error
