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


class UpstreamState(models.Model):
    """The state of an upstream as it was last noted, so that a change of it can be told.

    `error_share` is the part of its calls that failed lately, as of `noted_at`; empty for too few calls.
    """

    upstream = models.OneToOneField(
        Upstream, on_delete=models.CASCADE, primary_key=True, related_name="noted_state"
    )
    state = models.CharField(max_length=12)
    since = models.DateTimeField()
    noted_at = models.DateTimeField()
    error_share = models.FloatField(null=True)

    def __str__(self) -> str:
        return f"{self.upstream_id} {self.state}"


class Heartbeat(models.Model):
    """When a background process last did a piece of its work; a row per process and piece of work."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}"
