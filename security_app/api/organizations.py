"""`/organization/*`: groups of teams, in LiteLLM's shapes."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import parse_public_id, public_id
from security_app.api.auth import actor_name, admin_key
from security_app.api.people_rows import organization_rows, subject_values
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import Organization
from security_app.schemas.base import ListQuery
from security_app.schemas.people import (
    DeletedOrganizations,
    OrganizationDelete,
    OrganizationFields,
    OrganizationInfo,
    OrganizationNew,
    OrganizationQuery,
    OrganizationRow,
    OrganizationUpdate,
)
from security_app.services import organizations
from security_app.services.limit_fields import apply_limits, limit_values
from security_app.services.people import page_of

router = Router(tags=["Organizations"], auth=admin_key)


@router.post(
    "/organization/new",
    response=OrganizationRow,
    operation_id="new_organization",
    summary="Make an organization",
)
def new_organization(request: HttpRequest, body: OrganizationNew) -> OrganizationRow:
    """Teams are put into it by `/team/new` and `/team/update`."""
    values = _values(body)
    if body.organization_id is not None:
        values["id"] = parse_public_id("org", body.organization_id)
        if values["id"] is None:
            raise InvalidRequest("'organization_id' must be a UUID.", param="organization_id")
    with transaction.atomic():
        row = organizations.create_organization(actor=actor_name(request), **values)
        apply_limits("organization", row.id.hex, limit_values(body))
    return organization_rows([row])[0]


@router.get(
    "/organization/info",
    response=OrganizationInfo,
    operation_id="organization_info",
    summary="Show an organization",
)
def organization_info(request: HttpRequest, query: Query[OrganizationQuery]) -> OrganizationInfo:
    """With the ids of its teams."""
    refuse_unknown_parameters(request, OrganizationQuery)
    row = organizations.find_organization(query.organization_id)
    teams = [public_id("team", pk) for pk in row.teams.order_by("name").values_list("pk", flat=True)]
    return OrganizationInfo(teams=teams, **organization_rows([row])[0].model_dump())


@router.get(
    "/organization/list",
    response=list[OrganizationRow],
    operation_id="list_organizations",
    summary="List organizations",
)
def list_organizations(request: HttpRequest, query: Query[ListQuery]) -> list[OrganizationRow]:
    """By name."""
    refuse_unknown_parameters(request, ListQuery)
    rows = Organization.objects.order_by("name")
    return organization_rows(page_of(rows, page=query.page, size=query.page_size).rows)


@router.patch(
    "/organization/update",
    response=OrganizationRow,
    operation_id="update_organization",
    summary="Change an organization",
)
def update_organization(request: HttpRequest, body: OrganizationUpdate) -> OrganizationRow:
    """What is left out stays. Blocking it blocks the keys of all its teams."""
    row = organizations.find_organization(body.organization_id)
    values = _values(body)
    with transaction.atomic():
        has_limits = apply_limits("organization", row.id.hex, limit_values(body))
        if values:
            organizations.update_organization(row, actor=actor_name(request), **values)
    if not values and not has_limits:
        raise InvalidRequest("There is nothing to change: give at least one field beside 'organization_id'.")
    return organization_rows([row])[0]


@router.delete(
    "/organization/delete",
    response=DeletedOrganizations,
    operation_id="delete_organizations",
    summary="Delete organizations",
)
def delete_organizations(request: HttpRequest, body: OrganizationDelete) -> DeletedOrganizations:
    """All or none; refused while one has teams."""
    rows = [
        organizations.find_organization(reference, param="organization_ids")
        for reference in dict.fromkeys(body.organization_ids)
    ]
    deleted = [row.public_id for row in rows]
    organizations.delete_organizations(rows, actor=actor_name(request))
    return DeletedOrganizations(deleted_organizations=deleted)


def _values(body: OrganizationFields) -> dict[str, Any]:
    return subject_values(body, {"name": "organization_alias"})
