"""Organizations: groups of teams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from gateway_project.core.errors import Conflict, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import Organization, Team
from security_app.services.limit_fields import remove_limits
from security_app.services.people import create_row, delete_row, update_row

NAMES = {"name": "organization_alias", "id": "organization_id"}
_KIND = "organization"


def find_organization(reference: str, *, param: str = "organization_id") -> Organization:
    """An organization by its public id; NotFound otherwise."""
    organization_id = parse_public_id("org", reference)
    row: Organization | None = (
        None if organization_id is None else Organization.objects.filter(pk=organization_id).first()
    )
    if row is None:
        raise NotFound("There is no such organization.", param=param)
    return row


def create_organization(*, actor: str, **values: Any) -> Organization:
    """Make an organization."""
    return create_row(Organization(**values), kind=_KIND, actor=actor, names=NAMES)


def update_organization(row: Organization, *, actor: str, **values: Any) -> Organization:
    """Change fields of an organization, and no others."""
    return update_row(row, kind=_KIND, actor=actor, names=NAMES, values=values)


def delete_organizations(rows: Sequence[Organization], *, actor: str) -> None:
    """Delete organizations, all or none; Conflict while one has teams: they would leave its bounds."""
    with transaction.atomic():
        for row in rows:
            if Team.objects.filter(organization=row).exists():
                raise Conflict(f"'{row.name}' still has teams.", param="organization_ids")
            remove_limits("organization", [row.id.hex])
            delete_row(row, kind=_KIND, actor=actor)
