"""Usage in the admin: the ledger to look at, prices and alerts to set, reports to make."""

from usage_app.admin import alerts, exports, price_changes, prices, records, reports, sinks

__all__ = ["alerts", "exports", "price_changes", "prices", "records", "reports", "sinks"]
