"""What models cost, and what is known of them: exact, from whoever says it."""

from __future__ import annotations

import json
from decimal import Decimal

from security_app.services.configuration import store
from tests.management.caller import VENDOR_SECRET, Caller
from tests.management.model_bodies import LOCAL, body, priced
from upstreams_app.models import Route, Upstream
from usage_app.entry import TokenUsage
from usage_app.models import Price
from usage_app.services.pricing import cost_nano


def test_a_price_is_exact_however_it_is_written(admin: Caller) -> None:
    for name, text in (("number", "0.00000015"), ("exponent", "1.5e-7"), ("text", '"0.00000015"')):
        raw = (
            f'{{"model_name": "{name}", '
            f'"litellm_params": {{"model": "openai/{name}", "api_base": "{LOCAL}"}}, '
            f'"model_info": {{"input_cost_per_token": {text}, "output_cost_per_token": 0.0000006}}}}'
        )
        assert admin.post("/model/new", raw=raw).status_code == 200

    for price in Price.objects.all():
        assert (price.input, price.output) == (Decimal("0.15"), Decimal("0.6"))
    shown = json.loads(admin.get("/model/info").content, parse_float=Decimal)["data"]
    assert {item["model_info"]["input_cost_per_token"] for item in shown} == {Decimal("0.00000015")}
    card = store.current.sections["usage"].value.price("local-9/number", 4e9)
    assert cost_nano(TokenUsage(input=1_000_000, output=1_000_000), card) == 750_000_000


def test_every_rate_finds_its_column(admin: Caller) -> None:
    admin.ok(
        "POST",
        "/model/new",
        priced(
            "m",
            input_cost_per_token="0.000002",
            output_cost_per_token="0.000008",
            cache_read_input_token_cost="0.0000005",
            cache_creation_input_token_cost="0.000003",
            output_cost_per_reasoning_token="0.000009",
            input_cost_per_audio_token="0.00001",
            output_cost_per_audio_token="0.00002",
            input_cost_per_request="0.01",
        ),
    )

    price = Price.objects.get()
    assert [price.input, price.output, price.cached_input, price.cache_write] == [2, 8, Decimal("0.5"), 3]
    assert [price.reasoning, price.input_audio, price.output_audio] == [9, 10, 20]
    assert price.per_request == Decimal("0.01")


def test_what_is_not_counted_in_tokens_is_priced_by_one_of_it(admin: Caller) -> None:
    prices = {
        "output_cost_per_image": "0.04",
        "input_cost_per_character": "0.000015",
        "input_cost_per_second": "0.0001",
        "input_cost_per_query": "0.002",
        "cache_creation_input_token_cost_above_1hr": "0.000006",
        "output_cost_per_image_token": "0.00004",
    }

    info = admin.ok("POST", "/model/new", priced("m", **prices))["model_info"]

    price = Price.objects.get()
    assert (price.per_image, price.characters, price.audio_hour) == (Decimal("0.04"), 15, Decimal("0.36"))
    assert (price.per_search, price.cache_write_1h, price.output_image) == (Decimal("0.002"), 6, 40)
    assert (price.input, price.output) == (0, 0)
    assert {name: Decimal(str(info[name])) for name in prices} == {
        name: Decimal(text) for name, text in prices.items()
    }


def test_an_unpriced_local_model_stays_unpriced_and_the_demo_is_free(admin: Caller) -> None:
    local = admin.ok("POST", "/model/new", body("a", "ollama/llama3"))
    demo = admin.ok("POST", "/model/new", {"model_name": "b", "litellm_params": {"model": "demo/chat"}})

    assert local["model_info"]["input_cost_per_token"] is None
    assert demo["model_info"]["input_cost_per_token"] == demo["model_info"]["output_cost_per_token"] == 0


def test_a_known_vendors_price_comes_from_the_catalogue(admin: Caller) -> None:
    params = {"model": "openai/gpt-4o", "api_key": VENDOR_SECRET}

    shown = admin.ok("POST", "/model/new", {"model_name": "a", "litellm_params": params})

    assert shown["model_info"]["input_cost_per_token"] > 0
    assert Price.objects.get(model="openai/gpt-4o").source == Price.Source.CATALOGUE


def test_facts_are_kept_and_an_embedding_needs_no_output_price(admin: Caller) -> None:
    shown = admin.ok(
        "POST",
        "/model/new",
        priced("m", mode="embedding", max_input_tokens=8191, max_tokens=10, input_cost_per_token="0.1e-6"),
    )

    info = shown["model_info"]
    assert (info["mode"], info["max_input_tokens"], info["max_output_tokens"]) == ("embedding", 8191, 10)
    assert info["output_cost_per_token"] == 0


def test_an_update_changes_weight_price_and_name_in_place(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body("old"))
    model_id = shown["model_info"]["id"]

    changed = admin.ok(
        "POST",
        "/model/update",
        {
            "model_name": "new",
            "litellm_params": {"weight": 7, "order": 2},
            "model_info": {"id": model_id, "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
        },
    )

    assert changed["model_info"]["id"] == model_id
    assert (changed["model_name"], changed["litellm_params"]["weight"]) == ("new", 7)
    assert changed["model_info"]["output_cost_per_token"] == 2e-6
    assert list(Route.objects.values_list("name", flat=True)) == ["new"]
    assert Upstream.objects.count() == 1


def test_a_price_of_the_demo_that_was_set_by_hand_stays(admin: Caller) -> None:
    demo = {"litellm_params": {"model": "demo/chat"}}
    info = {"input_cost_per_token": "0.000001", "output_cost_per_token": "0.000002"}
    admin.ok("POST", "/model/new", {"model_name": "a", **demo, "model_info": info})

    again = admin.ok("POST", "/model/new", {"model_name": "b", **demo})

    assert again["model_info"]["input_cost_per_token"] == 1e-6
