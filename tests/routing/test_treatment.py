"""A route treats requests and answers as it says, and has words of its own while it rests."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway_project.core.codec import split_object
from tests.limits.door import CARD, Answer, limit
from tests.routing.candidates import route, target
from tests.routing.routed import door_of, record_of, with_vendors
from tests.routing.shaky import DEAD, ShakyVendor
from upstreams_app.registry import ModelEntry
from upstreams_app.route_treatment import (
    COLUMNS,
    Maintenance,
    Treatment,
    check_members,
    check_messages,
    check_response_headers,
    read_treatment,
)
from upstreams_app.services.calls import treated_fields

SYSTEM = {"role": "system", "content": "Be brief."}
LAST = {"role": "user", "content": "In English."}


_NAMES = {
    "defaults": "body_defaults",
    "overrides": "body_overrides",
    "prepend": "prompt_prepend",
    "append": "prompt_append",
}


def treatment(**given: Any) -> Treatment:
    columns: dict[str, Any] = {name: [] if name.startswith("prompt_") else {} for name in COLUMNS}
    read = read_treatment({**columns, **{_NAMES.get(name, name): value for name, value in given.items()}})
    assert read is not None
    return read


def test_defaults_fill_gaps_and_overrides_win() -> None:
    treats = treatment(
        defaults={"temperature": 0.2, "top_p": 1}, overrides={"max_tokens": 50, "logprobs": None}
    )
    sent = split_object(b'{"temperature":1.50,"max_tokens":9000,"logprobs":true,"seed":7}')

    applied = treats.apply(sent)

    assert {name: bytes(value) for name, value in applied.items()} == {
        "temperature": b"1.50",
        "top_p": b"1",
        "max_tokens": b"50",
        "seed": b"7",
    }
    assert bytes(sent["max_tokens"]) == b"9000"


def test_the_bound_of_an_answer_has_two_names_and_goes_out_by_one() -> None:
    bound = treatment(overrides={"max_tokens": 50})
    filled = treatment(defaults={"max_tokens": 50})
    newer = split_object(b'{"max_completion_tokens":9000}')
    both = split_object(b'{"max_tokens":8,"max_completion_tokens":9000}')

    assert bound.apply(newer) == bound.apply(both) == {"max_completion_tokens": msgspec.Raw(b"50")}
    assert bound.apply({}) == filled.apply({}) == {"max_tokens": msgspec.Raw(b"50")}
    assert filled.apply(newer) == newer
    assert treatment(overrides={"max_tokens": None}).apply(newer) == {}


@pytest.mark.parametrize(
    "messages", [b'[{"role":"user","content":"Hi"}]', b' [ {"role":"user","content":"Hi"} ] ']
)
def test_messages_stand_around_the_clients(messages: bytes) -> None:
    treats = treatment(prepend=[SYSTEM], append=[LAST])

    applied = treats.apply(split_object(b'{"messages":%b}' % messages))

    assert json.loads(bytes(applied["messages"])) == [SYSTEM, {"role": "user", "content": "Hi"}, LAST]


def test_calls_of_agents_are_treated_too() -> None:
    treats = treatment(overrides={"seed": 1})

    fields = treated_fields(treats, lambda _: split_object(b'{"seed":2}'))(target("a/m"))

    assert bytes(fields["seed"]) == b"1"


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (check_members, {"model": "other"}),
        (check_members, {"stream": True}),
        (check_members, {"n": 100}),
        (check_members, {"user": "bob"}),
        (check_members, {"a b": 1}),
        (check_members, {"x": "y" * 40_000}),
        (check_members, {"x": float("inf")}),
        (check_messages, [{"role": "tool", "content": "x"}]),
        (check_messages, [{"role": "user", "content": [{"type": "text"}]}]),
        (check_messages, [{"role": "user", "content": " "}]),
        (check_response_headers, {"set-cookie": "a=b"}),
        (check_response_headers, {"x-gateway-cost": "0"}),
        (check_response_headers, {"x-zone": "a\r\nset-cookie: b"}),
        (check_response_headers, {"X-Zone": "a"}),
    ],
)
def test_what_a_route_must_not_set_is_refused(check: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check(value)


@pytest.mark.django_db(transaction=True)
def test_limits_are_held_for_what_is_sent_and_answers_have_the_headers() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        treats = treatment(overrides={"max_tokens": 50}, response_headers={"x-data-region": "eu"})
        entry = replace(route(target("a/m", vendors[0].url)), treatment=treats)
        tokens = limit(metric="output_tokens", value=60)

        answer = await door_of(entry, rules=[tokens], prices={"a/m": CARD}).ask("fast", max_tokens=10_000)

        assert (answer.status, answer.headers["x-data-region"]) == (200, "eu")

    with_vendors(1, work)


def resting(vendor: ShakyVendor, answer: str = "", **policy: Any) -> ModelEntry:
    entry = route(target("a/m", vendor.url), **policy)
    return replace(entry, maintenance=Maintenance("Back at noon.", answer))


@pytest.mark.django_db(transaction=True)
def test_a_route_in_maintenance_says_what_it_was_told_to_say() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        await vendors[0].become(DEAD)
        other = route(target("b/m", vendors[0].url), name="other")
        refusing = door_of(resting(vendors[0], fallbacks={"general": ("other",)}), other)
        answering = door_of(resting(vendors[0], "We are back at noon."))

        refused = [await refusing.ask("fast", stream=is_stream) for is_stream in (False, True)]
        plain, stream = [await answering.ask("fast", stream=is_stream) for is_stream in (False, True)]

        assert [(each.status, each.error["code"]) for each in refused] == [(503, "route_in_maintenance")] * 2
        assert refused[0].error["message"] == "Back at noon."
        choice = json.loads(plain.body)["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("We are back at noon.", "stop")
        assert stream.body.endswith(b"data: [DONE]\n\n")
        assert b"We are back at noon." in stream.body
        answers.append(plain)

    answers: list[Answer] = []
    with_vendors(1, work)

    record = record_of(answers[0])
    assert (record.status, record.attempts, record.input_tokens, record.output_tokens) == (200, 0, 0, 0)
    assert (record.state, record.cost) == ("reported", 0)


@pytest.mark.django_db(transaction=True)
def test_maintenance_opens_a_route_to_nobody() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        door = door_of(resting(vendors[0], "We are back at noon."))
        policy = door.principal.policy
        door.principal = door.principal._replace(policy=type(policy)(policy.scopes, ("other",)))

        assert (await door.ask("fast")).status == 403

    with_vendors(1, work)
