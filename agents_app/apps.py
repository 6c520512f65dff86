"""The agents_app app: what clients call as a model besides the models of upstreams."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Agents: drop-in agents of the OpenAI Agents SDK, served as models."""

    name = "agents_app"
    verbose_name = "Agents"

    def ready(self) -> None:
        """Register the system checks, how lines of runs get into the database, and tools that are agents."""
        from agents_app import checks  # noqa: F401  (importing registers)
        from agents_app.services.agent_tool import AgentKind
        from agents_app.services.run_lines import KIND
        from agents_app.services.run_store import RunLines
        from tools_app.kinds import register_kind
        from usage_app.services.line_kinds import register_line_kind

        register_line_kind(KIND, RunLines())
        register_kind(AgentKind())
