"""The journal's line: what goes in comes out, whatever clients put into their texts."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usage.entries import make_entry
from usage_app.entry import TokenUsage
from usage_app.services.lines import TEXT_LENGTHS, BadLine, LaterVersion, decode, encode

texts = st.text(st.characters(), max_size=400)
counts = st.integers(min_value=0, max_value=2**40)


@given(
    end_user=texts,
    correlation_id=texts,
    model=texts,
    tokens=st.builds(TokenUsage, counts, counts, counts, counts, counts, counts, counts),
    cost_nano=st.none() | st.integers(min_value=0, max_value=2**63 - 1),
    first_token_ms=st.none() | st.floats(min_value=0, max_value=1e9),
)
def test_an_entry_comes_back_as_its_row(
    end_user: str,
    correlation_id: str,
    model: str,
    tokens: TokenUsage,
    cost_nano: int | None,
    first_token_ms: float | None,
) -> None:
    entry = make_entry(
        end_user=end_user,
        correlation_id=correlation_id,
        model=model,
        tokens=tokens,
        cost_nano=cost_nano,
        first_token_ms=first_token_ms,
    )

    line = encode(entry)
    row = decode(line[:-1])

    assert line.count(b"\n") == 1
    assert line.startswith(b'{"v":1,')
    assert row.end_user == clean(end_user, "end_user")
    assert row.correlation_id == clean(correlation_id, "correlation_id")
    assert row.model == clean(model, "model")
    assert (row.id, row.key_id, row.tokens) == (entry.id, entry.key_id, tokens)
    assert (row.cost_nano, row.first_token_ms) == (cost_nano, first_token_ms)


def clean(text: str, name: str) -> str:
    return text.replace("\0", "")[: TEXT_LENGTHS[name]].encode("utf-8", "replace").decode()


def test_a_duration_that_is_not_a_number_is_none() -> None:
    row = decode(encode(make_entry(total_ms=float("nan"), first_token_ms=float("inf")))[:-1])

    assert (row.total_ms, row.first_token_ms) == (None, None)


def test_an_id_beyond_all_dates_is_no_line() -> None:
    with pytest.raises(BadLine, match="moment"):
        decode(encode(make_entry(id=UUID(int=2**128 - 1)))[:-1])


@pytest.mark.parametrize("cut", [1, 50, 200])
def test_a_part_of_a_line_is_no_line(cut: int) -> None:
    with pytest.raises(BadLine):
        decode(encode(make_entry())[:-1][:-cut])


@pytest.mark.parametrize("line", [b"", b"{}", b"\0\0\0", b'{"v":1}', b'{"v":0,"id":"x"}', b"\xff"])
def test_garbage_is_no_line(line: bytes) -> None:
    with pytest.raises(BadLine):
        decode(line)


def test_a_line_of_a_later_release_is_left_to_it() -> None:
    line = encode(make_entry())[:-1].replace(b'"v":1', b'"v":2')

    with pytest.raises(LaterVersion):
        decode(line)
    with pytest.raises(LaterVersion):
        decode(b'{"v":2,"id":17}')


def test_unknown_fields_are_ignored_and_missing_ones_have_their_default() -> None:
    entry = make_entry()
    line = f'{{"v":1,"id":"{entry.id}","operation":"chat","model":"m","status":200,"state":"reported","x":1}}'

    row = decode(line.encode())

    assert (row.kind, row.attempts, row.cost_nano) == ("llm", 0, None)
