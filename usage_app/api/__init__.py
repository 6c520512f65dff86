"""The usage routes; whoever mounts the router adds authentication."""

from usage_app.api.reports import router as reports_router
from usage_app.api.spend import router

__all__ = ["reports_router", "router"]
