"""What lists show beside an upstream, in their own query: its last probe and the number of its models."""

from __future__ import annotations

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from upstreams_app.models import HealthSample, Upstream, UpstreamModel

PROBE_COLUMNS = ("is_healthy", "latency_ms", "status_code", "error", "at")


def with_last_probe(rows: QuerySet[Upstream]) -> QuerySet[Upstream]:
    """Upstreams with the columns of their last probe as `last_…`; all None for one that was never asked."""
    last = HealthSample.objects.filter(upstream=OuterRef("pk")).order_by("-at")
    return rows.annotate(**{f"last_{name}": Subquery(last.values(name)[:1]) for name in PROBE_COLUMNS})


def with_model_count(rows: QuerySet[Upstream]) -> QuerySet[Upstream]:
    """Upstreams with the number of their models as `model_count`."""
    models = UpstreamModel.objects.filter(upstream=OuterRef("pk")).order_by().values("upstream")
    count = Subquery(models.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
    return rows.annotate(model_count=Coalesce(count, 0))
