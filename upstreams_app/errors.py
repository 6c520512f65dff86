"""What goes wrong between the gateway and an upstream, before it becomes an answer for a client."""

from __future__ import annotations


class UpstreamUnreachable(Exception):
    """No answer came: the connection failed, broke, or spoke no HTTP. The text names no secret."""


class StaleConnection(UpstreamUnreachable):
    """A kept connection died before any byte of an answer came; the request may be sent once more."""


class CallerCredentialUnusable(UpstreamUnreachable):
    """The credential that the client brought, or did not bring, can't be used: no fault of the upstream."""
