"""The admin of the security app; importing it registers everything."""

from security_app.admin import access, issuers, keys, people, teams

__all__ = ["access", "issuers", "keys", "people", "teams"]
