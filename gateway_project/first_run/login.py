"""The admin's login, which leads the first administrator of a new installation to the wizard, once."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from gateway_project.first_run.state import is_due, mark_led, may_use


def login(request: HttpRequest) -> HttpResponseBase:
    """As the admin's; who wanted to go to a certain page goes there."""
    response = admin.site.login(request)
    if (
        request.method == "POST"
        and isinstance(response, HttpResponseRedirect)
        and response.url == reverse("admin:index")
        and may_use(request.user)
        and is_due()
    ):
        mark_led()
        return HttpResponseRedirect(reverse("admin:first_run"))
    return response
