"""The thread that writes this process's numbers for the others; to them a silent process is a dead one."""

from __future__ import annotations

import logging
import threading

from gateway_project.observability import metrics

logger = logging.getLogger(__name__)
_INTERVAL_S = 1.0


class MetricsWriter:
    """Writes each second, and waits for nothing else: the database may be away for longer."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def start(self) -> None:
        """Begin, if there is a place to write to."""
        if metrics.folder() is None:
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stop,), name="metrics-writer", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write once more, what was counted since, and end: the other processes go on showing it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def write(self) -> None:
        """Write once. A failure is told when it begins; it ends nothing."""
        try:
            metrics.write_own()
        except Exception as error:
            if not self._is_failing:
                logger.warning("metrics.not_written", extra={"reason": type(error).__name__}, exc_info=True)
            self._is_failing = True
        else:
            self._is_failing = False

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(_INTERVAL_S):
            self.write()
        self.write()
