"""Parameters of a chat request as the SDK's model settings and output schema, each of the type it must have.

Explicit nulls count as absent. What is not here and not in client_tools.py is ignored, as OpenAI's clients
may send members that were made for other servers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from openai.types.shared import Reasoning

from agents import Agent, AgentOutputSchemaBase, ModelSettings
from gateway_project.core.errors import InvalidRequest

_Check = Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_integer(value) and value >= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_stop(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _is_verbosity(value: Any) -> bool:
    return value in ("low", "medium", "high")


def _is_array(value: Any) -> bool:
    return isinstance(value, list)


# What a member must be, in words and as a function.
_NUMBER = ("a number", _is_number)
_COUNT = ("an integer of 1 or more", _is_count)
_TEXT = ("a text", _is_text)
_FLAG = ("true or false", _is_flag)
_SETTINGS: dict[str, tuple[str, _Check]] = {
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "frequency_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
    "parallel_tool_calls": _FLAG,
    "verbosity": ("low, medium or high", _is_verbosity),
    "reasoning_effort": _TEXT,
}
# Arguments of the call that the SDK has no setting for.
_EXTRA: dict[str, tuple[str, _Check]] = {
    "seed": ("an integer", _is_integer),
    "stop": ("a text or an array of texts", _is_stop),
    "logit_bias": ("an object", _is_object),
    "user": _TEXT,
    "service_tier": _TEXT,
    "prediction": ("an object", _is_object),
}
_OTHERS: dict[str, tuple[str, _Check]] = {
    "n": _COUNT,
    "logprobs": _FLAG,
    "modalities": ("an array", _is_array),
    "stream_options": ("an object", _is_object),
    "response_format": ("an object", _is_object),
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a client wants of the agent's model. `schema` is of the answer, whoever gives it."""

    settings: ModelSettings
    schema: ClientSchema | None
    is_json: bool

    @property
    def wants_json(self) -> bool:
        """Whether the answer is to be JSON."""
        return self.is_json or self.schema is not None

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Parameters:
        """The parameters of a request; InvalidRequest names the one that an agent can't honour."""
        given = {
            name: fields[name] for name in {**_SETTINGS, **_EXTRA, **_OTHERS} if fields.get(name) is not None
        }
        for name, value in given.items():
            what, check = _SETTINGS.get(name) or _EXTRA.get(name) or _OTHERS[name]
            if not check(value):
                raise InvalidRequest(f"'{name}' must be {what}.", param=name)
        _check_one_text(fields)
        kind, schema = _response_format(given.get("response_format") or {})
        return cls(_settings(given), schema, is_json=kind == "json_object")

    def entry_settings(self, agent: Agent[Any], tool_choice: str | None) -> ModelSettings:
        """The settings of the agent that the client speaks to: what the client wants wins."""
        wanted = replace(self.settings, tool_choice=tool_choice)
        return agent.model_settings if wanted == ModelSettings() else _overlaid(agent.model_settings, wanted)

    def check_format(self, agent: Agent[Any]) -> None:
        """InvalidRequest if the client wants another format than the agent's own."""
        own = agent.output_type
        is_same = (
            isinstance(own, ClientSchema)
            and self.schema is not None
            and own.json_schema() == self.schema.json_schema()
        )
        if own is not None and not is_same:
            raise InvalidRequest("The agent has an answer format of its own.", param="response_format")

    def format_changes(self, agent: Agent[Any], settings: ModelSettings) -> dict[str, Any]:
        """What to change of an agent so that its answer has the client's format; agents keep their own."""
        if agent.output_type is not None or not self.wants_json:
            return {}
        if self.schema is not None:
            return {"output_type": self.schema}
        wanted = ModelSettings(extra_args={"response_format": {"type": "json_object"}})
        return {"model_settings": _overlaid(settings, wanted)}


class ClientSchema(AgentOutputSchemaBase):
    """What the client wants the answer to look like; the text is the client's to parse."""

    def __init__(self, schema: dict[str, Any], *, is_strict: bool) -> None:
        self._schema = schema
        self._is_strict = is_strict

    def is_plain_text(self) -> bool:
        """Never: it is a schema."""
        return False

    def name(self) -> str:
        """For the SDK's error texts."""
        return "response_format"

    def json_schema(self) -> dict[str, Any]:
        """The schema as the client gave it."""
        return self._schema

    def is_strict_json_schema(self) -> bool:
        """Whether the upstream has to keep to the schema."""
        return self._is_strict

    def validate_json(self, json_str: str) -> Any:
        """The text as it is."""
        return json_str


def _check_one_text(fields: dict[str, Any]) -> None:
    """Agents give one answer, in text."""
    if fields.get("n") not in (None, 1):
        raise InvalidRequest("Agents give one answer: 'n' must be 1.", param="n")
    if fields.get("logprobs"):
        raise InvalidRequest("Agents give no 'logprobs'.", param="logprobs")
    if fields.get("audio") is not None:
        raise InvalidRequest("Agents answer with text: they take no 'audio'.", param="audio")
    if any(modality != "text" for modality in fields.get("modalities") or ()):
        raise InvalidRequest("Agents answer with text: 'modalities' must be [\"text\"].", param="modalities")
    include_usage = (fields.get("stream_options") or {}).get("include_usage")
    if include_usage is not None and not isinstance(include_usage, bool):
        where = "stream_options.include_usage"
        raise InvalidRequest(f"'{where}' must be true or false.", param=where)


def _settings(given: dict[str, Any]) -> ModelSettings:
    own = {name: given[name] for name in _SETTINGS if name in given}
    newer = own.pop("max_completion_tokens", None)
    if newer is not None:
        own["max_tokens"] = newer
    effort = own.pop("reasoning_effort", None)
    if effort is not None:
        # The upstream judges the word: there are new ones every year.
        own["reasoning"] = Reasoning.construct(effort=effort)
    extra = {name: given[name] for name in _EXTRA if name in given}
    return ModelSettings(**own, extra_args=extra or None)


def _overlaid(settings: ModelSettings, wanted: ModelSettings) -> ModelSettings:
    """Settings with others over them. The SDK refuses what is both a setting and an extra argument."""
    resolved = settings.resolve(wanted)
    if not resolved.extra_args:
        return resolved
    taken = {name for name in _SETTINGS if getattr(wanted, name, None) is not None}
    if wanted.reasoning is not None:
        taken.add("reasoning_effort")
    if wanted.tool_choice is not None:
        taken.add("tool_choice")
    extra = {name: value for name, value in resolved.extra_args.items() if name not in taken}
    return replace(resolved, extra_args=extra or None)


def _response_format(wanted: dict[str, Any]) -> tuple[str, ClientSchema | None]:
    kind = wanted.get("type", "text")
    if kind in ("text", "json_object"):
        return kind, None
    if kind != "json_schema":
        where = "response_format.type"
        raise InvalidRequest(f"'{where}' must be text, json_object or json_schema.", param=where)
    where = "response_format.json_schema"
    described = wanted.get("json_schema")
    if not isinstance(described, dict):
        raise InvalidRequest(f"'{where}' must be an object.", param=where)
    schema = described.get("schema")
    if schema is not None and not isinstance(schema, dict):
        raise InvalidRequest(f"'{where}.schema' must be an object.", param=f"{where}.schema")
    return kind, ClientSchema(schema or {}, is_strict=described.get("strict") is True)
