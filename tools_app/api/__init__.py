"""The management routes of tools."""

from tools_app.api.tools import router

__all__ = ["router"]
