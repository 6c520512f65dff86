"""The management routes of keys and access, and the keyholders that every management route asks for."""

from security_app.api.access import router as access_router
from security_app.api.auth import admin_key, any_key
from security_app.api.decisions import router as decisions_router
from security_app.api.keys import router

__all__ = ["access_router", "admin_key", "any_key", "decisions_router", "router"]
