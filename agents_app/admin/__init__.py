"""The admin of the agents app; importing it registers everything."""

from agents_app.admin import agents

__all__ = ["agents"]
