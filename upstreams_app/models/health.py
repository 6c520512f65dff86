"""What probes and traffic found: run-time facts, apart from the configuration."""

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
    """What is known of an upstream now, and what was last told of it.

    `verdict` is what probes and calls say as of `noted_at` (services/verdicts.py), and counts until
    `fresh_until`. `state` and `since` are what was told: a maintenance, or the verdict. `error_share` is the
    part of its calls that failed lately; empty for too few calls. Until `barred_until` a server process keeps
    calls away from the models named in `barred`, for they failed there.
    """

    upstream = models.OneToOneField(
        Upstream, on_delete=models.CASCADE, primary_key=True, related_name="noted_state"
    )
    state = models.CharField(max_length=12)
    since = models.DateTimeField()
    noted_at = models.DateTimeField()
    error_share = models.FloatField(null=True)
    verdict = models.CharField(max_length=12, default="unknown")
    reason = models.CharField(max_length=300, blank=True)
    fresh_until = models.DateTimeField(null=True)
    next_probe_at = models.DateTimeField(null=True, help_text="Empty: as soon as somebody looks.")
    barred_until = models.DateTimeField(null=True)
    barred = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.upstream_id} {self.state}"


class StateChange(models.Model):
    """A change of an upstream's state, as it was told. Kept for `HEALTH_HISTORY_DAYS`."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="state_changes")
    at = models.DateTimeField()
    previous = models.CharField(max_length=12)
    state = models.CharField(max_length=12)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-at", "-id")
        indexes = [
            models.Index(fields=["upstream", "-at"], name="state_change_upstream_at"),
            models.Index(fields=["at"], name="state_change_at"),
        ]

    def __str__(self) -> str:
        return f"{self.upstream_id} {self.state} {self.at:%Y-%m-%d %H:%M:%S}"


class Heartbeat(models.Model):
    """When a background process last did a piece of its work; a row per process and piece of work."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}"
