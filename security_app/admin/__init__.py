"""The admin of the security app; importing it registers everything."""

from security_app.admin import issuers, keys, people, teams

__all__ = ["issuers", "keys", "people", "teams"]
