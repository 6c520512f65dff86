"""Prices over HTTP: what holds, what comes, what the catalogue would change, and what something costs."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway_project.core.clock import utc_now
from security_app.models import AuditEvent
from tests.management.caller import Caller
from tests.management.model_bodies import body
from tests.usage.entries import make_entry, make_price, store
from upstreams_app.models import Upstream, UpstreamModel
from usage_app.models import Price, PriceChange
from usage_app.services.rollups import roll_up


def test_a_price_is_added_shown_and_followed_by_another(admin: Caller) -> None:
    later = (utc_now() + timedelta(days=1)).isoformat()
    rates = {"input": "2.5", "output": 10, "tiers": [{"above_input_tokens": 200_000, "input": "5"}]}

    made = admin.ok("POST", "/prices", {"model": "acme/small", **rates})
    coming = admin.ok("POST", "/prices", {"model": "acme/small", "valid_from": later, "input": 3})

    assert (made["state"], made["source"], made["input"], made["output"]) == ("holds", "override", 2.5, 10)
    assert coming["state"] == "later"
    assert admin.ok("GET", f"/prices/{made['id']}") == made
    listed = admin.ok("GET", "/prices?model=acme/small")
    assert [row["state"] for row in listed["data"]] == ["later", "holds"]
    assert listed["total_count"] == 2
    event = AuditEvent.objects.filter(object_type="usage_app.price").earliest("seq")
    assert event.action == "created"
    assert admin.ok("DELETE", f"/prices/{coming['id']}")["id"] == coming["id"]
    assert admin.refused("DELETE", f"/prices/{made['id']}")["status"] == 409
    assert admin.refused("GET", f"/prices/{coming['id']}")["status"] == 404


def test_an_override_beats_the_catalogue_and_can_be_withdrawn(admin: Caller) -> None:
    make_price(source=Price.Source.CATALOGUE)
    admin.ok("POST", "/prices", {"model": "acme/small", "input": 1})

    before = {row["source"]: row["state"] for row in admin.ok("GET", "/prices")["data"]}
    admin.ok("POST", "/prices", {"model": "acme/small", "is_withdrawn": True})
    after = {row["source"]: row["state"] for row in admin.ok("GET", "/prices?source=catalogue")["data"]}

    assert before == {"override": "holds", "catalogue": "overridden"}
    assert after == {"catalogue": "holds"}
    question = {"model": "acme/small", "input_tokens": 1_000_000}
    assert admin.ok("POST", "/cost/estimate", question)["cost"] == "3"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": -1}, "input"),
        ({"input": "NaN"}, "input"),
        ({"valid_from": "2020-01-01T00:00:00Z"}, "valid_from"),
        ({"valid_from": "2020-01-01T00:00:00"}, "valid_from"),
        ({"tiers": [{"input": "1"}]}, "tiers"),
        ({"service_tiers": {"best": {"factor": "1"}}}, "service_tiers"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_price_that_makes_no_sense_is_refused_by_field(
    admin: Caller, wrong: dict[str, Any], param: str
) -> None:
    refused = admin.refused("POST", "/prices", {"model": "acme/small", **wrong})

    assert (refused["status"], refused["param"]) == (400, param)
    assert not Price.objects.exists()


def test_changes_are_found_shown_and_approved_one_by_one(admin: Caller) -> None:
    upstream = Upstream.objects.create(name="acme", kind="openai", base_url="https://api.openai.com")
    for name in ("gpt-4o", "gpt-4o-mini"):
        UpstreamModel.objects.create(upstream=upstream, name=name)

    found = admin.ok("POST", "/prices/refresh", {})

    assert found == {"new": 2, "changed": 0, "removed": 0, "unusable": 0}
    changes = admin.ok("GET", "/prices/changes")["data"]
    assert [(row["model"], row["kind"]) for row in changes] == [
        ("acme/gpt-4o", "new"),
        ("acme/gpt-4o-mini", "new"),
    ]
    assert Decimal(changes[0]["rates"]["input"]) > 0
    assert not Price.objects.exists()
    approved = admin.ok("POST", "/prices/changes/approve", {"ids": [changes[0]["id"]]})
    assert [row["state"] for row in approved["data"]] == ["approved"]
    assert Price.objects.get().model == "acme/gpt-4o"
    assert len(admin.ok("POST", "/prices/changes/dismiss", {"all": True})["data"]) == 1
    assert Price.objects.count() == 1
    assert admin.ok("GET", "/prices/changes?state=dismissed")["total_count"] == 1
    nonsense: list[dict[str, Any]] = [{}, {"ids": []}, {"ids": ["x"]}, {"all": False}]
    for wrong in [*nonsense, {"ids": ["x"], "all": True}]:
        assert admin.refused("POST", "/prices/changes/approve", wrong)["status"] == 400
    assert PriceChange.objects.count() == 2


def test_models_without_a_price_are_listed_the_most_used_first(admin: Caller) -> None:
    admin.ok("POST", "/model/new", body("a", "ollama/llama3"))
    admin.ok("POST", "/prices", {"model": "acme/priced", "input": 1})
    entries = [make_entry(upstream_model="new", cost_nano=None, state="unpriced") for _ in range(2)]
    store(*entries, make_entry(upstream_model="priced", cost_nano=None, state="unpriced"))
    while roll_up():
        pass

    found = admin.ok("GET", "/prices/unpriced")["data"]

    assert found[0] == {"model": "acme/new", "is_configured": False, "requests": 2, "tokens": 2400}
    assert [row["is_configured"] for row in found] == [False, True]
    assert found[1]["model"].endswith("/llama3")


def test_a_request_is_estimated_by_rate_day_and_month(admin: Caller) -> None:
    make_price(
        input=Decimal(2),
        output=Decimal(8),
        cached_input=Decimal("0.5"),
        per_request=Decimal("0.001"),
        service_tiers={"batch": {"factor": "0.5"}},
    )
    question = {
        "model": "acme/small",
        "input_tokens": 1000,
        "cached_tokens": 400,
        "output_tokens": 100,
        "num_requests_per_day": 10,
    }

    found = admin.ok("POST", "/cost/estimate", question)

    assert found["cost"] == "0.0032"
    assert (found["cost_per_request"], found["input_cost_per_request"]) == (0.0032, 0.0024)
    assert (found["output_cost_per_request"], found["margin_cost_per_request"]) == (0.0008, 0)
    assert (found["daily_cost"], found["daily_output_cost"], found["monthly_cost"]) == (0.032, 0.008, None)
    assert (found["provider"], found["models"]) == ("acme", {"acme/small": "0.0032"})
    parts = {part["name"]: (part["quantity"], part["rate"], part["cost"]) for part in found["breakdown"]}
    assert parts == {
        "cached_input": (400, 0.5, "0.0002"),
        "input": (600, 2, "0.0012"),
        "output": (100, 8, "0.0008"),
        "per_request": (1, 0.001, "0.001"),
    }
    assert sum(Decimal(part["cost"]) for part in found["breakdown"]) == Decimal(found["cost"])
    batch = admin.ok("POST", "/cost/estimate", {**question, "service_tier": "batch"})
    assert batch["cost"] == "0.0016"


def test_pictures_have_prices_by_quality_and_size(admin: Caller) -> None:
    prices = {"hd/1024x1792": "0.12", "1024x1024": "0.04"}
    made = admin.ok("POST", "/prices", {"model": "acme/small", "picture_prices": prices})
    refused = admin.refused("POST", "/prices", {"model": "acme/small", "picture_prices": {"large": "-1"}})

    asked = {"model": "acme/small", "images": 2, "image_size": "1024x1792", "image_quality": "hd"}
    answer = admin.ok("POST", "/cost/estimate", asked)

    assert made["picture_prices"] == prices
    assert refused["param"] == "picture_prices"
    assert answer["cost"] == "0.24"
    assert answer["breakdown"][0]["name"] == "per_image"


def test_messages_are_estimated_and_a_route_costs_what_its_dearest_model_does(admin: Caller) -> None:
    admin.ok("POST", "/model/new", body("fast", "ollama/a"))
    admin.ok("POST", "/model/new", body("fast", "ollama/b"))
    cheap, dear = sorted(str(row) for row in UpstreamModel.objects.select_related("upstream"))
    admin.ok("POST", "/prices", {"model": cheap, "input": 1, "output": 1})
    admin.ok("POST", "/prices", {"model": dear, "input": 2, "output": 2})
    messages = [{"role": "user", "content": "x" * 3000}]

    found = admin.ok("POST", "/cost/estimate", {"model": "fast", "messages": messages, "max_tokens": 50})

    assert found["is_estimated"]
    assert 1000 <= found["input_tokens"] <= 1030
    assert found["output_tokens"] == 50
    assert found["priced_as"] == dear
    assert Decimal(found["models"][cheap]) * 2 == Decimal(found["models"][dear]) == Decimal(found["cost"])


def test_any_key_may_ask_about_its_own_models_and_learns_no_place(admin: Caller) -> None:
    make_price()
    own = admin.with_key(admin.ok("POST", "/key/generate", {"models": ["acme/small"]})["key"])
    other = admin.with_key(admin.ok("POST", "/key/generate", {"models": ["acme/big"]})["key"])
    question = {"model": "acme/small", "input_tokens": 10}

    found = own.ok("POST", "/cost/estimate", question)

    assert (found["priced_as"], found["provider"], found["models"]) == ("acme/small", "", {})
    assert other.refused("POST", "/cost/estimate", question)["status"] == 403
    assert admin.with_key(None).refused("POST", "/cost/estimate", question)["status"] == 401
    assert own.refused("GET", "/prices")["status"] == 403
    assert own.refused("POST", "/prices/refresh", {})["status"] == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": -1},
        {"input_tokens": 1.5},
        {"messages": [], "input_tokens": 5},
        {"max_tokens": 1, "output_tokens": 1},
        {"service_tier": "best"},
        {"seconds": "NaN"},
        {"unknown": 1},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(admin: Caller, wrong: dict[str, Any]) -> None:
    make_price()

    assert admin.refused("POST", "/cost/estimate", {"model": "acme/small", **wrong})["status"] == 400


def test_what_an_answer_used_is_calculated(admin: Caller) -> None:
    make_price()
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    answer = {"id": "x", "model": "acme/small", "choices": [], "usage": usage}

    assert admin.ok("POST", "/spend/calculate", {"completion_response": answer}) == {"cost": 0.0045}
    told = {**answer, "usage": {**usage, "cost": 0.00014}}
    assert admin.ok("POST", "/spend/calculate", {"completion_response": told}) == {"cost": 0.0045}
    messages = [{"role": "user", "content": "x" * 2940}]
    found = admin.ok("POST", "/spend/calculate", {"model": "acme/small", "messages": messages})
    assert 0.0029 < found["cost"] < 0.0032
    for wrong in (
        {"completion_response": {**answer, "usage": None}},
        {"completion_response": {**answer, "model": 3}},
        {"completion_response": answer, "prompt_tokens": 1},
        {"messages": messages},
        {},
    ):
        assert admin.refused("POST", "/spend/calculate", wrong)["status"] == 400
