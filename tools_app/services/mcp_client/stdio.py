"""An MCP server as a process on this machine: one JSON-RPC message a line, over its standard streams.

In the SDK's place: a process group that never outlives the gateway, lines that are bounded, an environment
that holds nothing of the gateway's, and what the program complains of where somebody reads it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from django.conf import settings
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from tools_app.mcp_entry import McpServerEntry, check_command
from tools_app.services.mcp_client.failures import McpFailure
from tools_app.services.mcp_client.guarded_http import MAX_EVENT_BYTES

logger = logging.getLogger(__name__)
_LAUNCHER = Path(__file__).with_name("stdio_launcher.py")
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ")
_COMPLAINT_CHARS = 200
_GRACE_S = 1.0


@asynccontextmanager
async def stdio_streams(server: McpServerEntry, *, on_end: Callable[[], None]) -> AsyncIterator[Any]:
    """The streams of a new process, which is gone when the block ends; `on_end` is told if it goes before."""
    # The setting counts now, not when the snapshot was built.
    check_command(server.command)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        str(_LAUNCHER),
        str(os.getpid()),
        server.command,
        *server.args,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=MAX_EVENT_BYTES,
        env=_environment(server),
        cwd=_folder(server),
        start_new_session=True,
    )
    incoming, read_stream = anyio.create_memory_object_stream[Any](0)
    write_stream, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    complaint = _Complaint()
    try:
        async with anyio.create_task_group() as tasks, incoming, read_stream, write_stream, outgoing:
            tasks.start_soon(_read, process, incoming, on_end)
            tasks.start_soon(_write, process, outgoing)
            tasks.start_soon(complaint.read, process)
            try:
                yield read_stream, write_stream
            except BaseException as error:
                raise await _reason(process, complaint, server) or error from error
            finally:
                tasks.cancel_scope.cancel()
    finally:
        await _end(process)


class _Complaint:
    """The last that the program said on its standard error."""

    def __init__(self) -> None:
        self.text = ""

    async def read(self, process: Process) -> None:
        """Until its end; what is not kept is dropped, so that the program never waits."""
        while process.stderr is not None and (block := await process.stderr.read(4096)):
            self.text = (self.text + block.decode("utf-8", "replace"))[-_COMPLAINT_CHARS:]


async def _read(process: Process, incoming: Any, on_end: Callable[[], None]) -> None:
    stdout = process.stdout
    try:
        async with incoming:
            while stdout is not None and (line := await stdout.readline()):
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await incoming.send(_message(line))
    except ValueError:
        # A line beyond the limit: nothing after it can be understood.
        logger.warning("mcp.line_too_long", extra={"pid": process.pid})
    finally:
        on_end()


def _message(line: bytes) -> Any:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        # Programs print what is no message, too: the session is told, and goes on.
        return error


async def _write(process: Process, outgoing: Any) -> None:
    stdin = process.stdin
    if stdin is None:
        return
    with suppress(ConnectionError):
        async for message in outgoing:
            stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await stdin.drain()


async def _reason(process: Process, complaint: _Complaint, server: McpServerEntry) -> McpFailure | None:
    """Why a process is gone that should not be; None if it is there."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await process.wait()
    status = process.returncode
    if status is None:
        return None
    words = {127: "there is no such program", 126: "the program may not be started"}
    said = " ".join(complaint.text.split())
    reason = words.get(status, f"the program ended with status {status}")
    return McpFailure(f"{reason}: {said}" if said else reason, was_sent=False)


async def _end(process: Process) -> None:
    """Ask it to go by closing its input, then have the launcher kill all of it; in any case it is gone."""
    try:
        if process.stdin is not None:
            process.stdin.close()
        if not await _is_gone(process, _GRACE_S):
            process.terminate()
            await _is_gone(process, _GRACE_S)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _is_gone(process: Process, within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await process.wait()
    return process.returncode is not None


def _environment(server: McpServerEntry) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "HOME": str(_folder(server)), **server.environment}


def _folder(server: McpServerEntry) -> Path:
    """A folder of the server's own: to work in, and for what programs keep at home."""
    folder = Path(settings.GATEWAY_DATA_DIR) / "mcp" / server.id.hex
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
