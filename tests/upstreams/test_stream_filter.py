"""A relayed stream means the same wherever it is cut, and differs from its origin only as it should."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.core.sse import EventSplitter, EventTooLarge
from tests.fakes import bodies
from upstreams_app.services.stream_filter import BrokenStream, StreamFilter, UpstreamErrorEvent
from usage_app.entry import TokenUsage

ASKED = "team/chat-ä"
VENDORS = "vendor-model"
ASKED_JSON = json.dumps(ASKED, ensure_ascii=False).encode()


def events_of(stream: bytes) -> list[str]:
    """The data of each event, by the book (WHATWG HTML, 9.2.6), apart from empty data, which says nothing."""
    events: list[str] = []
    lines: list[str] = []
    text = stream.decode().replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        if not line:
            if "".join(lines).strip():
                events.append("\n".join(lines))
            lines = []
        elif line.partition(":")[0] == "data":
            lines.append(line.partition(":")[2].removeprefix(" "))
    return events


def expected_chunks(stream: bytes, *, keeps_usage: bool) -> list[Any]:
    """What a client must see of a vendor's stream."""
    chunks = []
    for data in events_of(stream):
        if data.strip() == "[DONE]":
            break
        chunk = json.loads(data)
        if "model" in chunk:
            chunk["model"] = ASKED
        if "usage" in chunk and not keeps_usage:
            is_for_usage_only = chunk.pop("usage") is not None and not chunk.get("choices")
            if is_for_usage_only:
                continue
        chunks.append(chunk)
    return chunks


def filtered(pieces: Iterable[bytes], *, keeps_usage: bool) -> tuple[bytes, StreamFilter]:
    """What comes out of a filter that is fed like this."""
    stream_filter = StreamFilter(ASKED_JSON, keeps_usage=keeps_usage)
    output = b"".join([stream_filter.feed(piece) for piece in pieces if piece])
    return output + stream_filter.flush(), stream_filter


def cut(stream: bytes, borders: Iterable[int]) -> list[bytes]:
    """The stream in pieces."""
    places = [0, *sorted({border % (len(stream) + 1) for border in borders}), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


def assert_same(stream: bytes, pieces: Iterable[bytes], *, keeps_usage: bool) -> StreamFilter:
    """However it is cut, the client sees what it should, and the ledger too."""
    output, stream_filter = filtered(pieces, keeps_usage=keeps_usage)
    got = events_of(output)
    assert "[DONE]" not in got
    assert [json.loads(data) for data in got] == expected_chunks(stream, keeps_usage=keeps_usage)
    return stream_filter


texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            'data: {"a":1}',
            '"model":"vendor-model"',
            "\n\n",
            "\r",
            '"usage"',
            "[DONE]",
            "}\n\n",
            "🌍é",
            "error",
        ]
    ),
)
usages = st.one_of(
    st.none(),
    st.builds(
        lambda count, cached: {
            "prompt_tokens": count,
            "completion_tokens": 1,
            "total_tokens": count + 1,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
        st.integers(1, 1000),
        st.integers(0, 3),
    ),
)


@st.composite
def chunks(draw: st.DrawFn) -> dict[str, Any]:
    """One chunk as some vendor might send it; members in any order."""
    delta: dict[str, Any] = {"content": draw(texts)}
    if draw(st.booleans()):
        delta["tool_calls"] = [{"index": 0, "function": {"arguments": draw(texts)}}]
    choice = {"index": 0, "delta": delta, "finish_reason": draw(st.sampled_from([None, None, "stop"]))}
    members: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": draw(st.sampled_from([[choice], [choice], []])),
    }
    if draw(st.integers(0, 9)):
        members["model"] = draw(st.sampled_from([VENDORS, VENDORS, VENDORS, "other", ASKED]))
        if not draw(st.integers(0, 5)):
            members["x_vendor"] = {"model": VENDORS, "usage": {"prompt_tokens": 5}, "error": None}
    if draw(st.booleans()):
        members["usage"] = draw(usages)
    if not draw(st.integers(0, 9)):
        members["error"] = None
    return dict(draw(st.permutations(list(members.items()))))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A whole stream in some vendor's handwriting."""
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (",", " : ")]))
    is_ascii = draw(st.booleans())
    prefix = draw(st.sampled_from(["data: ", "data: ", "data:", "event: chunk\ndata: ", "id: 7\ndata: "]))
    parts: list[str] = []
    for chunk in draw(st.lists(chunks(), min_size=1, max_size=6)):
        data = json.dumps(chunk, ensure_ascii=is_ascii, separators=separators)
        if not draw(st.integers(0, 7)):
            data = json.dumps(chunk, ensure_ascii=is_ascii, indent=1).replace("\n", "\ndata: ")
        parts.append(f"{prefix}{data}\n\n")
        parts += draw(
            st.lists(st.sampled_from([": ping\n\n", "\n", ":\n", "data:\n\n", "retry: 3\n\n"]), max_size=1)
        )
    parts += draw(
        st.sampled_from([["data: [DONE]\n\n"], ["data:[DONE]\n\n"], [], ["data: [DONE]\n\n", ": bye\n\n"]])
    )
    return "".join(parts).replace("\n", newline).encode()


