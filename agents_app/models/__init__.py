"""The rows of agents: what operators decide about them, and what their runs did."""

from agents_app.models.agent import Agent
from agents_app.models.pending_run import PendingRun
from agents_app.models.policy import DropInPolicy
from agents_app.models.run import Run, RunStep
from agents_app.models.versions import AgentLink, AgentVersion

__all__ = ["Agent", "AgentLink", "AgentVersion", "DropInPolicy", "PendingRun", "Run", "RunStep"]
