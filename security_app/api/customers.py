"""`/customer/*` and, the same, `/end_user/*`: whom clients serve, in LiteLLM's shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import actor_name, admin_key
from security_app.api.people_rows import customer_rows, subject_values
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import EndUser
from security_app.schemas.base import ListQuery
from security_app.schemas.people import (
    CustomerFields,
    CustomerQuery,
    CustomerReferences,
    CustomerRow,
    DeletedCustomers,
)
from security_app.services import users
from security_app.services.limit_fields import apply_limits, limit_values
from security_app.services.people import page_of

View = TypeVar("View", bound=Callable[..., object])
router = Router(tags=["End users"], auth=admin_key)


def _route(method: str, name: str, response: Any, summary: str) -> Callable[[View], View]:
    """A route under both of its names; only the first is in the document."""

    def declare(view: View) -> View:
        for prefix in ("/customer", "/end_user"):
            router.add_api_operation(
                f"{prefix}/{name}",
                [method],
                view,
                response=response,
                summary=summary,
                operation_id=f"{prefix[1:]}_{name}",
                include_in_schema=prefix == "/customer",
            )
        return view

    return declare


@_route("POST", "new", CustomerRow, "Make an end user")
def new_customer(request: HttpRequest, body: CustomerFields) -> CustomerRow:
    """Only those need one who are to be blocked, narrowed, or limited by name."""
    with transaction.atomic():
        row = users.create_end_user(actor=actor_name(request), end_user_id=body.user_id, **_values(body))
        apply_limits("end_user", row.end_user_id, limit_values(body))
    return customer_rows([row])[0]


@_route("GET", "info", CustomerRow, "Show an end user")
def customer_info(request: HttpRequest, query: Query[CustomerQuery]) -> CustomerRow:
    """By id."""
    refuse_unknown_parameters(request, CustomerQuery)
    return customer_rows([users.find_end_user(query.end_user_id)])[0]


@_route("GET", "list", list[CustomerRow], "List end users")
def list_customers(request: HttpRequest, query: Query[ListQuery]) -> list[CustomerRow]:
    """In the order of their ids."""
    refuse_unknown_parameters(request, ListQuery)
    rows = EndUser.objects.order_by("end_user_id")
    return customer_rows(page_of(rows, page=query.page, size=query.page_size).rows)


@_route("POST", "update", CustomerRow, "Change an end user")
def update_customer(request: HttpRequest, body: CustomerFields) -> CustomerRow:
    """What is left out stays."""
    row = users.find_end_user(body.user_id, param="user_id")
    values = _values(body)
    with transaction.atomic():
        has_limits = apply_limits("end_user", row.end_user_id, limit_values(body))
        if values:
            users.update_end_user(row, actor=actor_name(request), **values)
    if not values and not has_limits:
        raise InvalidRequest("There is nothing to change: give at least one field beside 'user_id'.")
    return customer_rows([row])[0]


@_route("POST", "delete", DeletedCustomers, "Delete end users")
def delete_customers(request: HttpRequest, body: CustomerReferences) -> DeletedCustomers:
    """All or none. Their requests are served from then on, as those of unknown end users."""
    rows = [users.find_end_user(item, param="user_ids") for item in dict.fromkeys(body.user_ids)]
    users.delete_end_users(rows, actor=actor_name(request))
    return DeletedCustomers(deleted_customers=[row.end_user_id for row in rows])


@_route("POST", "block", list[CustomerRow], "Block end users")
def block_customers(request: HttpRequest, body: CustomerReferences) -> list[CustomerRow]:
    """Requests for them are refused within two seconds; those without a row get one."""
    return _block(request, body, is_blocked=True)


@_route("POST", "unblock", list[CustomerRow], "Unblock end users")
def unblock_customers(request: HttpRequest, body: CustomerReferences) -> list[CustomerRow]:
    """Requests for them are served again."""
    return _block(request, body, is_blocked=False)


def _block(request: HttpRequest, body: CustomerReferences, *, is_blocked: bool) -> list[CustomerRow]:
    ids = [text.strip() for text in dict.fromkeys(body.user_ids)]
    rows = users.block_end_users(ids, actor=actor_name(request), is_blocked=is_blocked)
    return customer_rows(rows)


def _values(body: CustomerFields) -> dict[str, Any]:
    return subject_values(body, {"name": "alias"})
