"""The catalogue's news: what differs is proposed, and nothing costs otherwise until somebody approves it."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from gateway_project.core.acting import acting_as
from gateway_project.core.clock import utc_now
from security_app.models import AuditEvent
from tests.management.model_server import ModelServer
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.services.model_prices import price_models
from usage_app import registry
from usage_app.models import Price, PriceChange
from usage_app.services.price_changes import approve, dismiss, propose, refresh_prices
from usage_app.services.published_catalogue import CatalogueUnavailable, parsed_catalogue

pytestmark = pytest.mark.django_db


def catalogue_json(**prices: Any) -> bytes:
    """A catalogue of OpenAI's with these models."""
    models = [{"id": name, "match": {"equals": name}, "prices": rates} for name, rates in prices.items()]
    provider = {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": r"https://api\.openai\.com",
        "models": models,
    }
    return json.dumps([provider]).encode()


def news(**prices: Any) -> list[PriceChange]:
    propose(parsed_catalogue(catalogue_json(**prices)), "test")
    return list(PriceChange.objects.filter(state="open").order_by("model", "valid_from"))


def add_model(*names: str, kind: str = "openai") -> Upstream:
    upstream, _ = Upstream.objects.get_or_create(
        name="acme", defaults={"kind": kind, "base_url": "https://api.openai.com", "path_prefix": "/v1"}
    )
    for name in names:
        UpstreamModel.objects.create(upstream=upstream, name=name)
    return upstream


def input_rate(model: str = "acme/small") -> Decimal | None:
    """What it costs now, as the snapshot has it."""
    card = registry.build(None, 1, {}).value.price(model, utc_now())
    return None if card is None else Decimal(card.input).scaleb(-9)


def test_a_new_price_holds_from_its_approval_on_and_not_before() -> None:
    add_model("small")

    [change] = news(small={"input_mtok": 2, "output_mtok": 8, "cache_read_mtok": 0.5})

    assert (change.kind, change.before, change.largest_change) == ("new", {}, None)
    assert input_rate() is None
    with acting_as("ann"):
        assert approve([change.pk]) == [change]
    assert input_rate() == 2
    change.refresh_from_db()
    assert (change.state, change.decided_by) == ("approved", "ann")
    event = AuditEvent.objects.filter(object_type="usage_app.price").latest("seq")
    assert (event.action, event.actor) == ("created", "ann")
    assert news(small={"input_mtok": 2, "output_mtok": 8, "cache_read_mtok": 0.5}) == []


def test_a_changed_price_is_shown_in_percent_and_the_old_row_stays() -> None:
    add_model("small", "same")
    news(small={"input_mtok": 2, "output_mtok": 8}, same={"input_mtok": 1, "output_mtok": 1})
    approve()
    old = Price.objects.get(model="acme/small")

    [change] = news(small={"input_mtok": 1, "output_mtok": 9}, same={"input_mtok": 1, "output_mtok": 1})

    assert (change.kind, change.model, change.largest_change) == ("changed", "acme/small", Decimal("-50.0"))
    assert (change.before, change.rates) == (
        {"input": "2.000000000", "output": "8.000000000"},
        {"input": "1.000000000", "output": "9.000000000"},
    )
    assert input_rate() == 2
    approve()
    assert input_rate() == 1
    old.refresh_from_db()
    assert old.input == 2
    assert Price.objects.filter(model="acme/small").count() == 2


def test_an_override_holds_whatever_is_approved() -> None:
    add_model("small")
    Price.objects.create(model="acme/small", valid_from=utc_now(), input=Decimal(7), output=Decimal(7))

    news(small={"input_mtok": 2, "output_mtok": 8})
    approve()

    assert input_rate() == 7


def test_a_price_that_begins_later_is_known_before_and_holds_then() -> None:
    add_model("small")
    tomorrow = utc_now().date() + timedelta(days=1)
    dated = [
        {"prices": {"input_mtok": 2, "output_mtok": 8}},
        {"constraint": {"start_date": tomorrow.isoformat()}, "prices": {"input_mtok": 3, "output_mtok": 8}},
    ]

    changes = news(small=dated)
    approve()

    assert sorted(change.kind for change in changes) == ["changed", "new"]
    assert input_rate() == 2
    card = registry.build(None, 1, {}).value.price("acme/small", utc_now() + timedelta(days=1))
    assert card is not None
    assert card.input == 3_000_000_000
    assert news(small=dated) == []


def test_what_the_catalogue_has_no_more_ends_when_that_is_approved() -> None:
    add_model("small")
    news(small={"input_mtok": 2, "output_mtok": 8})
    approve()

    [change] = news(other={"input_mtok": 1, "output_mtok": 1})

    assert (change.kind, change.rates) == ("removed", {})
    assert input_rate() == 2
    approve()
    assert input_rate() is None
    assert news(other={"input_mtok": 1, "output_mtok": 1}) == []
    # It may come back.
    assert [change.kind for change in news(small={"input_mtok": 2, "output_mtok": 8})] == ["new"]


