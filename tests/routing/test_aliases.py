"""Keys and teams have names of their own for models, and facts that a route's conditions may ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from security_app.registry import KeyPolicy
from security_app.registry.facts import Facts, read_facts, with_team
from tests.limits.door import limit
from tests.routing.candidates import route, target
from tests.routing.routed import door_of, record_of, with_vendors
from tests.routing.shaky import ShakyVendor
from upstreams_app.registry import ModelEntry
from upstreams_app.route_conditions import check_condition, compile_condition


def two_routes(vendor: ShakyVendor) -> tuple[ModelEntry, ModelEntry]:
    return route(target("a/m", vendor.url), name="fast"), route(target("b/m", vendor.url), name="slow")


@pytest.mark.django_db(transaction=True)
def test_a_keys_own_name_leads_to_the_model_and_wins_over_a_model_of_that_name() -> None:
    answers = []

    async def work(vendors: list[ShakyVendor]) -> None:
        door = door_of(*two_routes(vendors[0]))
        door.principal = door.principal._replace(facts=Facts({"gpt-4": "slow", "fast": "slow"}))

        answers.extend([await door.ask(name) for name in ("gpt-4", "fast", "slow")])
        unknown = await door.ask("other")
        door.principal = door.principal._replace(facts=Facts({"gpt-4": "gone"}))
        gone = await door.ask("gpt-4")

        assert [answer.headers["x-gateway-model"] for answer in answers] == ["slow"] * 3
        assert [(each.status, each.error["param"]) for each in (unknown, gone)] == [(404, "model")] * 2
        assert "gpt-4" in gone.error["message"]

    with_vendors(1, work)

    assert {record_of(answer).model for answer in answers} == {"slow"}


@pytest.mark.django_db(transaction=True)
def test_a_name_allows_nothing_that_its_model_is_not_allowed_and_is_limited_as_it() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        of_slow = limit(kind="model", subject="slow", value=1)
        door = door_of(*two_routes(vendors[0]), rules=[of_slow])
        door.principal = door.principal._replace(facts=Facts({"gpt-4": "slow"}))
        allowed = [(await door.ask("gpt-4")).status for _ in range(2)]
        policy = KeyPolicy(frozenset({"inference"}), ("fast", "gpt-4"))
        door.principal = door.principal._replace(policy=policy)

        refused = await door.ask("gpt-4")

        assert allowed == [200, 429]
        assert refused.status == 403

    with_vendors(1, work)


@pytest.mark.django_db(transaction=True)
def test_conditions_may_ask_what_was_said_of_the_key_and_its_team() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        gold = replace(
            target("a/m", vendors[0].url),
            condition=compile_condition("metadata.plan == 'gold' && team_metadata.region == 'eu'"),
        )
        entry = route(gold, target("b/m", vendors[0].url, priority=2), name="fast")
        door = door_of(replace(entry, is_selective=True, reads=frozenset({"metadata", "team_metadata"})))
        asked = []
        for facts in (None, Facts({}, {"plan": "gold"}), Facts({}, {"plan": "gold"}, {"region": "eu"})):
            door.principal = door.principal._replace(facts=facts)
            asked.append((await door.ask("fast")).headers["x-gateway-upstream"])

        assert asked == ["b", "b", "a"]

    with_vendors(1, work)


def test_a_condition_on_facts_is_not_refused_for_want_of_an_example() -> None:
    check_condition("metadata.tier == 'x' || 'zone' in team_metadata")


@pytest.mark.parametrize(
    ("aliases", "metadata", "expected"),
    [
        ("{}", "{}", None),
        ("{}", '{"a":{"b":1}}', None),
        ('{"x":"y"}', "{}", Facts({"x": "y"})),
        (
            "{}",
            '{"a":"b","n":1.5,"t":true,"o":{},"l":[1],"z":null}',
            Facts({}, {"a": "b", "n": 1.5, "t": True}),
        ),
        ("{}", '{"half":"\\ud800","long":"' + "x" * 300 + '","a":"b"}', Facts({}, {"half": "?", "a": "b"})),
    ],
)
def test_only_plain_facts_are_kept_and_nothing_where_there_is_nothing(
    aliases: str, metadata: str, expected: Any
) -> None:
    assert read_facts(aliases, metadata) == expected


def test_a_keys_names_come_before_its_teams() -> None:
    own, team = Facts({"a": "own"}, {"k": 1}), Facts({"a": "team", "b": "team"}, {"t": 2})

    assert with_team(own, team) == Facts({"a": "own", "b": "team"}, {"k": 1}, {"t": 2})
    assert with_team(None, team) == Facts({"a": "team", "b": "team"}, {}, {"t": 2})
    assert with_team(own, None) is own
    assert with_team(None, None) is None
