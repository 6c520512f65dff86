"""For the code of agents: tools of the gateway's registry.

from agents_app.tools import use_gateway_tool

agent = Agent(name="Clerk", tools=[use_gateway_tool("find_order")])
"""

from __future__ import annotations

from agents_app.sdk.gateway_tools import use_gateway_tool

__all__ = ["gateway_tool", "use_gateway_tool"]

gateway_tool = use_gateway_tool
