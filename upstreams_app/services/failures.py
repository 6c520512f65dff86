"""What a failed call becomes for the client, and whether another target may be tried.

Only what helps the caller passes through from the upstream: the message, parameter and code of errors
that the request itself caused. Everything else is told in our own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway_project.core.codec import loads
from gateway_project.core.errors import (
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PayloadTooLarge,
    RateLimited,
    UpstreamFailed,
    UpstreamTimeout,
)
from upstreams_app.kinds import KINDS
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.route_policy import (
    CONNECTION,
    CONTENT_POLICY,
    CONTEXT_WINDOW,
    CREDENTIAL,
    GENERAL,
    NOT_FOUND,
    OVERLOADED,
    RATE_LIMITED,
    SERVER_ERROR,
    TIMEOUT,
)
from upstreams_app.route_treatment import Maintenance

_MAX_MESSAGE_CHARS = 2000
# Clients that would wait longer for a limit to reset keep a person waiting.
_LONGEST_WAIT_S = 60
_CALLER_FAULTS = frozenset({400, 409, 413, 415, 422})
_CONTENT_CODES = frozenset({"content_policy_violation", "content_filter", "responsibleaipolicyviolation"})
CONTEXT_CODE: Final = "context_length_exceeded"
# As OpenAI, Anthropic, vLLM, LM Studio, Ollama, llama.cpp and TensorRT-LLM (the last two) put it.
_CONTEXT_WORDS = (
    "maximum context length", "context window", "context length", "prompt is too long", "context size",
    "max_seq_len", "max_num_tokens",
)  # fmt: skip


class CredentialRefused(UpstreamFailed):
    """The upstream does not take the gateway's credential."""


class Unreachable(UpstreamFailed):
    """No usable answer came."""


def _detail(body: bytes) -> dict[str, Any]:
    """The error object in an upstream's answer, in any of the forms that servers use."""
    try:
        parsed = loads(body)
    except ValueError:
        return {}
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    if isinstance(error, str):
        return {"message": error}
    if not isinstance(error, dict):
        return {}
    if "message" not in error and isinstance(error.get("detail"), str):
        return {"message": error["detail"]}
    return error


def _text(value: object) -> str | None:
    return value[:_MAX_MESSAGE_CHARS] if isinstance(value, str) and value else None


def _safe(value: object, target: Target, secrets: tuple[str, ...]) -> str | None:
    """A text of the upstream's without the credentials and extra headers that were sent."""
    message = _text(value)
    if message is None:
        return None
    extra = (text for _, text in target.upstream.headers)
    for secret in (target.upstream.credential, *extra, *secrets):
        if len(secret) >= 8:
            message = message.replace(secret, "[redacted]")
    return message


def from_answer(
    status: int, headers: Mapping[str, str], body: bytes, target: Target, *, secrets: tuple[str, ...] = ()
) -> GatewayError:
    """The error for an upstream's answer that is not a success."""
    name = target.upstream.name
    detail = _detail(body)
    message = _safe(detail.get("message"), target, secrets)
    code = _safe(detail.get("code"), target, secrets)
    if (status in (400, 422) or (status == 500 and _is_local(target))) and _tells_of_length(message):
        return _too_long(detail, target, secrets)
    if status in _CALLER_FAULTS:
        kind = PayloadTooLarge if status == 413 else InvalidRequest
        return kind(
            message or f"Upstream '{name}' refused the request with status {status}.",
            param=_safe(detail.get("param"), target, secrets),
            code=code,
            status=status,
        )
    if status == 404:
        return ModelNotFound(
            message or f"Upstream '{name}' does not know the model '{target.model}'.", param="model"
        )
    if status == 429:
        text = message or f"Upstream '{name}' is rate limited."
        return RateLimited(text, code=code, headers=_wait(headers))
    if status in (401, 403):
        return CredentialRefused(f"Upstream '{name}' refused the gateway's credential (status {status}).")
    if 300 <= status < 400:
        return UpstreamFailed(
            f"Upstream '{name}' answered with a redirect (status {status}); redirects are not followed."
        )
    # Who is overloaded may say for how long.
    pause = _wait(headers) if status == 503 else {}
    return UpstreamFailed(f"Upstream '{name}' answered with status {status}.", headers=pause)


def _wait(headers: Mapping[str, str]) -> dict[str, str]:
    """How long the upstream wants to be left alone, as our own headers."""
    retry_after = headers.get("Retry-After", "")
    if not retry_after.isdecimal() or not retry_after.isascii() or len(retry_after) > 6:
        return {}
    known = {"retry-after": retry_after}
    if int(retry_after) > _LONGEST_WAIT_S:
        known["x-should-retry"] = "false"
    return known


def _is_local(target: Target) -> bool:
    """Whether it is a server of one's own: those answer what they can't serve with 500."""
    return KINDS[target.upstream.kind].local_port is not None


def _tells_of_length(message: str | None) -> bool:
    text = (message or "").lower()
    return any(words in text for words in _CONTEXT_WORDS)


def _too_long(detail: dict[str, Any], target: Target, secrets: tuple[str, ...]) -> InvalidRequest:
    """The error for a prompt that the model has no room for: clients know it by its code."""
    message = _safe(detail.get("message"), target, secrets)
    param = _safe(detail.get("param"), target, secrets)
    return InvalidRequest(message or "The prompt is too long.", param=param or "messages", code=CONTEXT_CODE)


