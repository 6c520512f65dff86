"""A file of very many rows, made as a worker makes it: how long it takes, what memory, and what its progress
says meanwhile.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

from django.db import connection

from tests.usage.many_records import say
from usage_app.admin.exports import progress_of
from usage_app.models import ReportExport
from usage_app.services.exports.jobs import make_files
from usage_app.services.exports.storage import file_path
from usage_app.services.reports import create_report, queue_export

_POLL_S = 0.5


def grown_by(first: date, days: int) -> float:
    """How many MiB this process grew by at most while it made a CSV file of so many days, hour by hour."""
    last = first + timedelta(days=days - 1)
    values = {"period": "fixed", "first_day": first, "last_day": last, "format": "csv"}
    report = create_report(
        "soak", {"name": f"{days} days", "group_by": ["hour", "key", "model", "agent"], **values}
    )
    export = queue_export(report, requested_by="soak")
    shown: list[tuple[int, str]] = []
    over = Event()
    watcher = Thread(target=_watch, args=(export, shown, over))
    before = _memory_mib("VmRSS", reset=True)
    started = perf_counter()
    watcher.start()
    assert make_files(budget_s=3600) == 1
    seconds = perf_counter() - started
    grown = _memory_mib("VmHWM") - before
    over.set()
    watcher.join()
    export.refresh_from_db()
    assert (export.state, export.error) == ("done", "")
    rows = export.total_rows or 0
    size = file_path(export).stat().st_size
    shares = [share for share, _ in shown]
    assert shares == sorted(shares)
    texts = ", ".join(text for _, text in shown[-3:]) or "none"
    say(
        f"CSV file of {days} days: {rows:,} rows, {size:,} bytes in {seconds:.1f} s, "
        f"{rows / seconds:,.0f} rows/s; grew by {grown:.0f} MiB; progress shown: {texts}"
    )
    file_path(export).unlink()
    return grown


def _watch(export: ReportExport, shown: list[tuple[int, str]], over: Event) -> None:
    """What the page's progress bar shows, as often as it asks."""
    try:
        while not over.wait(_POLL_S):
            progress = progress_of(ReportExport.objects.get(pk=export.pk))
            if progress.share and not progress.has_ended and (progress.share, progress.text) not in shown:
                shown.append((progress.share, progress.text))
    finally:
        connection.close()


def _memory_mib(name: str, *, reset: bool = False) -> float:
    """A figure of the kernel's about this process; with `reset` its peak is measured from now on."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) / 1024
