"""The admin of the tools app; importing it registers everything."""

from tools_app.admin import tools

__all__ = ["tools"]
