"""The sections of the snapshot, in the order in which they are built."""

from __future__ import annotations

from agents_app import registry as agents
from security_app import registry as security
from security_app.registry import content, limits
from security_app.services.configuration import store
from tools_app import registry as tools
from upstreams_app import registry as upstreams
from usage_app import registry as usage

__all__ = ["store"]

store.register(security.SECTION, security.build)
store.register(security.PEOPLE, security.build_people)
store.register(security.RULES, security.build_rules)
store.register(security.DOORS, security.build_doors)
store.register(limits.SECTION, limits.build)
store.register(content.SECTION, content.build)
store.register(usage.SECTION, usage.build)
store.register(upstreams.SECTION, upstreams.build)
store.register(tools.SECTION, tools.build)
store.register(agents.FOLDERS, agents.build_folders, compares=True)
store.register(agents.SECTION, agents.build, follows=(upstreams.SECTION, tools.SECTION, agents.FOLDERS))
