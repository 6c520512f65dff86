"""The usage routes; whoever mounts the router adds authentication."""

from usage_app.api.spend import router

__all__ = ["router"]
