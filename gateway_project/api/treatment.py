"""Requests as a route wants them, whichever door they came by and whoever serves them."""

from __future__ import annotations

from typing import Protocol

from gateway_project.api.exchange import Exchange
from gateway_project.core.codec import RawFields, join_object
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.route_treatment import Treatment
from upstreams_app.services.questions import ask_about


class Forms(Protocol):
    """One request in the words of each of those who may serve it."""

    def for_agent(self) -> RawFields:
        """As agents are asked: in OpenAI's words."""
        ...

    def for_target(self, target: Target) -> RawFields:
        """As a target of a model is asked, in a mapping of its own; InvalidRequest for what it can't do."""
        ...


class _Treated:
    """The forms of a request, each as the route wants it."""

    def __init__(self, forms: Forms, treatment: Treatment) -> None:
        self._forms = forms
        self._treatment = treatment

    def for_agent(self) -> RawFields:
        return self._treatment.apply(self._forms.for_agent())

    def for_target(self, target: Target) -> RawFields:
        return self._treatment.apply(self._forms.for_target(target))


def treatment_of(
    exchange: Exchange, entry: ModelEntry, fields: RawFields, *, path: str, is_stream: bool
) -> Treatment | None:
    """What the route does to this very request; None where it does nothing, as mostly."""
    treatment = entry.treatment
    if treatment is None or treatment.templates is None:
        return treatment
    question = ask_about(
        exchange.caller(), entry.id, path, lambda: fields, is_stream=is_stream, headers=exchange.headers
    )
    return treatment.resolved(question.values)


def treated(
    treatment: Treatment, fields: RawFields, body: bytes, forms: Forms | None
) -> tuple[RawFields, bytes, Forms | None]:
    """Members, body and forms of a request after the route's treatment: limits are held for what is sent."""
    if not treatment.changes_body:
        return fields, body, forms
    changed = treatment.apply(fields)
    return changed, join_object(changed), None if forms is None else _Treated(forms, treatment)
