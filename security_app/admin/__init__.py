"""The admin of the security app; importing it registers everything."""

from security_app.admin import keys, people

__all__ = ["keys", "people"]
