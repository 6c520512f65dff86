"""The rules of model ids whose answers are kept, from the policies' rows: a part of building the snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway_project.core.codec import dumps
from gateway_project.core.snapshot import Diagnostic
from upstreams_app.cache_policy import EVERY_MODEL, CacheRules
from upstreams_app.models import CachePolicy

if TYPE_CHECKING:
    from upstreams_app.registry import ModelEntry, Target


def add_cache_rules(entries: dict[str, ModelEntry], left_out: list[Diagnostic]) -> None:
    """Say of each model id which of its answers are kept."""
    policies = {row.model: row for row in CachePolicy.objects.filter(is_enabled=True)}
    if not policies:
        return
    for model_id, entry in entries.items():
        row = policies.get(model_id) or policies.get(EVERY_MODEL)
        if row is None:
            continue
        targets = entry.targets + entry.resting
        if any(target.upstream.takes_client_credential for target in targets):
            # What the vendor lets one caller have is not for another one.
            if row.model == model_id:
                reason = "callers bring their own credential for this model: nothing is kept"
                left_out.append(_diagnostic(row.model, reason))
            continue
        if entry.treatment is not None and entry.treatment.templates is not None:
            # What its templates make of a request may be about who asks.
            if row.model == model_id:
                reason = "its route has templates, which may be about who asks: nothing is kept"
                left_out.append(_diagnostic(row.model, reason))
            continue
        embedder = entries.get(row.embedding_model)
        rules = CacheRules(
            row.scope,
            row.ttl_s,
            is_on_request=row.is_on_request,
            includes_tools=row.includes_tools,
            served_by=_digest_of(entry, targets),
            models=frozenset(target.model_id for target in targets),
        )
        if embedder is not None and not _why_not(embedder):
            rules = replace(
                rules,
                embedding_model=embedder.id,
                embedded_by=_digest_of(embedder, embedder.targets + embedder.resting),
                similarity=row.similarity,
            )
        entries[model_id] = replace(entry, cache=rules)
    for model_id in policies.keys() - entries.keys() - {EVERY_MODEL}:
        left_out.append(_diagnostic(model_id, "nothing has this model id"))
    for row in policies.values():
        if row.embedding_model and (reason := _why_not(entries.get(row.embedding_model))):
            left_out.append(
                _diagnostic(row.model, f"{row.embedding_model}: {reason}; only the same is found")
            )


def _why_not(embedder: ModelEntry | None) -> str:
    """What keeps a model from telling how alike questions are; "" if nothing does."""
    if embedder is None:
        return "nothing has this model id"
    if embedder.mode != "embedding":
        return "this model is not for embeddings"
    if any(target.upstream.takes_client_credential for target in embedder.targets + embedder.resting):
        return "callers bring their own credential for this model"
    if embedder.treatment is not None and embedder.treatment.templates is not None:
        return "its route has templates, which may be about who asks"
    return ""


def _diagnostic(model_id: str, reason: str) -> Diagnostic:
    return Diagnostic(CachePolicy.config_section, f"cache policy {model_id}", reason)


def _digest_of(entry: ModelEntry, targets: Iterable[Target]) -> bytes:
    """A digest of everything about a model id that may change what is answered; weights and order don't."""
    described = sorted(
        dumps(
            [
                target.upstream.id,
                target.upstream.kind,
                target.upstream.endpoints,
                target.upstream.api_version,
                target.upstream.headers,
                sorted(target.upstream.options.items()),
                target.model,
            ]
        )
        for target in targets
    )
    return sha256(dumps([*(text.decode() for text in described), *_treatment(entry)])).digest()


def _treatment(entry: ModelEntry) -> list[str]:
    """What the route adds to requests, and takes from them."""
    treatment = entry.treatment
    if treatment is None:
        return []
    members = [
        sorted((name, bytes(raw).decode()) for name, raw in changes.items())
        for changes in (treatment.defaults, treatment.overrides)
    ]
    headers = [sorted(each.items()) for each in treatment.sent_headers or ()]
    return [dumps([members, headers]).decode(), treatment.prepend.decode(), treatment.append.decode()]
