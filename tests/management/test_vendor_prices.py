"""Prices of models of vendors with formats of their own: whatever their ids look like, they are found."""

from __future__ import annotations

import pytest

from tests.management.caller import Caller
from upstreams_app.models import Upstream
from upstreams_app.services.model_prices import price_models
from usage_app.models import Price

PLAIN = {
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "vertex": "gemini-2.5-flash",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
}
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/"


def prices(kind: str, *names: str) -> list[tuple[object, ...] | None]:
    """What models cost that an upstream of a kind serves; None for those without a price."""
    row = Upstream(name=kind, kind=kind, base_url="https://models.example")
    price_models(row, names)
    found = {row.model: row for row in Price.objects.order_by("valid_from")}
    rows = [found.get(f"{kind}/{name}") for name in names]
    return [None if row is None else (row.input, row.output, row.cached_input) for row in rows]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("anthropic", ["claude-sonnet-4-5-20250929"]),
        ("gemini", ["models/gemini-2.5-flash", "gemini-2.5-flash-001"]),
        (
            "vertex",
            [
                "gemini-2.5-flash@001",
                "gemini-2.5-flash-001",
                "gemini-2.5-flash@default",
                "publishers/google/models/gemini-2.5-flash",
            ],
        ),
        (
            "bedrock",
            [
                *(f"{region}.{PLAIN['bedrock']}" for region in ("eu", "us", "jp", "apac", "us-gov")),
                f"{PROFILE}eu.{PLAIN['bedrock']}",
                f"arn:aws:bedrock:eu-west-1::foundation-model/{PLAIN['bedrock']}",
            ],
        ),
    ],
)
def test_a_model_costs_the_same_by_each_of_its_names(kind: str, names: list[str]) -> None:
    plain, *others = prices(kind, PLAIN[kind], *names)

    assert plain is not None
    assert others == [plain] * len(names)


@pytest.mark.django_db
def test_names_that_end_in_a_number_by_nature_keep_it() -> None:
    (embedding,) = prices("gemini", "gemini-embedding-001")

    assert embedding is not None


@pytest.mark.django_db
def test_what_nobody_knows_has_no_price() -> None:
    own = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3"

    assert prices("bedrock", own) == [None]
    assert prices("vertex", "endpoints/123456") == [None]


def test_a_profile_of_ones_own_is_priced_by_its_base_model(admin: Caller) -> None:
    own = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3"
    params = {"model": f"bedrock/{own}", "aws_region_name": "eu-west-1"}

    shown = admin.ok(
        "POST",
        "/model/new",
        {"model_name": "m", "litellm_params": params, "model_info": {"base_model": PLAIN["bedrock"]}},
    )

    assert Price.objects.get(model=shown["model_info"]["upstream_model"]).input > 0
