"""The usage routes; whoever mounts the router adds authentication."""

from usage_app.api.activity import router as activity_router
from usage_app.api.alerts import router as alerts_router
from usage_app.api.costs import router as costs_router
from usage_app.api.prices import router as prices_router
from usage_app.api.reports import router as reports_router
from usage_app.api.sinks import router as sinks_router
from usage_app.api.spend import router

router.add_router("", activity_router)
router.add_router("", costs_router)
router.add_router("", prices_router)

__all__ = ["alerts_router", "reports_router", "router", "sinks_router"]
