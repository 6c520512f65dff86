"""The admin of the security app; importing it registers everything."""

from security_app.admin import access, audit, keys, people

__all__ = ["access", "audit", "keys", "people"]
