"""Trying an upstream when a person asks: does it answer, and does it still list the models that are set up?

Nothing of it costs money: no model is called.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from gateway_project.core.errors import UpstreamFailed
from upstreams_app.kinds import AZURE
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.presets import preset_at
from upstreams_app.services.discovery import list_models
from upstreams_app.services.probe_rounds import probe_upstream

MAX_MODELS = 100
LISTED: Literal["listed"] = "listed"
MISSING: Literal["missing"] = "missing"
UNTOLD: Literal["untold"] = "untold"
_OWN_CREDENTIAL = "Not asked: its callers bring their own credential."


class TriedModel(NamedTuple):
    """A model that is set up, by its public id; "untold" where its upstream's list can't tell."""

    model: str
    mode: str
    state: Literal["listed", "missing", "untold"]


class Trial(NamedTuple):
    """What came of trying one upstream; `error` is "" for one that answered. At most 100 models."""

    upstream: str
    state: Literal["ok", "failed", "not asked"]
    latency_ms: float | None
    status_code: int | None
    error: str
    models: list[TriedModel]


def try_upstream(row: Upstream) -> Trial:
    """Probe an upstream now, and look for its models in its list."""
    sample = probe_upstream(row)
    if sample is None:
        return Trial(row.name, "not asked", None, None, _OWN_CREDENTIAL, _models(row, None))
    if not sample.is_healthy:
        return Trial(
            row.name, "failed", sample.latency_ms, sample.status_code, sample.error, _models(row, None)
        )
    listed, error = _listed(row)
    state: Literal["ok", "failed"] = "failed" if error else "ok"
    return Trial(row.name, state, sample.latency_ms, sample.status_code, error, _models(row, listed))


def _listed(row: Upstream) -> tuple[frozenset[str] | None, str]:
    """The names that an upstream lists, None if that says nothing of what it serves; or what went wrong."""
    preset = preset_at(row.kind, row.base_url)
    if row.kind == AZURE or (preset is not None and preset.models):
        # Azure lists what can be deployed; some services have no list.
        return None, ""
    try:
        return frozenset(model.name for model in list_models(row)), ""
    except UpstreamFailed as error:
        return None, error.message


def _models(row: Upstream, listed: frozenset[str] | None) -> list[TriedModel]:
    rows = UpstreamModel.objects.filter(upstream=row, is_enabled=True).order_by("name")
    return [
        TriedModel(f"{row.name}/{name}", mode, _state(name, listed))
        for name, mode in rows.values_list("name", "mode")[:MAX_MODELS]
    ]


def _state(name: str, listed: frozenset[str] | None) -> Literal["listed", "missing", "untold"]:
    # What has an ARN is called by it, and listed by another name.
    if listed is None or name.startswith("arn:"):
        return UNTOLD
    return LISTED if name in listed else MISSING
