"""Providers whose wire format is not OpenAI's: a package each, loaded when an upstream of its kind is called.

A provider makes an `Exchange` of each request (`wire.py`): OpenAI's request goes in, the vendor's comes out,
and what the vendor answers is turned back. Nothing above the upstream's client knows of it.
"""

from __future__ import annotations

from importlib import import_module

from upstreams_app.kinds import KINDS
from upstreams_app.providers.wire import Provider


def provider_of(kind: str) -> Provider | None:
    """The provider of a kind of upstream; None where the wire is OpenAI's."""
    package = KINDS[kind].provider
    if not package:
        return None
    made: Provider = import_module(f"upstreams_app.providers.{package}").provider()
    return made
