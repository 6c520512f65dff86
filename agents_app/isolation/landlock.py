"""Rules for files that a process gives itself, for where namespaces are not possible: Landlock.

https://www.kernel.org/doc/html/latest/userspace-api/landlock.html. Paths that are named can be read; nothing
else can be read, and nothing be written. Newer kernels also refuse TCP, signals to others and their abstract
sockets by it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_FOR_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# How many rights each version of the interface knows.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_RIGHTS = 16
# Binding and connecting TCP; abstract sockets and signals, which stay inside: each with its first version.
_TCP, _TCP_SINCE, _INSIDE, _INSIDE_SINCE = 3, 4, 3, 6
_libc = ctypes.CDLL(None, use_errno=True)


def is_supported() -> bool:
    """Whether the kernel has it, and this process may use it."""
    return version() >= 1


def prepare(readable: Iterable[str]) -> int:
    """Rules that let these paths be read, as a file descriptor for `enforce`; OSError."""
    newest = version()
    if newest < 1:
        raise OSError(ctypes.get_errno(), "landlock")
    handled = (
        (1 << _RIGHTS.get(newest, _NEWEST_RIGHTS)) - 1,
        _TCP if newest >= _TCP_SINCE else 0,
        _INSIDE if newest >= _INSIDE_SINCE else 0,
    )
    # What a kernel does not know must be zero, and is passed over then.
    rules = _call(_CREATE_RULESET, struct.pack("=QQQ", *handled), 24, 0)
    for path in readable:
        if not Path(path).exists():
            continue
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0)
            _call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", allowed, place), 0)
        finally:
            os.close(place)
    return rules


def enforce(rules: int) -> None:
    """From now on they hold for this thread, and those that it starts; OSError.

    It must have no way to new privileges (PR_SET_NO_NEW_PRIVS).
    """
    _call(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def version() -> int:
    """Of the kernel's interface; less than 1 if there is none."""
    return int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_FOR_VERSION))


def _call(number: int, *arguments: int | bytes) -> int:
    given = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(one) for one in arguments]
    result = int(_libc.syscall(number, *given))
    if result < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    return result
