"""OpenAI's chat request as `generateContent` takes it.

Source: the references of the Gemini API (v1beta, models.generateContent) and of Vertex AI (v1,
publishers.models.generateContent), which share this format.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, groupby
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.call_ids import OWN_PREFIX
from upstreams_app.providers.chat_parts import Media, Part
from upstreams_app.providers.chat_request import ChatRequest, Turn, refuse
from upstreams_app.providers.gemini.generations import Generation, thinking_config
from upstreams_app.providers.gemini.media import media_part
from upstreams_app.providers.gemini.schemas import to_google

Json = dict[str, Any]
MAX_STOPS: Final = 5
MAX_CHOICES: Final = 8
_REFUSED = frozenset(
    {"logprobs", "top_logprobs", "logit_bias", "audio", "prediction", "web_search_options", "moderation"}
)
_TIERS: Final = {"auto": "", "default": "", "flex": "flex", "priority": "priority", "fast": "priority"}
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_ANSWER_NAME: Final = "answer"
_ANSWER: Final = "Gives the final answer, once all that it takes is known. Nothing is called beside it."
_MAX_INT32: Final = 2**31
# For a call that another model made, or whose signature was lost (guide "Thought signatures").
_UNSIGNED: Final = "skip_thought_signature_validator"


def generate_request(request: ChatRequest, generation: Generation) -> Json:
    """The body of `generateContent`; InvalidRequest for what Google has nothing for."""
    _check(request, generation)
    contents = _contents(request.turns, generation)
    if not contents:
        raise InvalidRequest("Google needs a message that says something.", param="messages")
    body: Json = {"contents": contents}
    if system := [{"text": text.text} for text in request.system if text.text]:
        body["systemInstruction"] = {"parts": system}
    own = answer_tool(request, generation)
    if request.tools:
        body["tools"] = [{"functionDeclarations": _declarations(request, own)}]
    if own:
        body["toolConfig"] = {"functionCallingConfig": _calling_for(request, own)}
    elif request.choice:
        body["toolConfig"] = {"functionCallingConfig": _calling(request.choice)}
    if config := _generation_config(request, generation):
        body["generationConfig"] = config
    if tier := service_tier(request):
        body["serviceTier"] = tier
    return body


def service_tier(request: ChatRequest) -> str:
    """The way of service that is asked for, "" for the usual one; InvalidRequest for those Google lacks."""
    tier = request.more.get("service_tier", "auto")
    if not isinstance(tier, str) or tier not in _TIERS:
        raise _unsupported("service_tier", "Google's tiers are default, flex and priority.")
    return _TIERS[tier]


def max_choices(generation: Generation, *, is_stream: bool) -> int:
    """How many candidates one call gives."""
    return 1 if is_stream or generation.has_levels else MAX_CHOICES


def _check(request: ChatRequest, generation: Generation) -> None:
    refuse(request, _REFUSED, "Google")
    modalities = request.more.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise _unsupported("modalities", "Only text is answered.")
    if request.more.get("verbosity") not in (None, "medium"):
        raise _unsupported("verbosity", "Google has nothing for 'verbosity'.")
    if len(request.stop) > MAX_STOPS:
        raise _unsupported("stop", f"Google takes at most {MAX_STOPS} stop sequences.")
    if request.choices > max_choices(generation, is_stream=request.is_stream):
        raise _unsupported("n", "This model gives one choice at a time.")
    if request.seed is not None and not -_MAX_INT32 <= request.seed < _MAX_INT32:
        raise _unsupported("seed", "Google's seeds are integers of 32 bits.")
    if _is_either_or(request, generation) and not (request.format and request.format.schema):
        raise _unsupported(
            "response_format", "With tools this model answers in JSON of a schema ('json_schema') only."
        )


def _is_either_or(request: ChatRequest, generation: Generation) -> bool:
    """Whether it asks for JSON and has tools, which models before Gemini 3 do not take together."""
    is_old = generation.is_known and not generation.has_levels
    return bool(request.format and request.tools and is_old)


def answer_tool(request: ChatRequest, generation: Generation) -> str:
    """The function that stands in for a schema of the answer, "" where that is Google's own to hold to."""
    if not _is_either_or(request, generation):
        return ""
    taken = {tool.name for tool in request.tools}
    return next(name for name in (f"{_ANSWER_NAME}{'_' * n}" for n in count()) if name not in taken)


def _unsupported(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")


def _generation_config(request: ChatRequest, generation: Generation) -> Json:
    config: Json = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": _number(request, "top_k"),
        "maxOutputTokens": request.max_tokens,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "candidateCount": request.choices if request.choices > 1 else None,
        "presencePenalty": _number(request, "presence_penalty") or None,
        "frequencyPenalty": _number(request, "frequency_penalty") or None,
        "thinkingConfig": thinking_config(request.effort, generation),
    }
    if request.format is not None and not answer_tool(request, generation):
        config["responseMimeType"] = "application/json"
        if request.format.schema:
            path = "response_format.json_schema.schema"
            schema = to_google(request.format.schema, path, is_strict=request.format.is_strict)
            config["responseJsonSchema"] = schema
    return {name: value for name, value in config.items() if value is not None}


