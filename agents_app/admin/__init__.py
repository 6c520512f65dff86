"""The admin of the agents app; importing it registers everything."""

from agents_app.admin import agents, policies, runs

__all__ = ["agents", "policies", "runs"]