@given(stream=streams(), borders=st.lists(st.integers(0, 10_000), max_size=12), keeps_usage=st.booleans())
def test_a_stream_means_the_same_wherever_it_is_cut(
    stream: bytes, borders: list[int], keeps_usage: bool
) -> None:
    whole = assert_same(stream, [stream], keeps_usage=keeps_usage)
    parts = assert_same(stream, cut(stream, borders), keeps_usage=keeps_usage)
    bytewise = assert_same(stream, [bytes([byte]) for byte in stream], keeps_usage=keeps_usage)

    for other in (parts, bytewise):
        assert other.usage == whole.usage
        assert (other.is_finished, other.is_done, other.has_data) == (
            whole.is_finished,
            whole.is_done,
            whole.has_data,
        )


def sample(newline: bytes = b"\n") -> bytes:
    """A stream as OpenAI sends it when usage is asked for."""
    chunks = [
        {**chunk, "usage": chunk.get("usage")}
        for chunk in bodies.chat_chunks(["Grüße ", "🌍"], model=VENDORS, usage=bodies.USAGE)
    ]
    return b": hello" + newline * 2 + b"".join(bodies.sse_events(chunks, newline=newline))


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("keeps_usage", [False, True])
def test_every_single_border_is_the_same(newline: bytes, keeps_usage: bool) -> None:
    stream = sample(newline)

    for border in range(len(stream) + 1):
        done = assert_same(stream, [stream[:border], stream[border:]], keeps_usage=keeps_usage)

        assert done.usage == TokenUsage(input=11, output=3, cached_input=4, reasoning=1)
        assert done.is_finished
        assert done.is_done


def test_usage_that_nobody_asked_for_leaves_no_trace() -> None:
    output, _ = filtered([sample()], keeps_usage=False)

    assert b"usage" not in output
    assert b'"choices":[]' not in output


def test_usage_that_was_asked_for_passes_as_it_is() -> None:
    output, _ = filtered([sample()], keeps_usage=True)

    usages = [json.loads(data)["usage"] for data in events_of(output)]
    assert usages == [None, None, None, None, bodies.USAGE]


def test_untouched_values_stay_byte_for_byte() -> None:
    odd = (
        b'data: {"model":"vendor-model","choices":[{"index":0,"delta":{"content":"\\u00e9\\/"},"p":1e-7}],'
        b'"n":1.0}\n\n'
    )

    output, _ = filtered([odd, odd], keeps_usage=False)

    assert output == odd.replace(b'"vendor-model"', ASKED_JSON) * 2


def test_the_usage_of_the_last_chunk_that_has_any_counts() -> None:
    with_usage = [
        bodies.chat_chunk(
            {"content": "a"}, model=VENDORS, usage={"prompt_tokens": 7, "completion_tokens": 1}
        ),
        bodies.chat_chunk(
            {"content": "b"}, model=VENDORS, usage={"prompt_tokens": 7, "completion_tokens": 2}
        ),
        bodies.chat_chunk({}, model=VENDORS, finish="stop", usage=None),
    ]

    output, done = filtered(bodies.sse_events(with_usage), keeps_usage=False)

    assert done.usage == TokenUsage(input=7, output=2)
    assert [json.loads(data)["choices"][0]["delta"] for data in events_of(output)] == [
        {"content": "a"},
        {"content": "b"},
        {},
    ]


