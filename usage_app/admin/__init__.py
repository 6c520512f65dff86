"""Usage in the admin: the ledger to look at, prices to set."""

from usage_app.admin import prices, records

__all__ = ["prices", "records"]
