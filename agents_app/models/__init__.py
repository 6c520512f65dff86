"""What clients call as a model besides the models of upstreams."""

from agents_app.models.agent import Agent

__all__ = ["Agent"]
