"""The actions that put upstreams into maintenance, after a question, and end it."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from gateway_project.admin_base import (
    SwitchableModelAdmin,
    action,
    confirmation_page,
    is_confirmed,
    is_managed_elsewhere,
    selected_rows,
)
from upstreams_app.models import Upstream
from upstreams_app.services.maintenance import end_maintenance, start_maintenance

_QUESTION = (
    "These upstreams will get no further calls until you end the maintenance. Models that nothing else "
    "serves answer 503 meanwhile. To set an end in advance, open the upstream."
)


class MaintenanceActions(SwitchableModelAdmin[Upstream]):
    """Adds “Put into maintenance” and “End maintenance” to the list."""

    @action(description="Put selected upstreams into maintenance", permissions=("change",))
    def start_maintenance(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> HttpResponse | None:
        """Send no further calls to them until somebody ends it."""
        rows = [row for row in selected_rows(request, queryset) if not is_managed_elsewhere(row)]
        if not is_confirmed(request):
            return confirmation_page(
                request,
                self,
                rows=rows,
                question=_QUESTION,
                button="Start maintenance",
            )
        count = start_maintenance([row.pk for row in rows], actor=request.user.get_username())
        for row in rows:
            self.log_change(request, row, "Put into maintenance.")
        messages.success(request, f"{count} upstream{'' if count == 1 else 's'} put into maintenance.")
        return None

    @action(description="End maintenance of selected upstreams", permissions=("change",))
    def end_maintenance(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        """Send them calls again."""
        rows = [row for row in selected_rows(request, queryset) if not is_managed_elsewhere(row)]
        count = end_maintenance([row.pk for row in rows], actor=request.user.get_username())
        for row in rows:
            self.log_change(request, row, "Maintenance ended.")
        messages.success(request, f"Ended the maintenance of {count} upstream{'' if count == 1 else 's'}.")
