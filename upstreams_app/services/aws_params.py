"""LiteLLM's parameters for models on AWS (`aws_…`), as what an upstream of the kind bedrock is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.options import WrongOption
from upstreams_app.providers import provider_of
from upstreams_app.services import vendor_place
from upstreams_app.services.vendor_place import ENVIRONMENT, VendorPlace, full_name, param_of, usual_value
from upstreams_app.vendors import VendorModel

KIND: Final = "bedrock"
ENDPOINT: Final = "aws_bedrock_runtime_endpoint"
_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_REGION: Final = "aws_region_name"
# LiteLLM's names and ours.
_OPTIONS: Final = {
    _REGION: "region",
    "aws_role_name": "role_arn",
    "aws_session_name": "session_name",
    "aws_external_id": "external_id",
    "aws_profile_name": "profile",
}
NAMES: Final = (*_KEYS, *_OPTIONS, ENDPOINT)
# bedrock/converse/NAME, bedrock/us-east-1/NAME: LiteLLM's routes and regions before the model's own name.
_ROUTE = re.compile(r"(?:converse|converse_like|invoke)/")
_REGION_BEFORE = re.compile(r"([a-z]{2,5}(?:-[a-z]+){1,3}-\d{1,2})/")
_REGION_IN_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]+):")


def aws_place(
    parsed: VendorModel,
    aws: Mapping[str, str],
    *,
    api_base: str | None,
    api_key: str | None,
    known: Mapping[str, Any],
) -> VendorPlace:
    """What the parameters say, over the options that are `known`; InvalidRequest names the wrong one.

    Without a region among them the model's name tells it, else the address, else the server's environment.
    """
    given = {name: value for name, value in aws.items() if value}
    options = {**known, **{_OPTIONS[name]: value for name, value in given.items() if name in _OPTIONS}}
    if _REGION in given:
        options["region"] = vendor_place.read_value(KIND, "region", given[_REGION], name=_REGION)
    model = _ROUTE.sub("", parsed.model, count=1) if _ROUTE.match(parsed.model) else parsed.model
    if found := _REGION_BEFORE.match(model):
        model = model[found.end() :]
        options.setdefault("region", found[1])
    if found := _REGION_IN_ARN.match(model):
        options.setdefault("region", found[1])
    base = given.get(ENDPOINT) or api_base
    if base is None and "region" not in options:
        options["region"] = _usual_region()
    provider = provider_of(KIND)
    if provider is None:
        raise RuntimeError("the kind has no provider")
    try:
        provider.check_options(options)
    except WrongOption as error:
        raise InvalidRequest(
            f"AWS: {error}", param=param_of(error.option, _OPTIONS, otherwise=_REGION)
        ) from error
    return VendorPlace(
        VendorModel(parsed.vendor, model),
        base or provider.base_url(options),
        _credential(given, api_key),
        options,
    )


def named(options: Mapping[str, Any]) -> dict[str, Any]:
    """An upstream's options by LiteLLM's names; none of them is a secret."""
    return vendor_place.named(options, _OPTIONS)


def refuse_elsewhere(aws: Mapping[str, str]) -> None:
    """InvalidRequest for the first parameter of AWS's, where the model is not there."""
    vendor_place.refuse_elsewhere(aws, "bedrock")


def _credential(given: Mapping[str, str], api_key: str | None) -> str | None:
    """Keys as one text, "" for the machine's own, None if nothing is said of them."""
    keys = [given.get(name, "") for name in _KEYS]
    if not any(keys):
        return api_key
    if api_key:
        raise InvalidRequest("Give 'api_key' or keys of AWS.", param=full_name(_KEYS[0]))
    for name, value in zip(_KEYS[:2], keys, strict=False):
        if not value:
            raise InvalidRequest(f"'{name}' is missing.", param=full_name(name))
    machines = [f"{ENVIRONMENT}{name.upper()}" for name in _KEYS]
    if keys[:2] == machines[:2] and keys[2] in ("", machines[2]):
        return ""
    for name, value in zip(_KEYS, keys, strict=True):
        if value.startswith(ENVIRONMENT):
            raise InvalidRequest(
                f"Of the environment only {name.upper()} is read, with the other keys of that name.",
                param=full_name(name),
            )
        if ":" in value or not value.isascii() or not value.isprintable():
            raise InvalidRequest(f"'{name}' is no key of AWS.", param=full_name(name))
    return ":".join(filter(None, keys))


def _usual_region() -> str:
    found = usual_value(KIND, "region")
    if not found:
        raise InvalidRequest(f"'bedrock/' needs '{_REGION}'.", param=full_name(_REGION))
    return found
