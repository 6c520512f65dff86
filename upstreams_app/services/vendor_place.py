"""Where a model is that LiteLLM's parameters of a vendor name (`aws_…`, `vertex_…`)."""

from __future__ import annotations

from typing import Any, NamedTuple

from upstreams_app.vendors import VendorModel


class VendorPlace(NamedTuple):
    """Where a model of a vendor is: as `Params` of a deployment, and the options of its upstream."""

    model: VendorModel
    api_base: str
    api_key: str | None
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"VendorPlace(model={self.model!r}, api_base={self.api_base!r})"
