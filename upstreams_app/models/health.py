"""What probes found: run-time facts, apart from the configuration."""

from __future__ import annotations

from django.db import models

from upstreams_app.models.upstream import Upstream


class HealthSample(models.Model):
    """One probe of one upstream. Kept for `HEALTH_RETENTION_HOURS`."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="health_samples")
    at = models.DateTimeField()
    is_healthy = models.BooleanField()
    status_code = models.PositiveSmallIntegerField(null=True, help_text="HTTP status; empty if none came.")
    latency_ms = models.FloatField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-at",)
        indexes = [
            models.Index(fields=["upstream", "-at"], name="health_upstream_at"),
            models.Index(fields=["at"], name="health_at"),
        ]

    def __str__(self) -> str:
        return f"{self.upstream_id} {self.at:%Y-%m-%d %H:%M:%S}"
