"""What was used: prices, the ledger's records, counters and rollups that follow from them."""

from usage_app.models.alert import Alert, AlertChannel, AlertMessage, AlertRule
from usage_app.models.price import Price
from usage_app.models.record import KeyUse, SpendCounter, UsageRecord
from usage_app.models.rollup import (
    HourlyLatencyRollup,
    HourlyUsageRollup,
    LatencyRollup,
    RollupWindow,
    UsageRollup,
)

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertMessage",
    "AlertRule",
    "HourlyLatencyRollup",
    "HourlyUsageRollup",
    "KeyUse",
    "LatencyRollup",
    "Price",
    "RollupWindow",
    "SpendCounter",
    "UsageRecord",
    "UsageRollup",
]
