"""Confines a process: namespaces with a view of a few folders, limits, and no privileges.

It needs nothing but Python's standard library.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agents_app.isolation import landlock

NOBODY = 65534
# What is possible: everything; rules for files in the place of namespaces; neither.
NAMESPACES, FILES_ONLY, NOTHING = 0, 3, 4
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 4096, 16384, 1 << 18, 2, 4, 8
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_SYS_MOUNT_SETATTR = 442
_ATTR_READ_ONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SIGKILL = 9
_PR_SET_CHILD_SUBREAPER = 36
_M_ARENA_MAX = -8
# Any folder that exists everywhere and holds nothing that is needed: the new root is made there.
_STAGE = "/proc"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may use. `memory_bytes` comes on top of what it has when it begins."""

    memory_bytes: int
    cpu_s: int
    temporary_bytes: int = 16 * 1024 * 1024
    tasks: int = 64
    files: int = 256


def enter_namespaces(readable: Iterable[str], temporary_bytes: int) -> None:
    """Leave this system but for some paths; the next fork is the first process of its own. OSError.

    A user that is not root gets a user namespace of its own for it.
    """
    flags = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _unshare(flags)
    else:
        _unshare(flags | _CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _make_root(list(readable), temporary_bytes)


def drop_privileges(*, has_namespaces: bool) -> None:
    """Be nobody, or without namespaces a user without a way to more; the last step but the filter."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if has_namespaces:
        # Without a user in it nobody can make a further one, and its number of tasks is counted apart.
        _unshare(_CLONE_NEWUSER)
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(head, (ctypes.c_uint32 * 6)()), "capset")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")
    die_with_parent()


def die_with_parent() -> None:
    """End when the parent does; a change of the user forgets it."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0), "pdeathsig")


def become_subreaper() -> None:
    """Get the children of children that end, also without a pid namespace."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")


def be_killed_first() -> None:
    """When the machine runs out of memory, this process and its children end before the server does."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def kill_all_children() -> None:
    """Kill and bury what the first child left behind: with a pid namespace nothing."""
    with suppress(ChildProcessError):
        while True:
            for child in _children():
                os.kill(child, _SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    """There is a /proc only where there are no namespaces, and with them no children are left."""
    try:
        path = Path(f"/proc/self/task/{os.getpid()}/children")
        return [int(number) for number in path.read_text(encoding="ascii").split()]
    except OSError:
        return []


def keep_memory_arenas_few() -> None:
    """The C library reserves one for each thread, which would count as memory in use."""
    _libc.mallopt(_M_ARENA_MAX, 2)


def set_limits(limits: Limits) -> None:
    """Limit what this process may use from now on, but for tasks."""
    data, whole = _memory_in_use()
    # The second one is for mappings that count as no data; a thread reserves more than it uses.
    _limit(resource.RLIMIT_DATA, data + limits.memory_bytes)
    _limit(resource.RLIMIT_AS, whole + 2 * limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s)
    _limit(resource.RLIMIT_FSIZE, limits.temporary_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.files)
    _limit(resource.RLIMIT_CORE, 0)


def limit_tasks(limits: Limits, *, has_namespaces: bool) -> None:
    """Limit its processes and threads, once it has its user.

    A user namespace takes the limit that its maker has as one of all its maker's tasks: before it is made
    this would be a limit of all these processes together.
    """
    # Elsewhere all tasks of the user count, those of the server too.
    _limit(resource.RLIMIT_NPROC, limits.tasks if has_namespaces else 64 * limits.tasks)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _memory_in_use() -> tuple[int, int]:
    """Bytes of data, and of all mappings."""
    pages = [int(number) for number in _statm.split()]
    size = resource.getpagesize()
    return pages[5] * size, pages[0] * size


_statm = "0 0 0 0 0 0 0"


def remember_memory() -> None:
    """Note what this process uses: a child has the same, and no /proc to look at."""
    global _statm
    _statm = Path("/proc/self/statm").read_text(encoding="ascii")


def _make_root(readable: list[str], temporary_bytes: int) -> None:
    """A root with nothing in it but these paths, read-only, and an empty /tmp."""
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _mount("none", _STAGE, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    temporary = f"{_STAGE}/tmp"  # noqa: S108  (that of the new root)
    Path(temporary).mkdir()
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _mount("none", temporary, "tmpfs", flags, f"size={temporary_bytes},nr_inodes=4096,mode=1777")
    bound: list[str] = []
    for path in sorted(set(readable)):
        if not any(path.startswith(f"{other}/") for other in bound) and _show(path, _ATTR_NODEV):
            bound.append(path)
    for path in _DEVICES:
        _show(path, 0)
    os.chdir(_STAGE)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/tmp")  # noqa: S108
    _set_attributes("/", _ATTR_READ_ONLY, 0)


def _show(path: str, attributes: int) -> bool:
    """Put one path of the old root into the new one; False if there is none, or only a link."""
    original, place = Path(path), Path(_STAGE + path)
    if not original.exists() or place.exists():
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    if original.is_symlink() and original.parent == Path("/"):
        # /lib is usr/lib on most systems.
        place.symlink_to(original.readlink())
        return False
    source = original.resolve()
    if source.is_dir():
        place.mkdir()
    else:
        place.touch()
    _mount(str(source), str(place), "", _MS_BIND | _MS_REC)
    _set_attributes(str(place), _ATTR_READ_ONLY | _ATTR_NOSUID | attributes, _AT_RECURSIVE)
    return True


def _unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    texts = [os.fsencode(text) for text in (source, target, kind)]
    _check(_libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def _set_attributes(path: str, attributes: int, flags: int) -> None:
    """To all mounts below with AT_RECURSIVE; those that they have stay."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    place = ctypes.c_char_p(os.fsencode(path))
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    _check(_libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, place, flags, wanted, size), f"mount_setattr {path}")


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def try_namespaces() -> str:
    """Why they are not possible, "" if they are. This process can't be used afterwards."""
    try:
        enter_namespaces([], 4096)
    except OSError as error:
        return error.strerror or "not possible"
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            drop_privileges(has_namespaces=True)
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return "" if status == 0 else "privileges can't be dropped"


def say() -> None:
    """End this process with what is possible here as its exit status, and what is not in words."""
    problem = try_namespaces()
    if problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(FILES_ONLY if landlock.is_supported() else NOTHING)
    sys.exit(NAMESPACES)
