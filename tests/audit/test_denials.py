"""Refusals become events, few of them, whatever is asked for and however often."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_project.denial_lines import DenialLines, encode_denials
from security_app.models import AuditEvent
from security_app.services.audit_check import check_audit
from security_app.services.denials import (
    MAX_ANONYMOUS,
    MAX_EXAMPLES,
    MAX_FOLDS,
    OTHERS,
    DenialFolds,
    Denials,
    chain_denials,
    folds,
    note_denial,
)
from security_app.services.keys import create_key
from tests.management.caller import Caller
from usage_app.services.ledger import Ledger
from usage_app.services.lines import BadLine, LaterVersion

KEY = ("key_1", "key")


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    folds.take(everything=True)
    yield
    folds.take(everything=True)


def counted(number: int) -> list[Denials]:
    """Refusals of one minute of as many callers."""
    found = DenialFolds(lambda: 0.0)
    for one in range(number):
        found.add("denied", (f"key_{one}", "key"), "scope", what=f"GET /{one}", ip="192.0.2.1")
    return found.take(everything=True)


def test_refusals_of_a_minute_to_one_caller_for_one_reason_are_one() -> None:
    found = DenialFolds(lambda: 0.0)
    for number in range(100):
        found.add("denied", KEY, "scope", what=f"GET /{number}")
    found.add("denied", KEY, "expired")

    told = {one.reason: one for one in found.take(everything=True)}

    assert (told["scope"].count, told["expired"].count) == (100, 1)
    assert told["scope"].what == [f"GET /{number}" for number in range(MAX_EXAMPLES)]


def test_many_callers_are_counted_together() -> None:
    found = counted(10_000)

    assert len(found) == MAX_FOLDS + 1
    assert sum(one.count for one in found) == 10_000
    assert [one.count for one in found if one.who == OTHERS] == [10_000 - MAX_FOLDS]


def test_a_flood_of_unknown_keys_does_not_hide_what_a_known_one_tries() -> None:
    found = DenialFolds(lambda: 0.0)
    for number in range(1000):
        found.add("denied", (f"sk-{number}", "anonymous"), "unknown")
    found.add("denied", KEY, "scope")

    told = {one.who: one.count for one in found.take(everything=True)}

    assert told["key_1"] == 1
    assert told[OTHERS] == 1000 - MAX_ANONYMOUS


def test_many_reasons_do_not_grow_without_bound() -> None:
    found = DenialFolds(lambda: 0.0)
    for number in range(10_000):
        found.add("denied", (f"key_{number}", "key"), f"reason {number}")

    told = found.take(everything=True)

    assert len(told) <= 2 * MAX_FOLDS + 1
    assert sum(one.count for one in told) == 10_000


def test_nobody_takes_them_and_they_stay_bounded() -> None:
    now = 0.0
    found = DenialFolds(lambda: now)
    for minute in range(100):
        now = minute * 60.0
        for number in range(MAX_FOLDS):
            found.add("denied", (f"key_{number}", "key"), "scope")

    assert len(found.take()) == 4 * MAX_FOLDS


@pytest.mark.django_db
def test_chaining_them_again_adds_nothing() -> None:
    found = counted(3)

    assert chain_denials(found) == 3
    assert chain_denials(found) == 0

    event = AuditEvent.objects.get(actor="key_1")
    assert (event.action, event.actor_kind, event.ip) == ("denied", "key", "192.0.2.1")
    assert json.loads(event.detail)["count"] == 1
    assert check_audit().is_whole


@pytest.mark.django_db(transaction=True)
def test_they_pass_the_journal(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for fold in counted(3):
        ledger.append_line(encode_denials(fold))

    assert ledger.flush_now() == 3
    assert AuditEvent.objects.filter(action="denied").count() == 3


def test_lines_of_others_are_refused() -> None:
    kind = DenialLines()
    line = encode_denials(counted(1)[0]).rstrip()
    assert kind.decode(line).who == "key_0"

    with pytest.raises(LaterVersion):
        kind.decode(line.replace(b'"v":1', b'"v":2'))
    for damaged in (line[:-9], b'{"line":"denials","v":1}', b"\xff"):
        with pytest.raises(BadLine):
            kind.decode(damaged)


def test_of_a_wrong_key_only_the_ends_are_told() -> None:
    note_denial(None, "unknown", "GET /v1/models", token="sk-0123456789abcdef")
    note_denial(None, "unknown", "GET /v1/models", token="password")
    note_denial(None, "missing", "GET /v1/models")

    assert [one.who for one in folds.take(everything=True)] == ["sk-0…cdef", "(a short text)", "(no key)"]


@pytest.mark.django_db(transaction=True)
def test_the_management_api_counts_whom_it_refuses(admin: Caller) -> None:
    key = create_key(actor="test", name="mine")

    assert Caller("sk-unknown-0000000000", []).get("/key/list").status_code == 401
    assert Caller(key.plain, []).get("/key/list").status_code == 403

    told = {(one.who, one.reason, one.what[0]) for one in folds.take(everything=True)}
    assert told == {
        ("sk-u…0000", "unknown", "GET /key/list"),
        (key.row.public_id, "insufficient_permissions", "GET /key/list"),
    }
