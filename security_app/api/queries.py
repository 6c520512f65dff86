"""Query strings of management routes: a parameter that is unknown or repeated is an error, not noise."""

from __future__ import annotations

from django.http import HttpRequest
from pydantic import BaseModel

from gateway_project.core.errors import InvalidRequest


def refuse_unknown_parameters(request: HttpRequest, known: type[BaseModel] | None = None) -> None:
    """InvalidRequest, naming the parameter, if the query has more than the fields of `known`."""
    names = known.model_fields if known is not None else {}
    for name in request.GET:
        if name not in names:
            raise InvalidRequest(f"Unknown query parameter: '{name[:100]}'.", param=name[:100])
        if len(request.GET.getlist(name)) > 1:
            raise InvalidRequest(f"'{name}' is given more than once.", param=name)


def page_count(total: int, size: int) -> int:
    """How many pages of `size` rows there are."""
    return -(-total // size)
