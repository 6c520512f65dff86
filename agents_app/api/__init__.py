"""The management routes of agents and of what they did."""

from ninja import Router

from agents_app.api.agents import router as agents_router
from agents_app.api.runs import router as runs_router
from agents_app.api.versions import router as versions_router

router = Router()
# Ids have slashes in them: the longer paths come first.
router.add_router("", versions_router)
router.add_router("", agents_router)
router.add_router("", runs_router)

__all__ = ["router"]
