"""Tools: rows of the registry."""

from tools_app.models.tool import MAX_RESULT_BYTES, MAX_TIMEOUT_S, Tool

__all__ = ["MAX_RESULT_BYTES", "MAX_TIMEOUT_S", "Tool"]
