"""Takes system calls away from this process for good: programs, other processes, sockets, kernel interfaces.

A filter in classic BPF (https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html). What is
denied fails with EPERM. Threads may be made, processes not, so a limit of memory is one of all together.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_PRLIMIT = {"x86_64": 302, "aarch64": 261}
# It may not outlive its keeper: PR_SET_PDEATHSIG stays as it is.
_PRCTL = {"x86_64": 157, "aarch64": 167}
_SET_PDEATHSIG = 1
_SOCKETPAIR = {"x86_64": 53, "aarch64": 199}
_UNIX, _STREAM, _KIND_OF_SOCKET = 1, 1, 0xF
# Commands that have signals sent to any process of the same user when something comes in:
# F_SETOWN, F_SETSIG, F_SETOWN_EX, and FIOSETOWN, SIOCSPGRP.
_OWNERS = {
    "x86_64": {72: (8, 10, 15), 16: (0x8901, 0x8902)},
    "aarch64": {25: (8, 10, 15), 29: (0x8901, 0x8902)},
}
# From 424 on all machines have the same numbers.
_DENIED_EVERYWHERE = (
    *(424, 425, 426, 427, 428, 429, 430, 431, 432, 433),  # pidfd_send_signal, io_uring_*, open_tree … fspick
    *(434, 438, 440, 442, 447),  # pidfd_open, pidfd_getfd, process_madvise, mount_setattr, memfd_secret
)
_DENIED = {
    "x86_64": {
        "programs": (57, 58, 59, 322),  # fork, vfork, execve, execveat
        "namespaces": (155, 161, 165, 166, 272, 308),  # pivot_root, chroot, mount, umount2, unshare, setns
        "others": (62, 200, 234, 129, 297, 101, 310, 311, 312, 141),  # kill …, ptrace, process_vm_*, kcmp
        "schedules": (142, 144, 203, 251, 314),  # sched_set*, ioprio_set: of any process of the same user
        "sockets": (41, 42, 49, 50),  # socket, connect, bind, listen; a pair of streams may be made
        "memory": (
            29,
            30,
            64,
            68,
            240,
            319,
            279,
            256,
        ),  # shmget, shmat, semget, msgget, mq_open, memfd_create
        "kernel": (103, 133, 135, 175, 246, 248, 249, 250, 259, 298, 304, 313, 321, 323),
    },
    "aarch64": {
        "programs": (221, 281),
        "namespaces": (41, 51, 40, 39, 97, 268),
        "others": (129, 130, 131, 138, 240, 117, 270, 271, 272, 140),
        "schedules": (118, 119, 122, 30, 274),
        "sockets": (198, 203, 200, 201),
        "memory": (194, 196, 190, 186, 180, 279, 239, 238),
        "kernel": (116, 33, 92, 105, 104, 217, 218, 219, 241, 265, 273, 280, 282),
    },
}
# What Landlock lets happen to files that can't even be read: their owner, mode, times and attributes change,
# and somebody watches their folder. From 452 on: fchmodat2, setxattrat, removexattrat, file_setattr.
_DENIED_OF_FILES = {
    "x86_64": (
        *(76, 90, 91, 92, 93, 94, 260, 268),  # truncate, chmod …, chown …
        *(132, 235, 261, 280, 188, 189, 190, 197, 198, 199),  # utime …, setxattr …, removexattr …
        *(253, 294, 300, 452, 463, 466, 469),  # inotify_init …, fanotify_init
    ),
    "aarch64": (
        *(45, 52, 53, 54, 55, 88, 5, 6, 7, 14, 15, 16),
        *(26, 262, 452, 463, 466, 469),
    ),
}
_CLONE_THREAD = 0x10000
_LOAD, _AND, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_BITS, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_FIRST_X32_NUMBER = 0x40000000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


def is_supported() -> bool:
    """Whether the numbers of this machine's system calls are known here."""
    return platform.machine() in _AUDIT_ARCH


def install(*, has_own_files: bool) -> None:
    """Filter this thread's system calls, and those of threads that it starts; OSError if that can't be.

    It must have no way to new privileges (PR_SET_NO_NEW_PRIVS). `has_own_files` says that it sees no files
    but those that it may do everything with, or that are read-only.
    """
    program = _program(platform.machine(), has_own_files=has_own_files)
    filters = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(head), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _program(machine: str, *, has_own_files: bool) -> bytes:
    numbers = [number for group in _DENIED[machine].values() for number in group]
    if not has_own_files:
        numbers += _DENIED_OF_FILES[machine]
    steps = [
        _step(_LOAD, _ARCH),
        _step(_JUMP_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        # The x32 numbers of the same calls.
        _step(_JUMP_ABOVE, _FIRST_X32_NUMBER, 0, 1),
        _step(_RETURN, _ERROR | errno.EPERM),
    ]
    for number in [*numbers, *_DENIED_EVERYWHERE]:
        steps += [_step(_JUMP_EQUAL, number, 0, 1), _step(_RETURN, _ERROR | errno.EPERM)]
    # Its arguments are in memory, where no filter looks; the C library then uses clone.
    steps += [_step(_JUMP_EQUAL, _CLONE3, 0, 1), _step(_RETURN, _ERROR | errno.ENOSYS)]
    for number, commands in _OWNERS[machine].items():
        steps += _without_commands(number, commands, _SECOND_ARGUMENT)
    steps += _without_commands(_PRCTL[machine], (_SET_PDEATHSIG,), _FIRST_ARGUMENT)
    steps += _only_plain_pairs(_SOCKETPAIR[machine])
    steps += [
        _step(_JUMP_EQUAL, _CLONE[machine], 0, 4),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_JUMP_BITS, _CLONE_THREAD, 0, 1),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _ERROR | errno.EPERM),
        # Limits of its own it may read, others are nobody's business.
        _step(_JUMP_EQUAL, _PRLIMIT[machine], 0, 4),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_JUMP_EQUAL, 0, 0, 1),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _ERROR | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)


def _without_commands(number: int, commands: tuple[int, ...], argument: int) -> list[bytes]:
    """A call of which one argument may be none of these."""
    steps = [_step(_LOAD, argument)]
    for command in commands:
        steps += [_step(_JUMP_EQUAL, command, 0, 1), _step(_RETURN, _ERROR | errno.EPERM)]
    steps.append(_step(_RETURN, _ALLOW))
    return [_step(_JUMP_EQUAL, number, 0, len(steps)), *steps]


def _only_plain_pairs(number: int) -> list[bytes]:
    """Pairs of streams: from a socket for datagrams something can be sent to any other one."""
    steps = [
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_JUMP_EQUAL, _UNIX, 0, 4),
        _step(_LOAD, _SECOND_ARGUMENT),
        _step(_AND, _KIND_OF_SOCKET),
        _step(_JUMP_EQUAL, _STREAM, 0, 1),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _ERROR | errno.EPERM),
    ]
    return [_step(_JUMP_EQUAL, number, 0, len(steps)), *steps]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