def test_an_error_event_stops_the_stream_after_what_came_before_it() -> None:
    good = bodies.sse_event(bodies.chat_chunk({"content": "a"}, model=VENDORS))
    broken = bodies.sse_event({"error": {"message": "broke"}})
    stream_filter = StreamFilter(ASKED_JSON, keeps_usage=False)

    with pytest.raises(UpstreamErrorEvent) as caught:
        stream_filter.feed(good + broken + good)

    assert json.loads(caught.value.body) == {"message": "broke"}
    pending = stream_filter.take_pending()
    assert [json.loads(data)["choices"][0]["delta"]["content"] for data in events_of(pending)] == ["a"]
    assert stream_filter.take_pending() == b""


@pytest.mark.parametrize("event", [b"data: {\n\n", b"data: nonsense\n\n", b"data: [1]\n\n", b'data: "a"\n\n'])
def test_an_event_that_is_no_object_breaks_the_stream(event: bytes) -> None:
    with pytest.raises(BrokenStream):
        StreamFilter(ASKED_JSON, keeps_usage=False).feed(event)


def test_what_follows_done_is_ignored() -> None:
    late = bodies.sse_event(bodies.chat_chunk({"content": "late"}, model=VENDORS))

    output, done = filtered([b"data: [DONE]\n\n" + late], keeps_usage=False)

    assert output == b""
    assert done.is_done


def test_a_last_event_without_its_blank_line_still_counts() -> None:
    stream = bodies.sse_event(bodies.chat_chunk({"content": "a"}, model=VENDORS))

    output, _ = filtered([stream.rstrip(b"\n")], keeps_usage=False)

    assert len(events_of(output)) == 1
    assert output.endswith(b"\n\n")


@given(pieces=st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_end_in_events_or_in_a_known_error(pieces: Sequence[bytes]) -> None:
    stream_filter = StreamFilter(ASKED_JSON, keeps_usage=False)
    try:
        for piece in pieces:
            stream_filter.feed(piece)
        stream_filter.flush()
    except (BrokenStream, UpstreamErrorEvent):
        assert stream_filter.take_pending() is not None


@given(
    stream=st.text(alphabet="a\n\r:", max_size=30).map(str.encode),
    borders=st.lists(st.integers(0, 40), max_size=8),
)
def test_the_splitter_cuts_between_events_only(stream: bytes, borders: list[int]) -> None:
    splitter = EventSplitter()

    blocks = [splitter.feed(piece) for piece in cut(stream, borders) if piece]
    last = splitter.flush()

    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert all(block.endswith(b"\n\n") and b"\r" not in block for block in blocks if block)
    assert (b"".join(blocks) + last).strip(b"\n").replace(b"\n", b" ").split() == lines.split()


def test_an_endless_event_is_refused() -> None:
    splitter = EventSplitter(limit_bytes=100)
    splitter.feed(b"data: " + b"x" * 90)

    with pytest.raises(EventTooLarge):
        splitter.feed(b"x" * 10)


@pytest.mark.parametrize("in_one_piece", [False, True])
def test_estimates_rest_on_text_and_not_on_framing(in_one_piece: bool) -> None:
    words = ["word "] * 200
    events = bodies.sse_events(bodies.chat_chunks(words, model=VENDORS))

    _, done = filtered([b"".join(events)] if in_one_piece else events, keeps_usage=False)

    # 200 tokens of five bytes: an estimate may be off, but not by the size of the JSON around them.
    assert 500 < done.text_bytes < 6000


def test_one_long_event_is_estimated_by_its_text() -> None:
    event = bodies.sse_event(bodies.chat_chunk({"content": "x" * 9000}, model=VENDORS))

    _, done = filtered([event], keeps_usage=False)

    assert 8000 < done.text_bytes < 9500


def test_the_way_of_service_is_taken_with_the_usage() -> None:
    chunk = {"model": VENDORS, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"model": VENDORS, "choices": [], "service_tier": "flex", "usage": {"prompt_tokens": 5}}
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in (chunk, usage))

    _, stream_filter = filtered([stream], keeps_usage=False)

    assert (stream_filter.service_tier, stream_filter.usage) == ("flex", TokenUsage(5))
