"""The management routes of keys, and the keyholders that every management route asks for."""

from security_app.api.auth import admin_key, any_key
from security_app.api.keys import router

__all__ = ["admin_key", "any_key", "router"]
