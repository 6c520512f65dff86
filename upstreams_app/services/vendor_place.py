"""Where a model is that LiteLLM's parameters of a vendor name (`aws_…`, `vertex_…`, `tenant_id`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway_project.core.errors import InvalidRequest
from upstreams_app.kinds import KINDS
from upstreams_app.vendors import VendorModel

ENVIRONMENT: Final = "os.environ/"


class VendorPlace(NamedTuple):
    """Where a model of a vendor is: as `Params` of a deployment, and the options of its upstream."""

    model: VendorModel
    api_base: str
    api_key: str | None
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"VendorPlace(model={self.model!r}, api_base={self.api_base!r})"


def full_name(name: str) -> str:
    """What errors call a parameter."""
    return f"litellm_params.{name}"


def variables_of(kind: str, option: str) -> tuple[str, ...]:
    """The variables of the environment that may hold an option."""
    return next(described.variables for described in KINDS[kind].options if described.name == option)


def usual_value(kind: str, option: str) -> str:
    """What the environment holds for an option, "" if nothing."""
    names = variables_of(kind, option)
    return next((os.environ[name].strip() for name in names if os.environ.get(name)), "")


def read_value(kind: str, option: str, value: str, *, name: str) -> str:
    """A parameter's value for an option: `os.environ/NAME` is read now, of the variables that may hold it."""
    if not value.startswith(ENVIRONMENT):
        return value
    variable, known = value.removeprefix(ENVIRONMENT), variables_of(kind, option)
    found = os.environ.get(variable, "").strip() if variable in known else ""
    if not found:
        raise InvalidRequest(
            f"'{name}' is read from {', '.join(known)}; this is not set.", param=full_name(name)
        )
    return found


def param_of(option: str, names: Mapping[str, str], *, otherwise: str) -> str:
    """What errors call an option that LiteLLM has another name for."""
    return full_name(next((name for name, ours in names.items() if ours == option), otherwise))


def named(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """An upstream's options by LiteLLM's names; none of them is a secret."""
    return {name: options[option] for name, option in names.items() if option in options}


def refuse_elsewhere(given: Mapping[str, Any], prefix: str) -> None:
    """InvalidRequest for the first parameter of a vendor's, where the model is not there."""
    for name in given:
        raise InvalidRequest(f"Only {prefix}/ takes '{name}'.", param=full_name(name))
