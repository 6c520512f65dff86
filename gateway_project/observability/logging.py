"""Logs: one JSON object a line on standard output, stack traces included as a field.

`log_event` is the way of the request path: a dict, serialised once, into a buffer that is written out
a few times a second. Everything else uses the standard library's loggers and gets the same form.
Event names are `noun.verb`; docs/reference/events.md lists them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from gateway_project.core.codec import dumps

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FLUSH_INTERVAL_S = 0.25
_FLUSH_BYTES = 64 * 1024
_MAX_BUFFER_BYTES = 8 * 1024 * 1024


class BufferedWriter:
    """Collects lines and writes them from a thread of its own, so that a slow pipe stalls no request.

    Holds at most 8 MB; what comes beyond that while the output blocks is dropped and counted. Adding a
    line takes no lock: a deque's append and popleft are atomic.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._write_lock = threading.Lock()
        self._wake = threading.Event()
        self._is_running = False
        # A forked child has no thread yet, and must not wait for locks of its parent's.
        os.register_at_fork(after_in_child=self._forget_parent)

    def write(self, line: bytes) -> None:
        """Add one line, without its end of line."""
        if not self._is_running:
            self._start()
        if self._size > _MAX_BUFFER_BYTES:
            self._dropped += 1
            return
        self._lines.append(line)
        self._size += len(line)
        if self._size > _FLUSH_BYTES and not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Write what is collected now; called at exit and before a process is replaced."""
        with self._write_lock:
            taken = [self._lines.popleft() for _ in range(len(self._lines))]
            self._size = 0
            if self._dropped:
                taken.append(dumps({"event": "log.dropped", "level": "warning", "lines": self._dropped}))
                self._dropped = 0
            if taken:
                self._write_all(b"\n".join(taken) + b"\n")

    def _write_all(self, text: bytes) -> None:
        rest = memoryview(text)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            # Nobody reads our output any more; logging must not take the server down with it.
            return

    def _forget_parent(self) -> None:
        self._is_running = False
        self._wake = threading.Event()
        self._write_lock = threading.Lock()

    def _start(self) -> None:
        self._is_running = True
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._wake.wait(_FLUSH_INTERVAL_S)
            self._wake.clear()
            self.flush()


writer = BufferedWriter(fd=1)


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def _timestamp(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}{int((seconds - whole) * 1000):03d}Z"


class JsonFormatter(logging.Formatter):
    """Turns a standard log record, its `extra` fields and its exception into one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        fields: dict[str, Any] = {
            "timestamp": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields.update({key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES})
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
            fields["stack"] = "".join(traceback.format_exception(*record.exc_info))[-8000:]
        try:
            return dumps(fields).decode()
        except TypeError:
            return dumps({key: str(value) for key, value in fields.items()}).decode()


class BufferedHandler(logging.Handler):
    """Sends formatted records to the buffered writer; errors are written at once."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            writer.write(self.format(record).encode())
            if record.levelno >= logging.ERROR:
                writer.flush()
        except Exception:  # noqa: BLE001  (a logging fault must never break what is logged)
            self.handleError(record)


def log_event(event: str, fields: dict[str, Any], *, level: str = "info") -> None:
    """Log one event of the request path; `fields` must be plain JSON values and is not kept."""
    line = {"timestamp": _timestamp(time.time()), "level": level, "event": event, **fields}
    writer.write(dumps(line))


def configure(level: str) -> None:
    """Install the JSON handler on the root logger."""
    import atexit

    handler = BufferedHandler()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("django.request").setLevel(max(logging.ERROR, root.level))
    for client in ("httpx", "httpcore", "httpx2", "httpcore2", "mcp", "botocore"):
        # Their lines have whole URLs or requests, in which arguments of tools and secrets may stand.
        logging.getLogger(client).setLevel(max(logging.WARNING, root.level))
    if root.level > logging.DEBUG:
        for periodic in ("celery.beat", "celery.worker.strategy", "celery.app.trace"):
            # Three lines for each of many runs; what fails, or changes something, says so itself.
            logging.getLogger(periodic).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    atexit.register(writer.flush)


def configure_from_settings(options: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG hook. Commands that a person runs keep plain text on the terminal."""
    if sys.stdout is not None and _is_server_process():
        configure(options["level"])
    else:
        logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(options["level"])))


def _is_server_process() -> bool:
    return os.environ.get("GATEWAY_PROCESS", "") in ("server", "worker", "beat")
