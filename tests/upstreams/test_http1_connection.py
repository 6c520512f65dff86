"""A connection serves one call at a time, holds back what nobody reads, and closes when in doubt."""

from __future__ import annotations

import asyncio

import pytest

from tests.upstreams.memory import OK, TWO, MemoryTransport, Read, exchange, opened
from upstreams_app.errors import StaleConnection, UpstreamUnreachable
from upstreams_app.services.http1 import MAX_BUFFERED_BYTES, Connection


async def test_headers_are_found_in_any_case_and_the_first_counts() -> None:
    connection, transport = opened()
    lines = (
        b"CONTENT-type:  text/event-stream \r\nX-Two: 1\r\nx-two: 2\r\nX-Odd: \xff\r\nContent-Length: 0\r\n"
    )

    await exchange([OK + lines + b"\r\n"], on=(connection, transport))

    headers = connection.headers
    assert headers.get("Content-Type") == headers["content-type"] == "text/event-stream"
    assert headers["X-TWO"] == "1"
    assert headers.get("Retry-After", "") == ""
    assert "Content-Encoding" not in headers
    assert len(headers) == 4


async def test_a_connection_serves_one_after_the_other() -> None:
    on = opened()

    first = await exchange([TWO], on=on)
    second = await exchange([b"HTTP/1.1 429 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"], on=on)
    third = await exchange([TWO], on=on)

    assert first == third == Read(200, {"content-length": "2"}, b"hi", True)
    assert second == Read(429, {"retry-after": "3", "content-length": "0"}, b"", True)


async def test_what_came_is_read_before_the_error() -> None:
    connection, transport = opened()
    asking = asyncio.create_task(connection.ask(b"head", b""))
    await asyncio.sleep(0)
    connection.data_received(OK + b"Content-Length: 10\r\n\r\nhel")
    connection.data_received(b"lo")
    transport.lose(ConnectionResetError())
    await asking

    assert await connection.read_any() == b"hello"
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable, match=r"^the connection broke off \(ConnectionResetError\)$"):
            await connection.read_any()
    assert not connection.finish()


async def test_a_body_that_only_the_end_ends_does_not_end_by_a_reset() -> None:
    connection, transport = opened()
    asking = asyncio.create_task(connection.ask(b"head", b""))
    await asyncio.sleep(0)
    connection.data_received(OK + b"\r\nhel")
    transport.lose(ConnectionResetError())
    await asking

    assert await connection.read_any() == b"hel"
    with pytest.raises(UpstreamUnreachable, match="broke off"):
        await connection.read_any()


async def test_our_own_closing_is_no_end_of_a_body() -> None:
    connection, _ = opened()
    asking = asyncio.create_task(connection.ask(b"head", b""))
    await asyncio.sleep(0)
    connection.data_received(OK + b"\r\nhel")
    await asking
    connection.abort()

    assert await connection.read_any() == b"hel"
    with pytest.raises(UpstreamUnreachable, match="was closed"):
        await connection.read_any()


async def test_a_small_body_goes_out_with_its_head_and_a_large_one_uncopied() -> None:
    large = b"x" * 1_000_000

    for body in (b"{}", large):
        connection, transport = opened()
        asking = asyncio.create_task(connection.ask(b"head\r\n", body))
        await asyncio.sleep(0)
        connection.data_received(TWO)
        await asking
        if body is large:
            assert transport.written[0] == b"head\r\n"
            assert transport.written[1] is large
        else:
            assert transport.written == [b"head\r\n{}"]


async def test_an_answer_before_all_was_sent_is_read_and_ends_the_connection() -> None:
    on = opened()
    on[1].unsent_bytes = 1

    assert await exchange([TWO], on=on) == Read(200, {"content-length": "2"}, b"hi", False)
    assert on[1].is_closing()


async def test_a_refusal_of_a_large_body_ends_the_connection() -> None:
    connection, transport = opened()
    asking = asyncio.create_task(connection.ask(b"head", b"x" * 100_000))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    await asking

    assert connection.status == 413
    assert not connection.finish()
    assert transport.is_closing()


async def test_a_fast_server_is_held_back_until_somebody_reads() -> None:
    connection, transport = opened()
    asking = asyncio.create_task(connection.ask(b"head", b""))
    await asyncio.sleep(0)
    connection.data_received(OK + b"Content-Length: 1000000\r\n\r\n")
    await asking
    states = []
    # What was under way may still come after the connection is held back.
    for piece in (b"x" * MAX_BUFFERED_BYTES, b"x", b"x"):
        connection.data_received(piece)
        states.append(transport.is_paused)

    assert len(await connection.read_any()) == MAX_BUFFERED_BYTES + 2
    assert [*states, transport.is_paused] == [False, True, True, False]
    assert transport.pauses == 1


async def test_a_held_back_connection_that_is_gone_is_not_asked_for_more() -> None:
    connection, transport = opened()
    asking = asyncio.create_task(connection.ask(b"head", b""))
    await asyncio.sleep(0)
    connection.data_received(OK + b"\r\n" + b"x" * (MAX_BUFFERED_BYTES + 1))
    await asking
    transport.lose(None)
    await asyncio.sleep(0)

    assert len(await connection.read_any()) == MAX_BUFFERED_BYTES + 1
    assert await connection.read_any() == b""
    assert transport.is_paused


async def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    fresh, fresh_transport = opened()
    fresh.data_received(TWO)
    used, used_transport = opened()
    assert (await exchange([TWO], on=(used, used_transport))).is_reusable
    used.data_received(b"\r\n")

    for connection, transport in ((fresh, fresh_transport), (used, used_transport)):
        assert transport.is_closing()
        assert not connection.is_usable
        with pytest.raises(UpstreamUnreachable, match="before an answer"):
            await connection.ask(b"head", b"")


@pytest.mark.parametrize("error", [None, ConnectionResetError(), BrokenPipeError()])
async def test_only_a_used_connection_that_says_nothing_is_stale(error: Exception | None) -> None:
    async def dies(on: tuple[Connection, MemoryTransport], *pieces: bytes) -> UpstreamUnreachable:
        asking = asyncio.create_task(on[0].ask(b"head", b""))
        await asyncio.sleep(0)
        for piece in pieces:
            on[0].data_received(piece)
        on[1].lose(error)
        with pytest.raises(UpstreamUnreachable, match="before an answer") as caught:
            await asking
        return caught.value

    used, told = opened(), opened()
    for on in (used, told):
        await exchange([TWO], on=on)

    assert type(await dies(opened())) is UpstreamUnreachable
    assert type(await dies(used)) is StaleConnection
    assert type(await dies(told, b"H")) is UpstreamUnreachable


async def test_who_stops_waiting_closes_the_connection() -> None:
    connection, transport = opened()
    asking = asyncio.create_task(connection.ask(b"head", b""))
    await asyncio.sleep(0)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert transport.is_closing()
    # A late answer is nobody's.
    connection.data_received(TWO)
    assert not connection.is_at_end
    assert not connection.finish()


async def test_reading_that_is_cancelled_may_go_on() -> None:
    connection, _ = opened()
    asking = asyncio.create_task(connection.ask(b"head", b""))
    await asyncio.sleep(0)
    connection.data_received(TWO[:-2])
    await asking

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await connection.read_any()
    connection.data_received(b"hi")

    assert await connection.read_any() == b"hi"
    assert connection.finish()
