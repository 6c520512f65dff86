"""The agents_app app: what clients call as a model besides the models of upstreams."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Agents: drop-in agents of the OpenAI Agents SDK, served as models."""

    name = "agents_app"
    verbose_name = "Agents"

    def ready(self) -> None:
        """Register the system checks, and the kind of tools that are agents."""
        from agents_app import checks  # noqa: F401  (importing registers)
        from agents_app.services.agent_tool import AgentKind
        from tools_app.kinds import register_kind

        register_kind(AgentKind())
