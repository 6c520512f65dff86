"""The admin of the security app; importing it registers everything."""

from security_app.admin import access, keys, people

__all__ = ["access", "keys", "people"]
