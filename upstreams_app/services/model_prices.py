"""Where a model's price comes from when nobody gives one: the catalogue, by its vendor; the demo is free."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from django.db import transaction

from security_app.services.configuration import refresh_after_commit, store
from upstreams_app.kinds import KINDS
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.presets import preset_at
from usage_app.models import Price
from usage_app.services.catalogue import PricedModel, add_missing, installed_catalogue
from usage_app.services.configured_models import ConfiguredModel
from usage_app.services.overrides import TokenPrices, copy_override, set_override

# gemini-2.5-flash-001, as Google numbers what does not change any more.
_VERSION = re.compile(r"-\d{3}$")
_FREE = TokenPrices(input=Decimal(0), output=Decimal(0))


def price_models(row: Upstream, names: Sequence[str], *, base_model: str | None = None) -> None:
    """Look up prices of models that have none set; models of local servers stay unpriced.

    The catalogue takes half a second to load at first, so call this outside of other transactions.
    `base_model` is the name to look up instead of the models' own.
    """
    if not names:
        return
    provider = _provider(row)
    if provider:
        # Loaded here, because inside a transaction SQLite would let nobody else write meanwhile.
        installed_catalogue()
    with transaction.atomic():
        if row.kind == "demo":
            ids = [f"{row.name}/{name}" for name in names]
            priced = set(Price.objects.filter(model__in=ids).values_list("model", flat=True))
            for model_id in ids:
                if model_id not in priced:
                    set_override(model_id, _FREE, managed_by="demo")
        elif provider:
            add_missing(
                PricedModel(f"{row.name}/{name}", provider, *([base_model] if base_model else _listed(name)))
                for name in names
            )
        refresh_after_commit()


def configured_models() -> Iterator[ConfiguredModel]:
    """All models, and where the catalogue may have those of vendors."""
    for model in UpstreamModel.objects.select_related("upstream").order_by("pk").iterator(1000):
        provider = _provider(model.upstream)
        listed = PricedModel(str(model), provider, *_listed(model.name)) if provider else None
        yield ConfiguredModel(str(model), listed)


def served_by(model: str) -> list[str]:
    """The models that may serve a request for this one, now or after a rest, as prices name them."""
    entry = store.current.sections["upstreams"].value.models.get(model)
    return [] if entry is None else [target.model_id for target in (*entry.targets, *entry.resting)]


def _provider(row: Upstream) -> str:
    """What the catalogue knows the vendor by: its id there, or the URL of its API; "" for local servers."""
    kind = KINDS[row.kind]
    if row.kind != "openai-compatible" and kind.price_provider is None:
        return ""
    preset = preset_at(row.kind, row.base_url)
    known = kind.price_provider or (preset.price_provider if preset else None)
    return known or (row.base_url + row.path_prefix)


def _listed(name: str) -> tuple[str, str]:
    """The name in the catalogue, and that without the number of a version, which it often does not know.

    It knows neither resources, of which a name is the end (`models/…`, `publishers/google/models/…`, ARNs),
    nor versions after an @. That `eu.anthropic.claude-…` is priced as in all regions, it does.
    """
    is_resource = name.startswith(("models/", "publishers/", "arn:aws"))
    plain = (name.rpartition("/")[2] if is_resource else name).partition("@")[0]
    return plain, _VERSION.sub("", plain)


def carry_price(old_id: str, model: UpstreamModel) -> None:
    """Keep what an administrator said a model costs when it is served by another upstream from now on."""
    new_id = str(model)
    if old_id != new_id and old_id.partition("/")[2] == model.name:
        copy_override(old_id, new_id)
