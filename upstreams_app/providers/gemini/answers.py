"""Google's answers, whole or piece by piece, as OpenAI's.

Source: GenerateContentResponse in the reference of the Gemini API (v1beta) and of Vertex AI (v1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from gateway_project.core.codec import dumps_loosely
from upstreams_app.providers.answers import (
    CONTENT_FILTER,
    LENGTH,
    STOP,
    TOOL_CALLS,
    Message,
    Usage,
    completion,
    image_part,
)
from upstreams_app.providers.call_ids import join_id, new_id

Json = dict[str, Any]
# How Vertex AI tells the ways of service that have prices of their own.
TRAFFIC: Final = {"ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority"}
PROMPT_BLOCKED: Final = "PROMPT_BLOCKED"  # Ours: Google ends nothing where it begins nothing.
_ENDS: Final = {
    PROMPT_BLOCKED: CONTENT_FILTER,
    "STOP": STOP,
    "MAX_TOKENS": LENGTH,
    "SAFETY": CONTENT_FILTER,
    "RECITATION": CONTENT_FILTER,
    "LANGUAGE": CONTENT_FILTER,
    "BLOCKLIST": CONTENT_FILTER,
    "PROHIBITED_CONTENT": CONTENT_FILTER,
    "SPII": CONTENT_FILTER,
    "MODEL_ARMOR": CONTENT_FILTER,
    "ESCALATION": CONTENT_FILTER,
    "PUP_LIMITED_DISABLED": CONTENT_FILTER,
    "IMAGE_SAFETY": CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": CONTENT_FILTER,
    "IMAGE_RECITATION": CONTENT_FILTER,
}


class Wanted(NamedTuple):
    """What the request says of how its answer is read.

    `answer_tool` is the function whose arguments are the answer's text, "" for none. `service_tier` is how
    it is served, unless the answer tells.
    """

    is_one_call: bool = False
    answer_tool: str = ""
    service_tier: str = ""


class Piece(NamedTuple):
    """A part of what a model said: text, a thought, an image, or a call with its id and arguments.

    The `text` of an image is its data (base64), its `name` the type.
    """

    kind: str
    text: str
    call_id: str = ""
    name: str = ""


def pieces(candidate: Json, answer_tool: str = "") -> Iterator[Piece]:
    """What a candidate says, in order. Parts that carry nothing for a client give nothing."""
    for part in (candidate.get("content") or {}).get("parts") or ():
        call = part.get("functionCall")
        if call is not None:
            call_id = join_id(call.get("id") or new_id(), part.get("thoughtSignature") or "")
            arguments = dumps_loosely(call.get("args") or {}).decode()
            if call["name"] == answer_tool:
                yield Piece("text", arguments)
            else:
                yield Piece("call", arguments, call_id, call["name"])
        elif data := part.get("inlineData"):
            yield Piece("image", data["data"], name=data.get("mimeType") or "image/png")
        elif text := part.get("text"):
            yield Piece("thought" if part.get("thought") is True else "text", text)


def finish_reason(reason: str, *, has_calls: bool, has_said: bool) -> str:
    """OpenAI's word for a `finishReason`. Who ends for another reason, and said nothing, was stopped."""
    known = _ENDS.get(reason)
    if known is None:
        known = STOP if has_said or has_calls else CONTENT_FILTER
    return TOOL_CALLS if known == STOP and has_calls else known


def explanation(candidate: Json) -> str:
    """Why an answer was withheld or broken off, for `refusal`; "" if it was not."""
    reason = candidate.get("finishReason") or ""
    if reason in ("", "STOP", "MAX_TOKENS"):
        return ""
    message = candidate.get("finishMessage") or ""
    return f"The answer ended early: {reason}. {message}".rstrip()


def blocked(feedback: Json | None) -> str:
    """Why a prompt got no answer, for `refusal`; "" if it was not blocked."""
    reason = (feedback or {}).get("blockReason") or ""
    if not reason or reason == "BLOCKED_REASON_UNSPECIFIED":
        return ""
    message = (feedback or {}).get("blockReasonMessage") or ""
    return f"The prompt was blocked: {reason}. {message}".rstrip()


def usage(metadata: Json | None, service_tier: str = "") -> Usage | None:
    """OpenAI's counts: what tools brought in belongs to the prompt, thoughts belong to the completion.

    `service_tier` holds where the metadata do not tell how it was served; Vertex AI's do.
    """
    if not metadata:
        return None
    prompt = metadata.get("promptTokenCount") or 0
    prompt += metadata.get("toolUsePromptTokenCount") or 0
    said = metadata.get("candidatesTokenCount") or 0
    thoughts = metadata.get("thoughtsTokenCount")
    total = metadata.get("totalTokenCount")
    # Some models count thoughts among the candidates' tokens; the total tells.
    are_within = thoughts and total == prompt + said and said >= thoughts
    return Usage(
        input=prompt,
        output=said if are_within else said + (thoughts or 0),
        cached=metadata.get("cachedContentTokenCount") or 0,
        reasoning=thoughts,
        input_audio=_of_kind("AUDIO", metadata.get("promptTokensDetails")),
        output_audio=_of_kind("AUDIO", metadata.get("candidatesTokensDetails")),
        input_image=_of_kind("IMAGE", metadata.get("promptTokensDetails")),
        output_image=_of_kind("IMAGE", metadata.get("candidatesTokensDetails")),
        service_tier=TRAFFIC.get(metadata["trafficType"], "")
        if metadata.get("trafficType")
        else service_tier,
    )


def _of_kind(modality: str, details: list[Json] | None) -> int:
    return sum(item.get("tokenCount") or 0 for item in details or () if item.get("modality") == modality)


def whole(answer: Json, model: str, wanted: Wanted) -> bytes:
    """A whole answer; ValueError if it holds none."""
    choices = [
        _choice(candidate, wanted)
        for candidate in sorted(answer.get("candidates") or (), key=lambda item: item.get("index") or 0)
    ]
    if not choices:
        reason = blocked(answer.get("promptFeedback"))
        if not reason:
            raise ValueError("there is no candidate")
        choices = [(Message(refusal=reason), CONTENT_FILTER)]
    told = usage(answer.get("usageMetadata"), wanted.service_tier)
    return completion(answer.get("responseId") or "", model, choices, told)


def _choice(candidate: Json, wanted: Wanted) -> tuple[Message, str]:
    message = Message(refusal=explanation(candidate))
    for piece in pieces(candidate, wanted.answer_tool):
        if piece.kind == "call":
            # There is no way to ask Google for one call at a time.
            if not (wanted.is_one_call and message.calls):
                message.call(piece.call_id, piece.name, piece.text)
        elif piece.kind == "image":
            message.images.append(image_part(piece.name, piece.text))
        elif piece.kind == "thought":
            message.reasoning += piece.text
        else:
            message.text += piece.text
    reason = finish_reason(
        candidate.get("finishReason") or "STOP",
        has_calls=bool(message.calls),
        has_said=bool(message.text or message.images),
    )
    return message, reason
