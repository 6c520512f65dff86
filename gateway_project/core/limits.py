"""The settings that the request path looks at, as plain attributes.

Django's settings object runs Python code for each attribute, about a microsecond: here they are read once.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.signals import setting_changed


class Limits:
    """Durations in seconds, sizes in bytes; each is the setting of the same name in capitals."""

    __slots__ = (
        "body_timeout_s",
        "client_stall_s",
        "heartbeat_s",
        "max_body_bytes",
        "max_spool_bytes",
        "max_upload_bytes",
        "stream_header_wait_s",
    )

    def read(self, **_changed: Any) -> None:
        """Take the values from Django's settings."""
        self.body_timeout_s: float = settings.BODY_TIMEOUT_S
        self.client_stall_s: float = settings.CLIENT_STALL_S
        self.heartbeat_s: float = settings.HEARTBEAT_S
        self.max_body_bytes: int = settings.MAX_BODY_BYTES
        self.max_spool_bytes: int = settings.MAX_SPOOL_BYTES
        self.max_upload_bytes: int = settings.MAX_UPLOAD_BYTES
        self.stream_header_wait_s: float = settings.STREAM_HEADER_WAIT_S


limits = Limits()
limits.read()
# Sent where settings are overridden for a while, as tests do.
setting_changed.connect(limits.read, weak=False)
