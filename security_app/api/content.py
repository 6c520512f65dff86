"""`/content/policies`: whose questions and answers may be stored, what is masked in them, and how long."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Status

from security_app.api.auth import admin_key
from security_app.api.queries import page_count, refuse_unknown_parameters
from security_app.models import ContentPolicy
from security_app.schemas.content import (
    ContentPolicyFields,
    ContentPolicyList,
    ContentPolicyPatch,
    ContentPolicyQuery,
    ContentSubject,
    DeletedContentPolicy,
    NewContentPolicy,
    ShownContentPolicy,
)
from security_app.services import content_policies

router = Router(tags=["Content policies"], auth=admin_key)


@router.get(
    "/content/policies",
    response=ContentPolicyList,
    operation_id="list_content_policies",
    summary="List content policies",
)
def list_policies(request: HttpRequest, query: Query[ContentPolicyQuery]) -> ContentPolicyList:
    """The newest first. Whose texts none is about have none stored."""
    refuse_unknown_parameters(request, ContentPolicyQuery)
    rows = ContentPolicy.objects.order_by("-id")
    if query.subject_kind is not None:
        rows = rows.filter(subject_kind=query.subject_kind)
    first = (query.page - 1) * query.size
    total = rows.count()
    return ContentPolicyList(
        data=[_shown(row) for row in rows[first : first + query.size]],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.post(
    "/content/policies",
    response={201: ShownContentPolicy},
    operation_id="create_content_policy",
    summary="Add a content policy",
)
def add_policy(request: HttpRequest, body: NewContentPolicy) -> Status[ShownContentPolicy]:
    """In force at once; 409 if there is one of the same subject."""
    refuse_unknown_parameters(request)
    return Status(201, _shown(content_policies.create_policy(_values(body))))


@router.get(
    "/content/policies/{policy_id}",
    response=ShownContentPolicy,
    operation_id="get_content_policy",
    summary="Show a content policy",
)
def get_policy(request: HttpRequest, policy_id: str) -> ShownContentPolicy:
    """By its id."""
    refuse_unknown_parameters(request)
    return _shown(content_policies.find_policy(policy_id))


@router.patch(
    "/content/policies/{policy_id}",
    response=ShownContentPolicy,
    operation_id="update_content_policy",
    summary="Change a content policy",
)
def patch_policy(request: HttpRequest, policy_id: str, body: ContentPolicyPatch) -> ShownContentPolicy:
    """What is left out, or null, stays; what is stored already goes when it would have."""
    refuse_unknown_parameters(request)
    return _shown(content_policies.change_policy(policy_id, _values(body)))


@router.delete(
    "/content/policies/{policy_id}",
    response=DeletedContentPolicy,
    operation_id="delete_content_policy",
    summary="Delete a content policy",
)
def remove_policy(request: HttpRequest, policy_id: str) -> DeletedContentPolicy:
    """What holds for its subject from now on is the next wider policy, or nothing is stored."""
    refuse_unknown_parameters(request)
    return DeletedContentPolicy(id=content_policies.delete_policy(policy_id))


def _values(body: ContentPolicyFields) -> dict[str, Any]:
    given = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    if subject := given.pop("subject", None):
        given |= {"subject_kind": subject["kind"], "subject_id": subject.get("id", "")}
    return given


def _shown(row: ContentPolicy) -> ShownContentPolicy:
    return ShownContentPolicy(
        id=row.public_id,
        subject=ContentSubject(kind=row.subject_kind, id=row.subject_id),  # type: ignore[arg-type]
        stores_texts=row.stores_texts,
        masks_emails=row.masks_emails,
        masks_cards=row.masks_cards,
        retention_days=row.retention_days,
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
