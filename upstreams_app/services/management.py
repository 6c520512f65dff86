"""Making, changing and ending upstreams, for the API, the admin and the first start alike."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, Value
from django.db.models.functions import Concat, Substr

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from gateway_project.core.outbound import check_url
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit
from upstreams_app.kinds import AZURE, KINDS, on_one_line
from upstreams_app.models import Route, Upstream
from upstreams_app.presets import PRESETS
from upstreams_app.providers import provider_of
from upstreams_app.registry import upstream_config
from upstreams_app.secret_hints import masked_headers, unmasked_headers
from upstreams_app.services.maintenance import check_end
from upstreams_app.services.states import look_anew
from usage_app.models import Price

logger = logging.getLogger(__name__)
Source = Upstream.CredentialSource
# What a body may call them; the columns have names that say more.
_API_NAMES = {"credential_reference": "credential", "credential_source": "credential"}


def create_upstream(
    *,
    actor: str,
    preset: str | None = None,
    api_key: str | None = None,
    credential: str | None = None,
    **values: Any,
) -> Upstream:
    """Make an upstream; `values` are fields of Upstream. InvalidRequest, or Conflict for a name that exists.

    `preset` is the id of one of PRESETS, which fills in what `values` leave out.
    `api_key` is stored encrypted; `credential` is `env:NAME`, `file:/path`, `client` or `none`.
    """
    if preset is not None:
        values = _preset_values(preset) | values
    kind = KINDS.get(values.get("kind", ""))
    if kind is not None:
        values.setdefault("base_url", kind.base_url)
        values.setdefault("path_prefix", kind.path_prefix)
    row = Upstream(**values)
    _normalise(row)
    set_credential(row, api_key=api_key, credential=credential)
    check_upstream(row)
    check_end(row)
    with transaction.atomic():
        row.save(force_insert=True)
        refresh_after_commit()
    logger.info("upstream.created", extra={"upstream": row.name, "kind": row.kind, "actor": actor})
    return row


def update_upstream(
    row: Upstream, *, actor: str, api_key: str | None = None, credential: str | None = None, **values: Any
) -> Upstream:
    """Change fields of an upstream, and no others; a new name takes the prices of its models along.

    A header whose value is given masked, as it is shown, keeps its value.
    """
    old_name, old_url, old_hosts = row.name, row.base_url, hosts_of(row.base_url, row.extra_endpoints)
    given_headers = values.get("headers", masked_headers(row.headers))
    if "headers" in values:
        values["headers"] = unmasked_headers(given_headers, stored=row.headers)
    old_maintenance = row.is_in_maintenance, row.maintenance_until
    implied = implied_url(row.kind, row.options)
    for name, value in values.items():
        setattr(row, name, value)
    if "base_url" not in values and row.base_url == implied:
        # Another region has another address.
        row.base_url = implied_url(row.kind, row.options) or implied
    _normalise(row)
    changed = set(values) | set_credential(row, api_key=api_key, credential=credential)
    if row.base_url != old_url:
        # Another prefix or kind may have taken something off its end.
        changed.add("base_url")
    check_upstream(row)
    # One whose time has come since may stand until a worker ends it.
    if (row.is_in_maintenance, row.maintenance_until) != old_maintenance:
        check_end(row)
    if hosts_of(row.base_url, row.extra_endpoints) - old_hosts:
        # Else whoever may change the address could have what is kept secret sent to a host of theirs.
        if api_key is None and credential is None and row.credential_source == Source.STORED:
            raise InvalidRequest("Give 'api_key' again when the host changes.", param="api_key")
        if given_headers != row.headers:
            raise InvalidRequest("Give the values of 'headers' again when the host changes.", param="headers")
    with transaction.atomic():
        row.save(update_fields=changed)
        if row.name != old_name:
            _rename_prices(old_name, row.name)
        refresh_after_commit()
    look_anew(row)
    logger.info("upstream.updated", extra={"upstream": row.name, "fields": sorted(changed), "actor": actor})
    return row


def delete_upstream(row: Upstream, *, actor: str) -> list[str]:
    """End an upstream with its models and prices; the names of routes that went as nothing is left in them.

    The ledger keeps what was used and what it cost.
    """
    with transaction.atomic():
        # Nobody may put a model behind one of these routes meanwhile.
        ConfigVersion.bump(Upstream.config_section)
        emptied = _routes_served_only_by(row)
        names = sorted(route.name for route in emptied)
        Route.objects.filter(pk__in=[route.pk for route in emptied]).delete()
        row_name = row.name
        Upstream.objects.filter(pk=row.pk).delete()
        Price.objects.filter(model__startswith=f"{row_name}/").delete()
        refresh_after_commit()
    logger.info("upstream.deleted", extra={"upstream": row_name, "routes": names, "actor": actor})
    return names


def find_upstream(reference: str) -> Upstream:
    """An upstream by its public id or its name; NotFound otherwise."""
    upstream_id = parse_public_id("ups", reference)
    row: Upstream | None = None
    if upstream_id is not None:
        row = Upstream.objects.filter(pk=upstream_id).first()
    row = row or Upstream.objects.filter(name=reference).first()
    if row is None:
        raise NotFound("There is no such upstream.", param="upstream")
    return row


def hosts_of(base_url: object, endpoints: object) -> set[str]:
    """Scheme and host of each of an upstream's URLs; a URL that can't be read stands for itself."""
    urls = [base_url, *(endpoints if isinstance(endpoints, list) else [])]
    return {_host(url) for url in urls if isinstance(url, str) and url}


def set_credential(row: Upstream, *, api_key: str | None = None, credential: str | None = None) -> set[str]:
    """Put a credential on an unsaved row; the columns that changed. What was there before is gone."""
    if api_key is None and credential is None:
        return set()
    if api_key is not None and credential is not None:
        raise InvalidRequest("Give either 'api_key' or 'credential'.", param="credential")
    row.credential_reference = ""
    if api_key is not None:
        api_key = on_one_line(api_key)
        if not api_key.isascii() or not api_key.isprintable() or api_key != api_key.strip():
            raise InvalidRequest(
                "The key has characters that HTTP does not allow, or spaces around it.", param="api_key"
            )
        row.set_api_key(api_key)
    else:
        row.set_api_key("")
        if credential == "client":
            row.credential_source = Source.CLIENT
        elif credential not in ("none", ""):
            row.credential_source, row.credential_reference = Source.REFERENCE, str(credential)
    return {"api_key_sealed", "credential_source", "credential_reference", "credential_fingerprint"}


def check_upstream(row: Upstream, *, names: Mapping[str, str] | None = None) -> None:
    """InvalidRequest or Conflict unless the row can be saved and used; `names` are the caller's names."""
    names = _API_NAMES | dict(names or {})
    clean(row, names=names)
    for field, urls in (("base_url", [row.base_url]), ("extra_endpoints", row.extra_endpoints)):
        for url in urls if KINDS[row.kind].needs_url else ():
            try:
                check_url(url, allow_private=settings.ALLOW_PRIVATE_HOSTS)
            except ValueError as error:
                raise InvalidRequest(
                    f"'{names.get(field, field)}': {error}.", param=names.get(field, field)
                ) from error
    if not row.is_enabled:
        return
    try:
        upstream_config(row)
    except (ValueError, DecryptionError) as error:
        param = names.get("credential", "credential") if row.credential_source != Source.NONE else None
        raise InvalidRequest(f"This upstream could not be used: {error}.", param=param) from error


