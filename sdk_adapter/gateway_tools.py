"""The same as `agents_app.tools`, where existing drop-in agents look for it."""

from __future__ import annotations

from agents_app.tools import gateway_tool, use_gateway_tool

__all__ = ["gateway_tool", "use_gateway_tool"]
