"""The one place that decides what a principal may do, for the API, the admin and explanations alike."""

from __future__ import annotations

from typing import NamedTuple

from gateway_project.core.errors import PermissionDenied
from security_app.registry import Principal


class Decision(NamedTuple):
    """Whether something is allowed, and the rule that says so, in words."""

    is_allowed: bool
    reason: str


# Each request asks twice, and is allowed nearly always.
_HAS_SCOPE = Decision(True, "the key has the scope")
_EVERY_MODEL = Decision(True, "every model is allowed")
_MODEL_MATCHES = Decision(True, "the allowed models match")
_NO_MODEL_MATCHES = Decision(False, "no pattern of the key's allowed models matches")
_EVERY_TOOL = Decision(True, "every tool is allowed")
_TOOL_MATCHES = Decision(True, "the allowed tools match")
_NO_TOOL_MATCHES = Decision(False, "no pattern of the key's allowed tools matches")


def decide_scope(principal: Principal, scope: str) -> Decision:
    """Whether a principal may enter a door that needs this scope."""
    if scope in principal.policy.scopes:
        return _HAS_SCOPE
    return Decision(False, f"the key lacks the scope '{scope}'")


def decide_model(principal: Principal, model_id: str) -> Decision:
    """Whether a principal may use this model id."""
    if principal.policy.allows_model(model_id):
        for bound in principal.bounds:
            if not bound.allows_model(model_id):
                return _outside(bound.scope, "models")
        return _MODEL_MATCHES if principal.policy.allowed_models else _EVERY_MODEL
    return _NO_MODEL_MATCHES


def decide_tool(principal: Principal, name: str) -> Decision:
    """Whether a principal may use this tool, through whichever agent."""
    if principal.policy.allows_tool(name):
        for bound in principal.bounds:
            if not bound.allows_tool(name):
                return _outside(bound.scope, "tools")
        return _TOOL_MATCHES if principal.policy.allowed_tools else _EVERY_TOOL
    return _NO_TOOL_MATCHES


def _outside(scope: str, what: str) -> Decision:
    return Decision(False, f"no pattern of the {scope.replace('_', ' ')}'s allowed {what} matches")


def require_scope(principal: Principal, scope: str) -> None:
    """Raise PermissionDenied unless the principal has the scope."""
    decision = decide_scope(principal, scope)
    if not decision.is_allowed:
        raise PermissionDenied(f"This needs a key with the scope '{scope}'; {decision.reason}.")


def require_model(principal: Principal, model_id: str) -> None:
    """Raise PermissionDenied unless the principal may use the model."""
    decision = decide_model(principal, model_id)
    if not decision.is_allowed:
        raise PermissionDenied(
            f"This key may not use the model '{model_id}': {decision.reason}.", param="model"
        )
