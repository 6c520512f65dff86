"""Django's own URLs: the admin, the management API, its documentation. Inference never gets here."""

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]
