"""Rows of the configuration: every write counts as a change, and none can hit all rows by a slip."""

from __future__ import annotations

import pytest
from django.apps import apps

from security_app.models import ConfigModel, ConfigVersion
from tests.usage.entries import make_price
from usage_app.models import Price

CONFIG_MODELS = [model for model in apps.get_models() if issubclass(model, ConfigModel)]


@pytest.mark.parametrize("model", CONFIG_MODELS)
def test_no_manager_deletes_all_rows(model: type[ConfigModel]) -> None:
    assert not hasattr(model.objects, "delete")
    assert hasattr(model.objects.all(), "delete")


@pytest.mark.django_db
def test_deleting_chosen_rows_is_counted() -> None:
    make_price()
    kept = make_price(model="acme/large")
    before = ConfigVersion.objects.get(section="usage").version

    Price.objects.filter(model="acme/small").delete()

    assert list(Price.objects.all()) == [kept]
    assert ConfigVersion.objects.get(section="usage").version == before + 1