# How vendors name it in a stream, where there is no status, that they refuse a credential.
_CREDENTIAL_FAULTS = frozenset(
    {"invalid_api_key", "authentication_error", "permission_error", "unauthorized", "forbidden", "401", "403"}
)


def from_event(body: bytes, target: Target, *, secrets: tuple[str, ...] = ()) -> GatewayError:
    """The error for an error value inside a stream; before the first data it also becomes the status."""
    detail = _detail(b'{"error":' + body + b"}")
    status = detail.get("status", detail.get("code"))
    words = {str(detail.get(name)).lower() for name in ("status", "code", "type")}
    if words & _CREDENTIAL_FAULTS:
        return CredentialRefused(f"Upstream '{target.upstream.name}' refused the gateway's credential.")
    if isinstance(status, int) and 400 <= status < 600:
        return from_answer(status, {}, b'{"error":' + body + b"}", target, secrets=secrets)
    message = _safe(detail.get("message"), target, secrets)
    if _tells_of_length(message):
        return _too_long(detail, target, secrets)
    reported = f": {message}" if message else "."
    text = f"Upstream '{target.upstream.name}' reported an error{reported}"
    return UpstreamFailed(text, code=_safe(detail.get("code"), target, secrets))


def from_success(body: bytes, target: Target, *, secrets: tuple[str, ...] = ()) -> GatewayError:
    """The error for an error value in an answer whose status says that all is well."""
    error = from_event(body, target, secrets=secrets)
    if error.code == CONTEXT_CODE:
        return error
    return unreachable(target, "it reported an error with a status of success")


def unreachable(target: Target, reason: str) -> UpstreamFailed:
    """The error for an upstream that gave no usable answer."""
    return Unreachable(f"Upstream '{target.upstream.name}': {reason}.")


def timed_out(target: Target, phase: str, seconds: float | None = None) -> UpstreamTimeout:
    """The error for a phase that took too long."""
    limit = f" within {seconds:g} s" if seconds is not None else " in time"
    return UpstreamTimeout(f"Upstream '{target.upstream.name}' did not finish the phase '{phase}'{limit}.")


def in_maintenance(entry: ModelEntry) -> Overloaded:
    """The error for a model whose upstreams are all in maintenance."""
    return Overloaded(
        f"The model '{entry.id}' is in maintenance and takes no calls now.",
        code="upstream_in_maintenance",
        headers={"retry-after": "60", "x-should-retry": "false"},
    )


def resting(entry: ModelEntry, maintenance: Maintenance) -> Overloaded:
    """The error of a route that is in maintenance itself."""
    return Overloaded(
        maintenance.message or f"'{entry.id}' is in maintenance and takes no calls now.",
        code="route_in_maintenance",
        headers={"retry-after": "60", "x-should-retry": "false"},
    )


def no_target(entry: ModelEntry) -> InvalidRequest:
    """The error where the conditions and tags of a route's targets leave none for a request."""
    return InvalidRequest(
        f"No target of '{entry.id}' takes this request, by their conditions and tags.",
        param="model",
        code="no_matching_target",
    )


def breaker_open(target: Target, wait_s: float) -> Overloaded:
    """The error for a model that failed so often that it gets no calls for a while."""
    return Overloaded(
        f"'{target.model_id}' failed repeatedly and is not asked for another {max(1, round(wait_s))} s.",
        code="upstream_circuit_open",
        headers={"retry-after": str(max(1, round(wait_s)))},
    )


def fault_of(error: GatewayError) -> str | None:
    """Which of `route_policy.FAULTS` an error is; None if the request itself is at fault."""
    if isinstance(error, RateLimited):
        return RATE_LIMITED
    if isinstance(error, UpstreamTimeout):
        return TIMEOUT
    if isinstance(error, ModelNotFound):
        return NOT_FOUND
    if isinstance(error, CredentialRefused):
        return CREDENTIAL
    if isinstance(error, Unreachable):
        return CONNECTION
    if isinstance(error, UpstreamFailed):
        return SERVER_ERROR
    return OVERLOADED if error.status == 503 else None


def retry_after_s(error: GatewayError) -> float:
    """How long the upstream wants to be left alone; 0 if it does not say, or more than a minute."""
    text = error.headers.get("retry-after", "")
    seconds = int(text) if text.isdecimal() and text.isascii() else 0
    return float(seconds) if seconds <= _LONGEST_WAIT_S else 0.0


def wants_long_pause(error: GatewayError) -> bool:
    """Whether asking the same upstream again would only be in vain within a minute."""
    text = error.headers.get("retry-after", "")
    return text.isdecimal() and text.isascii() and int(text) > _LONGEST_WAIT_S


def fallback_kind(error: GatewayError) -> str | None:
    """Which kind of fallback may help; None for what every model would refuse, or the operator wants told."""
    if error.code == "route_in_maintenance":
        return None
    if fault_of(error) is not None:
        return GENERAL
    code = str(error.code or "").lower()
    if code in _CONTENT_CODES:
        return CONTENT_POLICY
    if error.status in (400, 413) and (code == CONTEXT_CODE or _tells_of_length(error.message)):
        return CONTEXT_WINDOW
    return None


def note_attempts(error: GatewayError, attempts: Sequence[tuple[Target, GatewayError]]) -> None:
    """Have the final error list what was tried; clients must not multiply our own attempts."""
    if error.status >= 500 and attempts:
        error.headers["x-should-retry"] = "false"
    if len(attempts) > 1:
        tried = "; ".join(f"{target.model_id}: {failure.message}" for target, failure in attempts)
        error.message = f"All {len(attempts)} attempts failed. {tried}"
