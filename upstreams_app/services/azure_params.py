"""LiteLLM's parameters of Microsoft Entra (`tenant_id` and its like), for upstreams of Azure OpenAI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.kinds import AZURE
from upstreams_app.options import WrongOption
from upstreams_app.providers.azure.options import check_azure_options
from upstreams_app.services import vendor_place
from upstreams_app.services.vendor_place import VendorPlace, full_name, param_of
from upstreams_app.vendors import VendorModel

KIND: Final = AZURE
_OPTIONS: Final = {"tenant_id": "tenant_id", "client_id": "client_id"}
_SECRET: Final = "client_secret"  # noqa: S105  (a name)
_TOKEN: Final = "azure_ad_token"  # noqa: S105  (a name)
NAMES: Final = (*_OPTIONS, _SECRET, _TOKEN)


def azure_place(
    parsed: VendorModel,
    azure: Mapping[str, str],
    *,
    api_base: str | None,
    api_key: str | None,
    known: Mapping[str, Any],
) -> VendorPlace:
    """What the parameters say, over the options that are `known`; InvalidRequest names the wrong one.

    `api_base` stays as it is given, "" where it is not: another has to demand it.
    """
    given = {name: value for name, value in azure.items() if value}
    options = dict(known)
    for name, option in _OPTIONS.items():
        if name in given:
            options[option] = vendor_place.read_value(KIND, option, given[name], name=name)
    credential = _credential(given, api_key)
    if credential and _SECRET not in given:
        # A key or token in place of the application that there was.
        for name in _OPTIONS.keys() & given.keys():
            raise InvalidRequest(f"With '{name}' goes '{_SECRET}'.", param=full_name(_SECRET))
        options = {}
    try:
        check_azure_options(options)
    except WrongOption as error:
        param = param_of(error.option, _OPTIONS, otherwise=_SECRET)
        raise InvalidRequest(f"Azure: {error}", param=param) from error
    if _SECRET in given and "tenant_id" not in options:
        raise InvalidRequest(f"With '{_SECRET}' goes 'tenant_id'.", param=full_name("tenant_id"))
    if not known and options and credential is None:
        raise InvalidRequest(f"With 'tenant_id' goes '{_SECRET}'.", param=full_name(_SECRET))
    return VendorPlace(parsed, api_base or "", credential, options)


def named(options: Mapping[str, Any]) -> dict[str, Any]:
    """An upstream's options by LiteLLM's names; none of them is a secret."""
    return vendor_place.named(options, _OPTIONS)


def refuse_elsewhere(azure: Mapping[str, str]) -> None:
    """InvalidRequest for the first parameter of Entra's, where the model is not at Azure."""
    vendor_place.refuse_elsewhere(azure, "azure")


def _credential(given: Mapping[str, str], api_key: str | None) -> str | None:
    """The one secret among them; None if nothing is said of it."""
    secrets = {name: given[name] for name in (_SECRET, _TOKEN) if name in given}
    if api_key:
        secrets["api_key"] = api_key
    if len(secrets) > 1:
        first, second, *_ = secrets
        raise InvalidRequest(f"Give '{first}' or '{second}'.", param=full_name(first))
    if secrets.get(_TOKEN, "").startswith("oidc/"):
        raise InvalidRequest(
            "Tokens of other issuers are not exchanged; the option 'identity' of an upstream takes the "
            "machine's workload identity.",
            param=full_name(_TOKEN),
        )
    return next(iter(secrets.values()), api_key)
