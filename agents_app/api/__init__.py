"""The management routes of agents and of what they did."""

from ninja import Router

from agents_app.api.agents import router as agents_router
from agents_app.api.runs import router as runs_router

router = Router()
router.add_router("", agents_router)
router.add_router("", runs_router)

__all__ = ["router"]