def clean(row: Model, *, names: Mapping[str, str]) -> None:
    """Django's validation of a row; InvalidRequest, or Conflict, names the field as the caller does."""
    try:
        row.full_clean()
    except ValidationError as error:
        field, problems = next(iter(error.error_dict.items()))
        code = problems[0].code or ""
        kind = Conflict if code in ("unique", "unique_together") else InvalidRequest
        param = names.get(field, code if code.startswith(f"{field}.") else field)
        raise kind(problems[0].messages[0], param=None if param == "__all__" else param) from error


def _preset_values(preset_id: str) -> dict[str, str]:
    preset = PRESETS.get(preset_id)
    if preset is None:
        raise InvalidRequest(
            f"There is no preset '{preset_id}'; there are {', '.join(PRESETS)}.", param="preset"
        )
    return preset.values


def _normalise(row: Upstream) -> None:
    """Without a slash at the end, so that equal addresses are equal texts, and the prefix in one place."""
    row.path_prefix = row.path_prefix.rstrip("/")
    # People paste the address that clients use, which has the prefix already.
    row.base_url = row.base_url.strip().rstrip("/").removesuffix(row.path_prefix).rstrip("/")
    row.base_url = row.base_url or implied_url(row.kind, row.options)
    if row.kind == AZURE:
        # Azure's pages show the address with its path.
        row.base_url = row.base_url.removesuffix("/v1").removesuffix("/openai")


def implied_url(kind: str, options: Mapping[str, Any]) -> str:
    """The address that follows from a kind and its options; "" if none does, or they are wrong."""
    provider = provider_of(kind) if kind in KINDS else None
    if provider is None:
        return ""
    # Wrong options are the next check's to tell.
    with suppress(ValueError):
        provider.check_options(options)
        return provider.base_url(options)
    return ""


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc}"


def _routes_served_only_by(row: Upstream) -> list[Route]:
    routes = Route.objects.filter(targets__model__upstream=row).prefetch_related("targets__model").distinct()
    return [
        route for route in routes if all(item.model.upstream_id == row.pk for item in route.targets.all())
    ]


def _rename_prices(old: str, new: str) -> None:
    moved = Concat(Value(f"{new}/"), Substr("model", len(old) + 2))
    Price.objects.filter(model__startswith=f"{old}/").update(model=moved)
