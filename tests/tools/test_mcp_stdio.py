"""MCP servers as processes on this machine: allowed by a setting, limited, and never left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.services import wait_until
from tools_app.errors import ConfigProblem
from tools_app.mcp_entry import McpServerEntry, server_entry
from tools_app.models import McpServer
from tools_app.services.mcp_client.failures import McpFailure
from tools_app.services.mcp_client.link import McpLink

# Starts at once: the SDK takes a second.
LEAN = """
import json, os, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = {"content": [], "structuredContent": {"result": os.getpid()}}
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        result = {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    elif asked.get("params", {}).get("name") == "die":
        os._exit(3)
    elif asked.get("params", {}).get("name") == "sleep":
        time.sleep(60)
    elif asked["method"] == "tools/list":
        result = {"tools": []}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""
PEER = Path(__file__).with_name("mcp_stdio_peer.py")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def programs(settings: Any, tmp_path: Path) -> None:
    """This Python may be started."""
    settings.MCP_STDIO_COMMANDS = [sys.executable]
    settings.GATEWAY_DATA_DIR = tmp_path


def server(**columns: Any) -> McpServerEntry:
    """The program as the pool needs it."""
    values = {"command": sys.executable, "args": [str(PEER)], "max_sessions": 1} | columns
    return server_entry(McpServer(name="program", transport="stdio", **values))


async def called(link: McpLink, tool: str, **arguments: Any) -> Any:
    """What a tool answers."""

    async def ask(client: Any) -> Any:
        return await client.call_tool(tool, arguments)

    return (await link.request(ask)).structured_content["result"]


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_program_is_asked_and_gone_with_all_its_children() -> None:
    link = McpLink(server())

    pid, child = await called(link, "pid"), await called(link, "child")
    names = await called(link, "environment")
    assert await called(link, "chatter") == "done"
    assert is_alive(pid) and is_alive(child)
    await link.close()

    assert set(names) <= {"HOME", "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"}
    assert not is_alive(pid) and not is_alive(child)
    assert len(asyncio.all_tasks()) == 1


async def test_a_program_that_dies_is_started_again_for_the_next_call() -> None:
    link = McpLink(server(args=["-c", LEAN]))
    first = await called(link, "pid")

    with pytest.raises(McpFailure) as caught:
        await called(link, "die")

    assert caught.value.was_sent
    assert await called(link, "pid") != first
    await link.close()


async def test_a_program_that_hangs_is_killed() -> None:
    link = McpLink(server(args=["-c", LEAN], call_timeout_s=0.5))
    pid = await called(link, "pid")

    with pytest.raises(McpFailure, match="did not answer"):
        await called(link, "sleep")
    await link.close()

    assert not is_alive(pid)


async def test_why_a_program_does_not_start_is_told(settings: Any) -> None:
    settings.MCP_STDIO_COMMANDS = [sys.executable, "/nowhere/program"]
    broken = McpLink(server(args=["-c", "raise SystemExit('the licence is missing')"]))
    missing = McpLink(server(command="/nowhere/program"))

    with pytest.raises(McpFailure, match="ended with status 1: the licence is missing"):
        await called(broken, "pid")
    with pytest.raises(McpFailure, match="there is no such program"):
        await called(missing, "pid")

    await broken.close()
    await missing.close()


def test_only_what_the_setting_names_is_started(settings: Any) -> None:
    settings.MCP_STDIO_COMMANDS = []
    with pytest.raises(ConfigProblem, match="stdio is off"):
        server()

    settings.MCP_STDIO_COMMANDS = ["npx"]
    with pytest.raises(ConfigProblem, match="does not name"):
        server()


def test_nothing_outlives_a_gateway_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys, time\n"
        f"launcher = {str(ROOT / 'tools_app/services/mcp_client/stdio_launcher.py')!r}\n"
        "inner = 'import os,subprocess,sys,time; "
        'c=subprocess.Popen([sys.executable,"-c","import time;time.sleep(600)"],start_new_session=True);'
        "print(os.getpid(),c.pid,flush=True); time.sleep(600)'\n"
        "subprocess.Popen([sys.executable,'-I','-S',launcher,str(os.getpid()),sys.executable,'-c',inner],"
        "start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert all(map(is_alive, pids))

    parent.kill()
    parent.wait()

    wait_until(lambda: not any(map(is_alive, pids)), 10, "the end of what was started")
    parent.stdout.close()
    assert os.getpid() not in pids