def _number(request: ChatRequest, name: str) -> float | None:
    value = request.more.get(name)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise InvalidRequest(f"Invalid value for '{name}': expected a number.", param=name)
    return value


def _declarations(request: ChatRequest, own: str) -> list[Json]:
    declarations = []
    if own and request.format is not None and request.format.schema:
        path = "response_format.json_schema.schema"
        schema = to_google(request.format.schema, path, is_strict=request.format.is_strict)
        declarations.append({"name": own, "description": _ANSWER, "parametersJsonSchema": schema})
    for index, tool in enumerate(request.tools):
        declaration: Json = {"name": tool.name}
        if tool.description:
            declaration["description"] = tool.description
        # A function without parameters has none here; an object without properties is refused.
        if tool.parameters.get("properties") or "$ref" in tool.parameters or "anyOf" in tool.parameters:
            path = f"tools[{index}].function.parameters"
            declaration["parametersJsonSchema"] = to_google(tool.parameters, path)
        declarations.append(declaration)
    return declarations


def _calling_for(request: ChatRequest, own: str) -> Json:
    """Where an answer is a call, too: something is called in any case."""
    if request.choice.startswith("tool:"):
        return _calling(request.choice)
    if request.choice == "none":
        return {"mode": "ANY", "allowedFunctionNames": [own]}
    if request.choice == "required":
        return {"mode": "ANY", "allowedFunctionNames": [tool.name for tool in request.tools]}
    return {"mode": "ANY"}


def _calling(choice: str) -> Json:
    if choice in _MODES:
        return {"mode": _MODES[choice]}
    return {"mode": "ANY", "allowedFunctionNames": [choice.removeprefix("tool:")]}


def _contents(turns: tuple[Turn, ...], generation: Generation) -> list[Json]:
    """Turns of one role that follow one another become one; results stand by themselves."""
    contents: list[Json] = []
    names: dict[str, str] = {}
    previous = ""
    for turn in _in_order(turns):
        if turn.role == "assistant":
            parts = [*_parts(turn.parts), *_calls(turn, generation)]
            names |= {call.id: call.name for call in turn.calls}
        elif turn.role == "tool":
            parts = [_result(turn, names.get(turn.call_id, turn.name), generation)]
        else:
            # Google refuses a content without parts, and a part without text.
            parts = _parts(turn.parts) or [{"text": " "}]
        if not parts:
            continue
        if previous == turn.role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": "model" if turn.role == "assistant" else "user", "parts": parts})
        previous = turn.role
    return contents


def _in_order(turns: tuple[Turn, ...]) -> Iterator[Turn]:
    """Results in the order of their calls, which is all that tells them apart where there are no ids."""
    order = {call.id: index for index, call in enumerate(call for turn in turns for call in turn.calls)}
    for role, group in groupby(turns, key=lambda turn: turn.role):
        if role == "tool":
            yield from sorted(group, key=lambda turn: order.get(turn.call_id, 0))
        else:
            yield from group


def _parts(parts: tuple[Part, ...]) -> list[Json]:
    made = [media_part(part) if isinstance(part, Media) else {"text": part.text} for part in parts]
    return [part for part in made if part != {"text": ""}]


def _calls(turn: Turn, generation: Generation) -> list[Json]:
    parts: list[Json] = []
    for call in turn.calls:
        wire: Json = {"name": call.name, "args": call.arguments}
        if _is_google_id(call.id):
            wire["id"] = call.id
        part: Json = {"functionCall": wire}
        if call.signature:
            part["thoughtSignature"] = call.signature
        parts.append(part)
    # Of several calls at once only the first is signed, and these models insist on it.
    if parts and generation.has_levels and not any("thoughtSignature" in part for part in parts):
        parts[0]["thoughtSignature"] = _UNSIGNED
    return parts


def _is_google_id(call_id: str) -> bool:
    """Whether Google may have given it; those that we, or OpenAI's models, made are not sent there."""
    return not call_id.startswith(OWN_PREFIX)


def _result(turn: Turn, name: str, generation: Generation) -> Json:
    """A tool's result: as text, since numbers would become floats on the way."""
    if not name:
        raise InvalidRequest(
            f"There is no call with the id '{turn.call_id[:100]}' before its result.",
            param=f"{turn.path}.tool_call_id",
        )
    text = "".join(part.text for part in turn.parts if not isinstance(part, Media))
    wire: Json = {"name": name, "response": {"output": text}}
    if _is_google_id(turn.call_id):
        wire["id"] = turn.call_id
    media = [part for part in turn.parts if isinstance(part, Media)]
    if media:
        if not generation.has_levels:
            raise InvalidRequest(
                "This model takes text only from tools.", param=media[0].path, code="unsupported_parameter"
            )
        wire["parts"] = [media_part(part) for part in media]
    return {"functionResponse": wire}
