"""What was used: prices, the ledger's records, counters that follow from them."""

from usage_app.models.price import Price
from usage_app.models.record import KeyUse, SpendCounter, UsageRecord

__all__ = ["KeyUse", "Price", "SpendCounter", "UsageRecord"]
