"""External authorizers: what they are told, what their answers do, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway_project.core.errors import Overloaded, PermissionDenied
from security_app.models.authorizer import SENT
from security_app.registry import DoorsConfig, KeyPolicy, Principal
from security_app.registry.authorizers import Authorizer
from security_app.services import authorizing
from security_app.services.authorizer_wire import Answer, Asked
from security_app.services.authorizing import FAILURES_TO_OPEN, Lines, ask_authorizers, ask_authorizers_here
from tests.fakes.authorizer import SECRET, FakeAuthorizer

KEY_ID = UUID(int=7)
ADA = Principal(
    KEY_ID, "chat", "ada", KeyPolicy(frozenset({"inference"}), ()), 0.0, False, claims={"amr": ["mfa"]}
)
MODEL = Asked("model", "fake/x", "inference", "203.0.113.7", "POST", "/v1/chat/completions")


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Nothing is kept from test to test."""
    fresh = Lines()
    monkeypatch.setattr(authorizing, "lines", fresh)
    return fresh


@pytest.fixture
def fake() -> Iterator[FakeAuthorizer]:
    with FakeAuthorizer() as running:
        yield running


def authorizer(fake: FakeAuthorizer | None, **changes: Any) -> Authorizer:
    url = "http://127.0.0.1:1/ask" if fake is None else fake.url
    made = Authorizer(uuid4(), "policy", url, SECRET, ("models",), frozenset(SENT), 3.0, False, 60.0)
    return made._replace(**changes)


def doors(*found: Authorizer) -> DoorsConfig:
    return DoorsConfig().seal(found)


def ask(config: DoorsConfig, *asked: Asked, about: str = "models") -> list[str]:
    """What came of each question, one after the other."""

    async def run() -> list[str]:
        said = [await _outcome(config, about, one) for one in asked]
        await authorizing.lines.close()
        return said

    return asyncio.run(run())


async def _outcome(config: DoorsConfig, about: str, asked: Asked) -> str:
    try:
        await ask_authorizers(config, about, ADA, asked, request_id="r1")
    except (PermissionDenied, Overloaded) as error:
        return f"{error.status} {error.code} {error.message}"
    return "allowed"


def test_it_is_told_who_asks_for_what_and_its_questions_are_signed(fake: FakeAuthorizer) -> None:
    assert ask(doors(authorizer(fake)), MODEL) == ["allowed"]

    (question,) = fake.questions
    assert question == {
        "version": 1,
        "request_id": "r1",
        "asked": {"kind": "model", "object": "fake/x", "door": "inference"},
        "principal": {
            "key": {"id": f"key_{KEY_ID.hex}", "name": "chat"},
            "user": "ada",
            "team": None,
            "organization": None,
            "end_user": "",
            "scopes": ["inference"],
            "claims": {"amr": ["mfa"]},
        },
        "request": {"ip": "203.0.113.7", "method": "POST", "path": "/v1/chat/completions"},
    }


def test_it_is_told_nothing_that_its_row_does_not_name(fake: FakeAuthorizer) -> None:
    ask(doors(authorizer(fake, sends=frozenset({"user"}))), MODEL._replace(agent="desk/x"))

    (question,) = fake.questions
    assert (question["principal"], question["request"]) == ({"user": "ada"}, {})
    assert "agent" not in question["asked"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, {"allow": False, "reason": "Not\non Sundays"}), "Not?on Sundays"),
        ((403, {"reason": "Not you"}), "Not you"),
        ((403, b"<html>"), "refused it."),
        ((403, b""), "refused it."),
    ],
)
def test_a_refusal_is_403_with_its_reason(fake: FakeAuthorizer, answer: tuple[int, Any], said: str) -> None:
    fake.answer = answer

    (outcome,) = ask(doors(authorizer(fake)), MODEL)

    assert outcome.startswith("403 authorizer_denied The authorizer 'policy' refused it")
    assert said in outcome


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"allow": True}),
        (302, {"allow": True}),
        (200, {"allow": "yes"}),
        (200, b"allow"),
        (200, []),
        (200, b"x" * 20_000),
        (204, b""),
    ],
)
def test_what_is_no_answer_lets_through_or_refuses_as_the_row_says(
    fake: FakeAuthorizer, answer: tuple[int, Any]
) -> None:
    fake.answer = answer

    (closed,) = ask(doors(authorizer(fake)), MODEL)
    (opened,) = ask(doors(authorizer(fake, is_fail_open=True)), MODEL)

    assert closed.startswith("503 authorizer_unavailable")
    assert opened == "allowed"


