"""The fake vendor, and gateways with a module's agents, as the tests of agents have them."""

from __future__ import annotations

from tests.agents.conftest import agent_gateway, agents_root, ai
from tests.doors.conftest import shared_vendor, template, vendor

__all__ = ["agent_gateway", "agents_root", "ai", "shared_vendor", "template", "vendor"]
