"""What can go wrong with a run, as clients see it."""

from __future__ import annotations

from gateway_project.core.errors import GatewayError


class RunLimitExceeded(GatewayError):
    """A run wanted more turns, calls, tokens, money or time than its agent allows."""

    status = 422
    type = "agent_error"
    code = "run_limit_exceeded"


class AgentFailed(GatewayError):
    """The agent's code, or its model's answer, made a run impossible."""

    status = 500
    type = "agent_error"
    code = "agent_failed"


class ModelMissing(GatewayError):
    """The agent asks for a model that no upstream has, or for the default one where there is none."""

    status = 500
    type = "agent_error"
    code = "agent_model_not_found"
