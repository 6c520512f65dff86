"""Usage in the admin: the ledger to look at, prices and alerts to set."""

from usage_app.admin import alerts, prices, records

__all__ = ["alerts", "prices", "records"]