def test_a_model_is_looked_up_by_the_name_that_it_was_found_by() -> None:
    upstream = add_model("our-deployment")
    price_models(upstream, ["our-deployment"], base_model="gpt-4o")
    assert Price.objects.get().listed_as == "openai gpt-4o"

    refresh_prices()

    assert not PriceChange.objects.exists()


def test_what_was_dismissed_is_not_proposed_again_until_it_is_another() -> None:
    add_model("small")
    news(small={"input_mtok": 2, "output_mtok": 8})
    dismiss()

    assert news(small={"input_mtok": 2, "output_mtok": 8}) == []
    assert input_rate() is None
    assert len(news(small={"input_mtok": 3, "output_mtok": 8})) == 1


def test_only_what_is_open_can_be_approved_and_only_once() -> None:
    add_model("small")
    [change] = news(small={"input_mtok": 2, "output_mtok": 8})
    approve([change.pk])

    assert approve([change.pk]) == []
    assert dismiss([change.pk]) == []
    assert Price.objects.count() == 1


def test_a_refresh_replaces_what_was_to_be_decided() -> None:
    add_model("small")
    news(small={"input_mtok": 2, "output_mtok": 8})

    [change] = news(small={"input_mtok": 3, "output_mtok": 8})

    assert change.rates["input"] == "3.000000000"


def test_prices_that_make_no_sense_are_left_out() -> None:
    add_model("small", "odd")
    body = catalogue_json(small={"input_mtok": 2, "output_mtok": 8}, odd={"input_mtok": -2, "output_mtok": 8})

    found = propose(parsed_catalogue(body), "test")

    assert (found.new, found.unusable) == (1, 1)


@pytest.mark.parametrize(
    "absurd", [{"input_mtok": 1e30}, {"input_mtok": {"base": 1, "tiers": [{"start": 9, "price": 1e30}]}}]
)
def test_a_price_that_can_not_be_held_keeps_no_other_from_being_compared(absurd: Any) -> None:
    add_model("absurd", "small")
    body = catalogue_json(absurd={**absurd, "output_mtok": 8}, small={"input_mtok": 2, "output_mtok": 8})

    found = propose(parsed_catalogue(body), "test")

    assert (found.new, found.unusable) == (1, 1)
    assert PriceChange.objects.get().model == "acme/small"


def test_models_of_local_servers_are_not_looked_up() -> None:
    add_model("gpt-4o", kind="ollama")

    assert refresh_prices().total == 0


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'[{"id": 1}]', b"[" * 100_000, b"\xff"])
def test_what_is_no_catalogue_changes_nothing(body: bytes) -> None:
    with pytest.raises(CatalogueUnavailable):
        parsed_catalogue(body)


@pytest.mark.parametrize(
    "match", [3, {}, {"is": "x"}, {"regex": 3}, {"or": []}, {"regex": "("}, {"equals": None}]
)
def test_patterns_that_make_no_sense_change_nothing(match: object) -> None:
    add_model("small")
    news(small={"input_mtok": 2, "output_mtok": 8})
    [provider] = json.loads(catalogue_json(small={"input_mtok": 3, "output_mtok": 8}))
    provider["models"][0]["match"] = match

    with suppress(CatalogueUnavailable):
        propose(parsed_catalogue(json.dumps([provider]).encode()), "test")

    assert not Price.objects.exists()


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("refresh_prices", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_lists_what_differs_and_approves_when_told_to() -> None:
    add_model("gpt-4o")

    shown = run()

    assert "new      acme/gpt-4o: input – →" in shown
    assert "Nothing holds yet" in shown
    assert not Price.objects.exists()
    assert "Approved: 1" in run("--approve")
    assert Price.objects.get().managed_by == "catalogue"
    assert "All prices are as the catalogue has them." in run()


def test_the_published_catalogue_is_asked_for_where_it_is_said_to_be() -> None:
    add_model("small")
    published = json.loads(catalogue_json(small={"input_mtok": 2, "output_mtok": 8}))

    with ModelServer({"/data.json": (200, published), "/gone": (404, {})}) as server:
        shown = run("--url", f"{server.url}/data.json")
        with pytest.raises(CommandError, match="status 404"):
            run("--url", f"{server.url}/gone")

    assert "1 new, 0 changed, 0 removed" in shown
    assert PriceChange.objects.get().catalogue == "published"


def test_a_catalogue_in_the_own_network_is_refused_where_that_is_forbidden(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False

    with pytest.raises(CommandError, match="can't be reached"):
        run("--url", "http://127.0.0.1:9/data.json")
    with pytest.raises(CommandError, match="can't be reached"):
        run("--url", "ftp://127.0.0.1/data.json")
