"""Requests get the targets whose conditions and tags are for them, and a route may have other names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.api.models import find_model
from gateway_project.core.codec import split_object
from gateway_project.core.snapshot import Snapshot
from security_app.registry import Principal
from tests.limits.door import POLICY, Answer
from tests.routing.candidates import route, target
from tests.routing.routed import door_of, record_of, with_vendors
from tests.routing.shaky import ShakyVendor
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.route_conditions import EXAMPLE_VALUES, check_condition, compile_condition
from upstreams_app.routing.facts import TargetFacts
from upstreams_app.routing.plan import Plan
from upstreams_app.routing.selection import select
from upstreams_app.routing.strategies import Candidate
from upstreams_app.services.client import ClientPool
from upstreams_app.services.deciding import decide
from upstreams_app.services.questions import _VALUES, Question


def only(model_id: str, condition: str = "", tags: tuple[str, ...] = (), **fields: Any) -> Target:
    """A target for some requests."""
    compiled = compile_condition(condition) if condition else None
    return replace(target(model_id, **fields), condition=compiled, tags=frozenset(tags))


def selective(*targets: Target, **policy: Any) -> ModelEntry:
    """A route over these, as the snapshot has it."""
    read = [each.condition.variables for each in targets if each.condition is not None]
    entry = route(*targets, **policy)
    return replace(entry, reads=frozenset().union(*read) if read else None, is_selective=True)


def question(body: bytes = b'{"messages":[]}', **fields: Any) -> Question:
    """A request by alice, at half past nine."""
    principal = Principal(uuid4(), "alice", "ada", POLICY, 0.0, False)
    asked = Question(
        Snapshot({}),
        principal,
        1_769_850_000.0,
        "/chat/completions",
        False,
        lambda: split_object(body),
        {},
        model_id="fast",
    )
    return asked._replace(**fields)


def decided(asked: Question, entry: ModelEntry) -> Plan:
    clients = ClientPool()
    return decide(asked, entry, clients.tracker.groups(entry), clients.busy)


async def order_of(entry: ModelEntry, asked: Question) -> list[str]:
    return [each.target.model_id for each in decided(asked, entry).order]


def test_every_name_that_conditions_may_use_has_a_value() -> None:
    values = question().values(EXAMPLE_VALUES)

    assert set(_VALUES) == set(EXAMPLE_VALUES)
    assert {name: type(value) for name, value in values.items()} == {
        name: type(value) for name, value in EXAMPLE_VALUES.items()
    }


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ("tokens > 1000", {"body": b'{"messages":"%b"}' % (b"x" * 4000)}),
        ("has_tools", {"body": b'{"tools":[{}]}'}),
        ("has_images", {"body": b'{"messages":[{"content":[{"type": "image_url"}]}]}'}),
        ("stream", {"is_stream": True}),
        (
            "'x-route-zone' in headers && headers['x-route-zone'] == 'eu'",
            {"headers": {b"x-route-zone": b"eu"}},
        ),
        ("'batch' in tags", {"tags": ("batch",)}),
        ("principal.end_user == 'bob'", {"end_user": "bob"}),
        ("hour >= 22 || hour < 6", {"at_s": 1_769_900_400.0}),
        ("operation == 'embeddings'", {"path": "/embeddings"}),
        ("model == 'other'", {"model_id": "other"}),
    ],
)
async def test_a_condition_decides_who_is_asked(condition: str, fields: dict[str, Any]) -> None:
    entry = selective(only("special/m", condition, priority=1), target("usual/m", priority=2))

    assert await order_of(entry, question()) == ["usual/m"]
    assert await order_of(entry, question(**fields)) == ["special/m", "usual/m"]


async def test_secret_headers_are_not_shown_to_conditions() -> None:
    headers = {b"authorization": b"Bearer x", b"x-api-key": b"x", b"cookie": b"x", b"user-agent": b"curl"}

    assert question(headers=headers).values(("headers",)) == {"headers": {"user-agent": "curl"}}


async def test_what_goes_wrong_in_a_condition_is_no_match() -> None:
    entry = selective(only("broken/m", "headers['x-route-zone'] == 'eu'"), target("usual/m"))

    plan = decided(question(), entry)

    assert [each.target.model_id for each in plan.order] == ["usual/m"]
    assert plan.record()["passed_over"] == {"broken/m": "condition"}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (("eu",), {"eu/m"}),
        (("eu", "batch"), {"eu/m", "slow/m"}),
        ((), {"any/m"}),
        (("unknown",), {"any/m"}),
    ],
)
async def test_tags_choose_targets_and_default_takes_the_rest(
    tags: tuple[str, ...], expected: set[str]
) -> None:
    entry = selective(
        only("eu/m", tags=("eu",)),
        only("slow/m", tags=("batch", "night")),
        only("any/m", tags=("default",)),
        target("untagged/m"),
    )

    assert set(await order_of(entry, question(tags=tags))) == expected


_TAGS = st.frozensets(st.sampled_from(["eu", "batch", "default"]))


@given(st.lists(_TAGS, min_size=1, max_size=8), _TAGS)
@settings(max_examples=60, deadline=None)
def test_every_target_is_either_asked_or_passed_over_and_a_shared_tag_decides(
    tagged: list[frozenset[str]], asked: frozenset[str]
) -> None:
    targets = [only(f"u{index}/m", tags=tuple(tags)) for index, tags in enumerate(tagged)]
    entry = selective(*targets)
    groups = (tuple(Candidate.of(each, TargetFacts(each.model_id)) for each in entry.targets),)

    kept, passed = select(entry, groups, tags=asked, values_of=question().values)

    asked_of = {candidate.facts.model_id for group in kept for candidate in group}
    assert asked_of | set(passed) == {each.model_id for each in targets}
    assert not asked_of & set(passed)
    sharing = {each.model_id for each in targets if each.tags & asked}
    assert asked_of == sharing or not sharing


async def test_without_a_default_untagged_targets_take_the_rest() -> None:
    entry = selective(only("eu/m", tags=("eu",)), target("untagged/m"))

    assert await order_of(entry, question()) == ["untagged/m"]
    assert await order_of(entry, question(tags=("eu",))) == ["eu/m"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokens >> 5", r"character 9"),
        ("tokens > 5 && speed > 1", r"no 'speed' here \(character 15\)"),
        ("tokens + 1", r"true or false, not int"),
        ("tokens.matches('a')", r"no function 'matches'"),
        ("principal.shoe_size == 3", r"example values"),
    ],
)
def test_what_can_not_be_used_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_condition(text)


@pytest.mark.django_db(transaction=True)
def test_a_request_that_no_target_is_for_is_refused_and_others_are_answered() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        door = door_of(selective(only("a/m", "stream", url=vendors[0].url)))

        refused, answered = await door.ask("fast"), await door.ask("fast", stream=True)

        assert (refused.status, refused.error["code"]) == (400, "no_matching_target")
        assert answered.status == 200
        answers.append(answered)
        assert vendors[0].asked.total() == 1

    answers: list[Answer] = []
    with_vendors(1, work)

    assert record_of(answers[0]).decision == {"route": "fast", "strategy": "weighted", "candidates": ["a/m"]}


@pytest.mark.django_db(transaction=True)
def test_tags_of_litellms_clients_choose_targets_too() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        eu = only("eu/m", tags=("eu",), url=vendors[0].url)
        door = door_of(selective(eu, target("usual/m", vendors[1].url)))

        answers = [await door.ask("fast", metadata=metadata) for metadata in ({"tags": ["eu"]}, {"a": "b"})]

        assert [answer.headers["x-gateway-upstream"] for answer in answers] == ["eu", "usual"]

    with_vendors(2, work)


def test_an_alias_stands_for_its_route() -> None:
    entry = route(target("a/m"))
    door = door_of(entry)
    door.snapshot.sections["upstreams"].value.aliases["gpt-4"] = entry

    assert find_model(door.snapshot, "gpt-4") is entry
    assert find_model(door.snapshot, "gpt-5") is None
