"""The admin of the security app; importing it registers everything."""

from security_app.admin import audit, keys, people

__all__ = ["audit", "keys", "people"]
