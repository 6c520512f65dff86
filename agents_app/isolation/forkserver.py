"""The forkserver: a process with the SDK and nothing else in its memory, which forks one child per task.

It is a fresh Python with an empty environment, not a fork of the server, so that a child can find no secrets.
For each task it gets a socket, the child's only way out, and two pipes: what the child prints, and how it
ended. Between it and the child stands a keeper, which kills the child with all that it started as soon as the
server's end of the socket is closed.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from agents_app.isolation import landlock, sandbox, seccomp
from agents_app.isolation.sandbox import Limits

PROBE, RUN = "probe", "run"
# No task: only how long to wait for one from now on.
WAIT = "wait"
MAX_ORDER_BYTES = 16_384
# The stack of a thread: what is reserved counts as memory.
_STACK_BYTES = 1024 * 1024
_LOOK_S = 1.0
_SYSTEM_PATHS = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/alternatives"),
    *("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo"),
)
_OUR_PATHS = ("agents_app", "gateway_project/__init__.py", "gateway_project/core", "sdk_adapter")


def main(control_fd: int, root: str) -> None:
    """Serve until the server closes its end, or nothing was wanted for as long as an order said."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=control_fd)
    tasks = _tasks()
    readable = _readable_paths(root)
    has_namespaces = _has_namespaces()
    threading.stack_size(_STACK_BYTES)
    # Arenas of memory are reserved for each thread, and would count.
    sandbox.keep_memory_arenas_few()
    gc.collect()
    gc.freeze()
    keepers: set[int] = set()
    idle_s, linger_s = 0.0, 60.0
    while keepers or idle_s < linger_s:
        is_asked = bool(select.select([control], [], [], _LOOK_S)[0])
        idle_s = 0.0 if is_asked or keepers else idle_s + _LOOK_S
        _reap(keepers)
        if not is_asked:
            continue
        message, fds, _, _ = socket.recv_fds(control, MAX_ORDER_BYTES, 3)
        if not message:
            break
        order = SimpleNamespace(**json.loads(message))
        if order.task == WAIT:
            linger_s = order.linger_s
            continue
        linger_s = max(linger_s, order.linger_s)
        order.readable = [*readable, order.folder]
        order.has_namespaces = has_namespaces
        sandbox.remember_memory()
        if keeper := _keeper(control, order, fds, tasks[order.task]):
            keepers.add(keeper)
        for fd in fds:
            os.close(fd)


def _tasks() -> dict[str, Callable[[socket.socket, str], None]]:
    """What children do; importing it here is what makes them quick."""
    from agents_app.sdk import isolated, probing

    return {PROBE: probing.main, RUN: isolated.main}


def _has_namespaces() -> bool:
    if (trial := os.fork()) == 0:
        os._exit(1 if sandbox.try_namespaces() else 0)
    return os.waitpid(trial, 0)[1] == 0


def _readable_paths(root: str) -> list[str]:
    """Where Python's and our own modules are, and the system's libraries; `root` itself is not among them."""
    prefix = os.path.realpath(sys.base_prefix)
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [*sys.path, *(sysconfig.get_path(name) for name in names), f"{prefix}/lib"]
    modules = [place for place in places if place and not f"{root}/".startswith(f"{place}/")]
    return [*modules, *(f"{root}/{path}" for path in _OUR_PATHS), *_SYSTEM_PATHS]


def _keeper(
    control: socket.socket, order: Any, fds: list[int], task: Callable[[socket.socket, str], None]
) -> int:
    """A new keeper, 0 if there can be none: that ends one run, and none of the others."""
    try:
        keeper = os.fork()
    except OSError as error:
        with suppress(OSError):
            os.write(fds[-1], f"error {error}".encode()[:500])
        return 0
    if keeper == 0:
        control.close()
        _keep(order, fds, task)
    return keeper


def _reap(keepers: set[int]) -> None:
    for keeper in list(keepers):
        if os.waitpid(keeper, os.WNOHANG)[0]:
            keepers.discard(keeper)


def _keep(order: Any, fds: list[int], task: Callable[[socket.socket, str], None]) -> None:
    """The keeper: start the child, wait for its end or the server's wish, kill what is left, and say how."""
    channel, output, ending = fds
    try:
        sandbox.die_with_parent()
        sandbox.be_killed_first()
        os.setsid()
        if order.has_namespaces:
            sandbox.enter_namespaces(order.readable, order.temporary_bytes)
        sandbox.become_subreaper()
        if (child := os.fork()) == 0:
            os.close(ending)
            _be_child(order, channel, output, task)
        os.close(output)
        os.write(ending, _waited(child, channel).encode())
    except BaseException as error:  # noqa: BLE001  (a fork must not run its parent's code)
        with suppress(OSError):
            os.write(ending, f"error {error}".encode()[:500])
    finally:
        os._exit(0)


def _waited(child: int, channel: int) -> str:
    """How the child ended: `exit 0`, `signal 9`, or `killed` when nobody listens any more."""
    handle = os.pidfd_open(child)
    watch = select.poll()
    watch.register(channel, 0)
    watch.register(handle, select.POLLIN)
    is_killed = not any(fd == handle for fd, _ in watch.poll())
    if is_killed:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    sandbox.kill_all_children()
    if is_killed:
        return "killed"
    cpu_s = round(used.ru_utime + used.ru_stime, 1)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)} {cpu_s}"
    return f"exit {os.WEXITSTATUS(status)} {cpu_s}"


def _be_child(order: Any, channel: int, output: int, task: Callable[[socket.socket, str], None]) -> None:
    """The child: give up everything but the socket, then do the task."""
    status = 1
    try:
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        for number, fd in enumerate((null, output, output, channel)):
            os.dup2(fd, number)
        os.closerange(4, 65_536)
        # A process that is killed flushes nothing.
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115  (the pipe)
        has_namespaces: bool = order.has_namespaces
        # Before the user changes: nobody may not even look for some of the paths.
        rules = -1 if has_namespaces or not landlock.is_supported() else landlock.prepare(order.readable)
        limits = Limits(order.memory_bytes, order.cpu_s, order.temporary_bytes)
        sandbox.set_limits(limits)
        sandbox.drop_privileges(has_namespaces=has_namespaces)
        sandbox.limit_tasks(limits, has_namespaces=has_namespaces)
        if rules >= 0:
            landlock.enforce(rules)
        if seccomp.is_supported():
            seccomp.install(has_own_files=has_namespaces)
        task(socket.socket(fileno=3), order.folder)
        status = 0
    except MemoryError:
        status = 2
    except BaseException:  # noqa: BLE001  (a fork must not run its parent's code)
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
