"""The management routes of agents."""

from agents_app.api.agents import router

__all__ = ["router"]
