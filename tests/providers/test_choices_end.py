"""How several calls for one answer end when one of them fails, or nobody wants the answer any more."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from tests.providers.choosy_vendor import (
    END,
    HEAD,
    Json,
    Vendor,
    answers,
    chunk,
    events,
    refusal,
    vendor,
    whole,
)
from tests.providers.fake_anthropic import error, sse
from tests.upstreams.loopback import Peer
from upstreams_app.errors import UpstreamUnreachable

SHORT = b"".join(
    sse(event)
    for event in (
        {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    )
)
OVERLOADED = sse(error("overloaded_error", "Later."))


async def says_nothing(peer: Peer) -> None:
    """Take the request, and wait until the client has gone."""
    await peer.wait_gone()


@pytest.mark.parametrize("is_stream", [False, True])
async def test_one_refusal_is_that_of_all(is_stream: bool) -> None:
    async def refuses_one(peer: Peer, wire: Json, number: int) -> None:
        if number == 1:
            peer.write(refusal(429, "rate_limit_error", headers="Retry-After: 7\r\n"))
        elif number == 0:
            await answers(peer, wire, number)
        else:
            await says_nothing(peer)

    async with vendor(refuses_one) as there:
        answer = await there.post(n=3, stream=is_stream)

        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert there.client.in_flight == 1
        assert json.loads(await answer.read_any())["error"]["message"] == "No."
        assert await answer.read_any() == b""
        answer.release(is_complete=True)
        assert there.client.in_flight == 0
        await there.client.close()
        await there.wait_all_gone()


@pytest.mark.parametrize("is_stream", [False, True])
async def test_one_that_fails_before_its_head_ends_all(is_stream: bool) -> None:
    async def fails_one(peer: Peer, wire: Json, number: int) -> None:
        if number == 2:
            peer.writer.transport.abort()
        elif number == 0:
            await answers(peer, wire, number)
        else:
            await says_nothing(peer)

    async with vendor(fails_one) as there:
        with pytest.raises(UpstreamUnreachable):
            await there.post(n=3, stream=is_stream)

        assert there.client.in_flight == 0
        await there.client.close()
        await there.wait_all_gone()


async def test_a_plain_answer_that_breaks_off_ends_all() -> None:
    async def breaks_one(peer: Peer, wire: Json, number: int) -> None:
        if number == 1:
            peer.write(whole(wire, number)[:-1])
            peer.writer.close()
        else:
            peer.write(whole(wire, number)[:-1])
            await says_nothing(peer)

    async with vendor(breaks_one) as there:
        answer = await there.post(n=3)
        with pytest.raises(UpstreamUnreachable):
            await answer.read_any()

        assert there.client.in_flight == 0
        answer.release(is_complete=False)
        assert there.client.in_flight == 0
        await there.wait_all_gone()


# Every byte is the last one of one of them.
@pytest.mark.parametrize(("number_of_failing", "first"), [(0, 0), (1, 1)])
async def test_a_stream_that_breaks_off_at_any_byte_ends_all(number_of_failing: int, first: int) -> None:
    sent = b""

    async def breaks_one(peer: Peer, wire: Json, number: int) -> None:
        if number % 2 == number_of_failing:
            peer.write(HEAD + (chunk(sent) if sent else b""))
            peer.writer.close()
        else:
            peer.write(HEAD + chunk(SHORT) + END)

    async with vendor(breaks_one) as there:
        for cut in range(first, len(SHORT), 2):
            sent = SHORT[:cut]
            answer = await there.post(n=2, stream=True)
            got: list[bytes] = []
            with pytest.raises(UpstreamUnreachable):
                while not got or got[-1]:
                    got.append(await answer.read_any())

            assert b"[DONE]" not in b"".join(got)
            assert there.client.in_flight == 0
            answer.release(is_complete=False)


@pytest.mark.parametrize("at", range(1, 8))
async def test_an_error_in_one_stream_is_the_last_event_of_all(at: int) -> None:
    async def fails_one(peer: Peer, wire: Json, number: int) -> None:
        made = events(wire, number)
        if number == 1:
            peer.write(HEAD + chunk(b"".join([*made[:at], OVERLOADED, *made[at:]])) + END)
        else:
            peer.write(HEAD + chunk(b"".join(made[:at])))
            await says_nothing(peer)

    async with vendor(fails_one) as there:
        answer = await there.post(n=3, stream=True)
        got = b""
        while piece := await answer.read_any():
            got += piece

        assert there.client.in_flight == 0
        answer.release(is_complete=True)
        assert there.client.in_flight == 0
        last = json.loads(got.rstrip().rpartition(b"data: ")[2])
        assert last["error"]["message"] == "Later."
        assert b"[DONE]" not in got
        await there.wait_all_gone()


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_call_may_be_cancelled_at_every_turn_of_the_loop(is_stream: bool, times: int) -> None:
    async with vendor(answers) as there:
        turns, got = 0, b""
        while not got:
            calling = asyncio.create_task(there.whole(n=3, stream=is_stream))
            for _ in range(turns):
                await asyncio.sleep(0)
            calling.cancel()
            if times == 2:
                await asyncio.sleep(0)
                calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                got = await calling
            # Who is cancelled again waits no longer for the calls to be over.
            for _ in range(5 * (times - 1)):
                await asyncio.sleep(0)
            assert there.client.in_flight == 0
            turns += 1

        assert turns > 5
        await there.client.close()
        await there.wait_all_gone()


async def test_who_is_cancelled_while_reading_may_read_on() -> None:
    is_open = asyncio.Event()

    async def one_waits(peer: Peer, wire: Json, number: int) -> None:
        made = events(wire, number)
        peer.write(HEAD + chunk(b"".join(made[:4])))
        await is_open.wait()
        peer.write(chunk(b"".join(made[4:])) + END)

    async def some_of(there: Vendor) -> None:
        answer = await there.post(n=2, stream=True)
        got, cancelled = b"", 0
        while b"[DONE]" not in got:
            reading = asyncio.create_task(answer.read_any())
            await asyncio.sleep(0)
            reading.cancel()
            try:
                got += await reading
            except asyncio.CancelledError:
                cancelled += 1
                is_open.set()
        answer.release(is_complete=True)

        assert cancelled
        assert got.count(b'"finish_reason":"stop"') == 2

    async with vendor(one_waits) as there, asyncio.timeout(10):
        await some_of(there)

        assert there.client.in_flight == 0


async def test_a_stream_that_nobody_reads_leaves_nothing_behind() -> None:
    async def begins(peer: Peer, wire: Json, number: int) -> None:
        peer.write(HEAD + chunk(b"".join(events(wire, number)[:4])))
        await says_nothing(peer)

    async with vendor(begins) as there:
        answer = await there.post(n=3, stream=True)
        await answer.read_any()
        answer.release(is_complete=False)

        assert there.client.in_flight == 0
        await there.wait_all_gone()


async def test_places_are_free_for_other_calls_when_the_end_is_known() -> None:
    async with vendor(answers) as there:
        answer = await there.post(n=3)
        await answer.read_any()

        answer.end_call()

        assert there.client.in_flight == 0
        answer.release(is_complete=True)
        assert there.client.in_flight == 0