def test_one_that_is_silent_is_not_waited_for_longer_than_its_time(fake: FakeAuthorizer) -> None:
    fake.is_silent = True

    (outcome,) = ask(doors(authorizer(fake, timeout_s=0.1)), MODEL)

    assert outcome.startswith("503")


def test_one_that_closed_a_connection_is_asked_once_more(fake: FakeAuthorizer) -> None:
    fake.leaves = 1
    assert ask(doors(authorizer(fake)), MODEL) == ["allowed"]

    fake.leaves = 2
    (outcome,) = ask(doors(authorizer(fake)), MODEL)

    assert outcome.startswith("503")
    assert len(fake.questions) == 4


def test_an_answer_serves_again_for_the_same_question_only(fake: FakeAuthorizer) -> None:
    fake.answer = (200, {"allow": False})
    other = MODEL._replace(object="fake/y")

    refused = ask(doors(authorizer(fake)), MODEL, MODEL, other)
    ask(doors(authorizer(fake, cache_s=0.0)), MODEL, MODEL)

    assert all(outcome.startswith("403") for outcome in refused)
    assert [question["asked"]["object"] for question in fake.questions] == [
        *("fake/x", "fake/y"),
        *("fake/x", "fake/x"),
    ]
    # Each configuration's questions went over one connection.
    assert fake.connections == 2


def test_kept_answers_have_bounds(fake: FakeAuthorizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizing, "MAX_ANSWERS", 10)
    line = authorizing.Line(authorizer(fake))

    for number in range(50):
        line.note(str(number).encode(), Answer(True))

    assert len(line._answers) <= 10
    assert line.known(b"49") is not None


def test_after_failures_nobody_waits_until_one_asks_again(
    fake: FakeAuthorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.answer = (500, {})
    config = doors(authorizer(fake, cache_s=0.0))

    async def run() -> list[str]:
        for _ in range(FAILURES_TO_OPEN + 3):
            await _outcome(config, "models", MODEL)
        asked = len(fake.questions)
        fake.answer = (200, {"allow": True})
        still = await _outcome(config, "models", MODEL)
        monkeypatch.setattr(authorizing, "monotonic", lambda: later)
        again = [await _outcome(config, "models", MODEL) for _ in range(2)]
        await authorizing.lines.close()
        return [str(asked), still[:3], *again]

    later = monotonic() + 10 * authorizing.OPEN_S
    assert asyncio.run(run()) == [str(FAILURES_TO_OPEN), "503", "allowed", "allowed"]


def test_all_that_are_there_must_allow_and_others_are_not_asked(fake: FakeAuthorizer) -> None:
    with FakeAuthorizer() as second:
        second.answer = (403, {})
        both = doors(authorizer(fake), authorizer(second, name="second"))
        tools_only = doors(authorizer(second, asked_about=("tools",)))

        (outcome,) = ask(both, MODEL)
        assert ask(tools_only, MODEL) == ["allowed"]

    assert "'second' refused" in outcome
    assert len(second.questions) == 1


def test_one_that_is_set_up_wrongly_refuses(fake: FakeAuthorizer) -> None:
    (outcome,) = ask(doors(authorizer(fake, problem="it is set up wrongly")), MODEL)

    assert outcome.startswith("503 authorizer_unavailable")
    assert not fake.questions


def test_a_change_ends_the_line_to_who_was_asked_before(fake: FakeAuthorizer, lines: Lines) -> None:
    async def run() -> None:
        await _outcome(doors(authorizer(fake, timeout_s=0.05)), "models", MODEL)
        await _outcome(doors(authorizer(fake, timeout_s=0.06)), "models", MODEL)
        assert len(lines._lines) == 1
        await asyncio.gather(*lines._closing)
        await lines.close()

    asyncio.run(run())


def test_threads_ask_the_same_and_an_address_that_must_not_be_called_is_not(fake: FakeAuthorizer) -> None:
    fake.answer = (403, {"reason": "no"})
    metadata = authorizer(None, url="http://169.254.169.254/ask")

    with pytest.raises(PermissionDenied, match="no"):
        ask_authorizers_here(doors(authorizer(fake)), "models", ADA, MODEL)
    with pytest.raises(Overloaded):
        ask_authorizers_here(doors(metadata), "models", ADA, MODEL)
    (outcome,) = ask(doors(metadata), MODEL)

    assert outcome.startswith("503")
    assert len(fake.questions) == 1
