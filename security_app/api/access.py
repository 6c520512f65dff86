"""`/security/rules` and `/access_group/*`: what is allowed or denied beyond the lists of keys and people."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Status

from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import page_count, refuse_unknown_parameters
from security_app.models import AccessGroup, AccessRule
from security_app.models.access import OVERRIDE
from security_app.schemas.access import (
    DeletedGroup,
    DeletedRule,
    GroupFields,
    GroupList,
    GroupPatch,
    NewGroup,
    NewRule,
    RuleFields,
    RuleList,
    RuleListQuery,
    RulePatch,
    ShownGroup,
    ShownRule,
    Subject,
)
from security_app.services import access

router = Router(tags=["Access"])
_RULE_COLUMNS = {"kind": "object_kind", "enabled": "is_enabled"}
_EMPTIED = ("valid_from", "valid_until")


@router.get(
    "/security/rules",
    auth=admin_key,
    response=RuleList,
    operation_id="list_access_rules",
    summary="List rules",
)
def list_rules(request: HttpRequest, query: Query[RuleListQuery]) -> RuleList:
    """Access rules and temporary grants, the newest first."""
    refuse_unknown_parameters(request, RuleListQuery)
    rows = AccessRule.objects.order_by("-id")
    columns = {"subject_kind": query.subject_kind, "object_kind": query.kind, "effect": query.effect}
    rows = rows.filter(**{column: value for column, value in columns.items() if value is not None})
    if query.subject_id is not None:
        rows = rows.filter(subject_id=query.subject_id)
    if query.is_grant is not None:
        rows = rows.filter(origin=OVERRIDE if query.is_grant else "")
    first = (query.page - 1) * query.size
    total = rows.count()
    return RuleList(
        data=[shown_rule(row) for row in rows[first : first + query.size]],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.post(
    "/security/rules",
    auth=admin_key,
    response={201: ShownRule},
    operation_id="create_access_rule",
    summary="Add a rule",
)
def add_rule(request: HttpRequest, body: NewRule) -> Status[ShownRule]:
    """In force at once; an allowing one makes all else of its kind forbidden for its subject."""
    return Status(201, shown_rule(access.create_rule(actor=actor_name(request), **_rule_values(body))))


@router.get(
    "/security/rules/{rule_id}",
    auth=admin_key,
    response=ShownRule,
    operation_id="get_access_rule",
    summary="Show a rule",
)
def get_rule(request: HttpRequest, rule_id: str) -> ShownRule:
    """By its id."""
    refuse_unknown_parameters(request)
    return shown_rule(access.find_rule(rule_id))


@router.patch(
    "/security/rules/{rule_id}",
    auth=admin_key,
    response=ShownRule,
    operation_id="update_access_rule",
    summary="Change a rule",
)
def patch_rule(request: HttpRequest, rule_id: str, body: RulePatch) -> ShownRule:
    """What is left out stays; null empties a subject or a moment. Grants can't be changed."""
    row = access.find_rule(rule_id)
    return shown_rule(access.update_rule(row, actor=actor_name(request), **_rule_values(body)))


@router.delete(
    "/security/rules/{rule_id}",
    auth=admin_key,
    response=DeletedRule,
    operation_id="delete_access_rule",
    summary="Delete a rule or a grant",
)
def remove_rule(request: HttpRequest, rule_id: str) -> DeletedRule:
    """The last allowing rule of a kind opens what it closed."""
    row = access.find_rule(rule_id)
    gone = DeletedRule(id=row.public_id)
    access.delete_rule(row, actor=actor_name(request))
    return gone


@router.post(
    "/access_group/new",
    auth=admin_key,
    response={201: ShownGroup},
    operation_id="create_access_group",
    summary="Add an access group",
)
def add_group(request: HttpRequest, body: NewGroup) -> Status[ShownGroup]:
    """Rules and lists of keys may then say `group:<name>`."""
    row = access.create_group(actor=actor_name(request), name=body.access_group, **_group_values(body))
    return Status(201, _shown_group(row))


@router.get(
    "/access_group/list",
    auth=admin_key,
    response=GroupList,
    operation_id="list_access_groups",
    summary="List access groups",
)
def list_groups(request: HttpRequest) -> GroupList:
    """All of them, by name."""
    refuse_unknown_parameters(request)
    return GroupList(access_groups=[_shown_group(row) for row in AccessGroup.objects.order_by("name")])


@router.get(
    "/access_group/{access_group}/info",
    auth=admin_key,
    response=ShownGroup,
    operation_id="get_access_group",
    summary="Show an access group",
)
def get_group(request: HttpRequest, access_group: str) -> ShownGroup:
    """By its name or its id."""
    refuse_unknown_parameters(request)
    return _shown_group(access.find_group(access_group))


@router.put(
    "/access_group/{access_group}/update",
    auth=admin_key,
    response=ShownGroup,
    operation_id="update_access_group",
    summary="Change an access group",
)
def put_group(request: HttpRequest, access_group: str, body: GroupPatch) -> ShownGroup:
    """What is left out, or null, stays."""
    row = access.find_group(access_group)
    return _shown_group(access.update_group(row, actor=actor_name(request), **_group_values(body)))


@router.delete(
    "/access_group/{access_group}/delete",
    auth=admin_key,
    response=DeletedGroup,
    operation_id="delete_access_group",
    summary="Delete an access group",
)
def remove_group(request: HttpRequest, access_group: str) -> DeletedGroup:
    """Refused while a rule names it."""
    row = access.find_group(access_group)
    gone = DeletedGroup(access_group=row.name)
    access.delete_group(row, actor=actor_name(request))
    return gone


def _rule_values(body: RuleFields) -> dict[str, Any]:
    given = body.model_dump(exclude_unset=True)
    values = {
        _RULE_COLUMNS.get(name, name): value
        for name, value in given.items()
        if name != "subject" and (value is not None or name in _EMPTIED)
    }
    if "subject" in given:
        subject = body.subject
        values["subject_kind"] = subject.kind if subject else ""
        values["subject_id"] = subject.id if subject else ""
    return values


def shown_rule(row: AccessRule) -> ShownRule:
    """A rule as answers have it."""
    subject = Subject(kind=row.subject_kind, id=row.subject_id) if row.subject_kind else None  # type: ignore[arg-type]
    return ShownRule(
        id=row.public_id,
        name=row.name,
        subject=subject,
        kind=row.object_kind,  # type: ignore[arg-type]
        pattern=row.pattern,
        effect=row.effect,  # type: ignore[arg-type]
        condition=row.condition,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        enabled=row.is_enabled,
        note=row.note,
        is_grant=row.origin == OVERRIDE,
        created_by=row.created_by,
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _group_values(body: GroupFields) -> dict[str, Any]:
    names = {
        "model_names": "model_patterns",
        "agent_names": "agent_patterns",
        "tool_names": "tool_patterns",
        "description": "description",
    }
    given = body.model_dump(exclude_unset=True)
    return {names[name]: value for name, value in given.items() if name in names and value is not None}


def _shown_group(row: AccessGroup) -> ShownGroup:
    return ShownGroup(
        id=row.public_id,
        access_group=row.name,
        description=row.description,
        model_names=row.model_patterns,
        agent_names=row.agent_patterns,
        tool_names=row.tool_patterns,
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
