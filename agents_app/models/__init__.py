"""What clients call as a model besides the models of upstreams."""

from agents_app.models.agent import Agent
from agents_app.models.policy import DropInPolicy

__all__ = ["Agent", "DropInPolicy"]
