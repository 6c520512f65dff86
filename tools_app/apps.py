"""The tools_app app: what agents can call."""

from django.apps import AppConfig


class ToolsConfig(AppConfig):
    """Tools: what agents can call."""

    name = "tools_app"
    verbose_name = "Tools"

    def ready(self) -> None:
        """Register the kinds of tools that need nothing of the apps above, and what the audit looks for."""
        from security_app.services.findings import register_finding_source
        from security_app.services.mcp_names import register_mcp_names
        from tools_app.kinds import register_kind
        from tools_app.kinds.http import HttpKind
        from tools_app.kinds.python import PythonKind
        from tools_app.services.mcp_findings import FAILING_SERVERS, WAITING_TOOLS
        from tools_app.services.mcp_kind import McpKind
        from tools_app.services.mcp_references import KnownNames

        register_kind(PythonKind())
        register_kind(HttpKind())
        register_kind(McpKind())
        register_finding_source(WAITING_TOOLS)
        register_finding_source(FAILING_SERVERS)
        register_mcp_names(KnownNames())
