"""What was used: prices, the ledger's records, counters and rollups that follow from them."""

from usage_app.models.alert import Alert, AlertChannel, AlertMessage, AlertRule
from usage_app.models.bucket import Bucket
from usage_app.models.price import Price
from usage_app.models.price_change import PriceChange
from usage_app.models.record import KeyUse, SpendCounter, UsageRecord
from usage_app.models.refusal import RefusedCalls
from usage_app.models.report import Report, ReportExport
from usage_app.models.rollup import (
    DailyEndUserRollup,
    DailyTagRollup,
    DailyUsageRollup,
    HourlyLatencyRollup,
    HourlyUsageRollup,
    LatencyRollup,
    Reconciliation,
    RollupDay,
    RollupWindow,
    UsageGroup,
    UsageRollup,
)
from usage_app.models.sink import SinkState, UsageEvent, UsageSink

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertMessage",
    "AlertRule",
    "Bucket",
    "DailyEndUserRollup",
    "DailyTagRollup",
    "DailyUsageRollup",
    "HourlyLatencyRollup",
    "HourlyUsageRollup",
    "KeyUse",
    "LatencyRollup",
    "Price",
    "PriceChange",
    "Reconciliation",
    "RefusedCalls",
    "Report",
    "ReportExport",
    "RollupDay",
    "RollupWindow",
    "SinkState",
    "SpendCounter",
    "UsageEvent",
    "UsageGroup",
    "UsageRecord",
    "UsageRollup",
    "UsageSink",
]
