"""An answer means the same however its bytes arrive, and what is none never passes for one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.upstreams.memory import OK, TWO, Read, exchange
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.services.http1 import MAX_HEAD_BYTES


def read(*pieces: bytes, ends: bool = False) -> Read:
    """As `exchange`, on a loop of its own."""
    return asyncio.run(exchange(pieces, ends=ends))


@dataclass(frozen=True)
class Sent:
    """An answer as a server writes it, and what it means."""

    wire: bytes
    meant: Read
    ends: bool


TOKENS = st.text("abcdefghijklmnop-", min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@st.composite
def answers(draw: st.DrawFn) -> Sent:
    """Any answer: its body of known or unknown length, in chunks or none; perhaps after an interim one."""
    interim = draw(
        st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nLink: x\r\n\r\n"])
    )
    status = draw(st.sampled_from([200, 201, 204, 400, 413, 429, 500, 503]))
    headers = {
        f"x-{name}": value for name, value in draw(st.dictionaries(TOKENS, VALUES, max_size=4)).items()
    }
    chunks = [] if status == 204 else draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    framing = "none" if status == 204 else draw(st.sampled_from(["length", "chunked", "end"]))
    closes = framing == "end" or draw(st.booleans())
    body = b"".join(chunks)
    wire = body
    if framing == "length":
        headers["content-length"] = str(len(body))
    elif framing == "chunked":
        headers["transfer-encoding"] = "chunked"
        trailer = draw(st.sampled_from([b"", b"X-Trailer: 1\r\n"]))
        wire = (
            b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailer + b"\r\n"
        )
    if closes:
        headers["connection"] = "close"
    lines = "".join(f"{name.title()}: {value}\r\n" for name, value in headers.items()).encode()
    head = b"HTTP/1.1 %d Reason\r\n" % status + lines + b"\r\n"
    return Sent(interim + head + wire, Read(status, headers, body, not closes), framing == "end")


@given(answers(), st.lists(st.integers(0, 400), max_size=12))
def test_the_pieces_that_an_answer_comes_in_change_nothing(sent: Sent, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(sent.wire) + 1) for cut in cuts), len(sent.wire)]
    pieces = [sent.wire[start:end] for start, end in pairwise(edges) if start < end]

    assert read(*pieces, ends=sent.ends) == sent.meant


@pytest.mark.parametrize(
    ("wire", "ends"),
    [
        (OK + b"Content-Length: 5\r\nX-A: b\r\n\r\nhello", False),
        (
            OK + b"Transfer-Encoding: chunked\r\nX-A: b\r\n\r\n2;e=1\r\nhe\r\n3\r\nllo\r\n0\r\nT: x\r\n\r\n",
            False,
        ),
        (OK + b"X-A: b\r\n\r\nhello", True),
        (
            b"HTTP/1.1 100 Continue\r\nX-A: c\r\n\r\n" + OK + b"Content-Length: 5\r\nX-A: b\r\n\r\nhello",
            False,
        ),
    ],
    ids=["length", "chunked", "end", "interim"],
)
def test_an_answer_may_be_cut_anywhere(wire: bytes, ends: bool) -> None:
    for cut in range(1, len(wire)):
        got = read(wire[:cut], wire[cut:], ends=ends)
        assert (got.status, got.headers["x-a"], got.body, got.is_reusable) == (200, "b", b"hello", not ends)
    whole = read(*(wire[at : at + 1] for at in range(len(wire))), ends=ends)
    assert (whole.status, whole.body) == (200, b"hello")


@given(answers(), st.integers(0, 400))
def test_a_part_of_an_answer_never_passes_for_all_of_it(sent: Sent, cut: int) -> None:
    start = sent.wire[: cut % len(sent.wire)]
    # All of an empty body is there once its head is; a body of unknown length may end anywhere.
    if sent.ends and b"\r\n\r\n" in start.rpartition(b"HTTP/1.1 ")[2]:
        return

    with pytest.raises(UpstreamUnreachable):
        read(start, ends=True)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=4), st.sampled_from([b"", OK, TWO[:-4]]))
def test_noise_ends_in_an_answer_or_in_our_error(noise: list[bytes], before: bytes) -> None:
    try:
        got = read(before, *noise, ends=True)
    except UpstreamUnreachable:
        return
    assert got.status >= 200
    assert not got.is_reusable


@pytest.mark.parametrize(
    "wire",
    [
        b"\x16\x03\x01 no HTTP",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nx",
        b"HTTP/1.1 199 Own\r\n\r\n",
        OK + b"no header\r\n\r\n",
        OK + b"Content-Length: x\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\nhi",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n",
        OK + b"X: " + b"x" * (MAX_HEAD_BYTES + 1) + b"\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_usable_answer_is_told_so(wire: bytes) -> None:
    for pieces in (
        [wire],
        [wire[at : at + 1] for at in range(len(wire))] if len(wire) < 500 else [wire[:9], wire[9:]],
    ):
        with pytest.raises(UpstreamUnreachable, match=r"^the answer was not usable HTTP \(.+\)$"):
            read(*pieces)


@pytest.mark.parametrize(
    "endless",
    [
        OK + b"X: ",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2;",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: ",
    ],
    ids=["head", "chunk-extension", "trailer"],
)
def test_what_is_no_body_has_an_end(endless: bytes) -> None:
    with pytest.raises(UpstreamUnreachable, match="too much that is no body"):
        read(endless, *[b"x" * 1000] * 100)


def test_interim_answers_have_an_end_too() -> None:
    with pytest.raises(UpstreamUnreachable, match="too much that is no body"):
        read(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 4000)


def test_a_head_of_just_the_limit_is_read() -> None:
    line = OK + b"Content-Length: 0\r\nX: "
    value = b"x" * (MAX_HEAD_BYTES - len(line) - 4)

    assert read(line + value + b"\r\n\r\n").headers["x"] == value.decode()


@pytest.mark.parametrize(
    ("wire", "is_reusable"),
    [
        (TWO, True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nhi", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", True),
        # What nobody asked for must never be the next caller's answer.
        (TWO + b"x", False),
        (TWO + OK + b"Content-Length: 5\r\n\r\nsmuggled", False),
        (TWO + b"HTTP/1.1 100 Continue\r\n\r\n", False),
    ],
)
def test_a_connection_is_kept_only_where_both_sides_know_its_state(wire: bytes, is_reusable: bool) -> None:
    for pieces in (
        [wire],
        [wire[: len(TWO)], wire[len(TWO) :]],
        [wire[at : at + 1] for at in range(len(wire))],
    ):
        got = read(*pieces)
        assert (got.status, got.body, got.is_reusable) == (200, b"hi", is_reusable)


def test_an_answer_without_a_body_does_not_wait_for_one() -> None:
    assert read(b"HTTP/1.1 204 No Content\r\n\r\n") == Read(204, {}, b"", True)


def test_small_servers_may_leave_out_carriage_returns() -> None:
    assert read(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi").body == b"hi"
