"""A worker's claim to a row: nobody else makes its file until the lease ends, as it does unless renewed.

A thread renews it, with a connection of its own: the one that reads the rows is busy, and on SQLite could not
write after others did. It also writes down the progress.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import DatabaseError
from django.db.models import F, Q

from gateway_project.core.clock import utc_now
from gateway_project.core.db import close_connections_of_this_thread, with_fresh_connections
from usage_app.models import ReportExport

logger = logging.getLogger(__name__)
LEASE = timedelta(seconds=90)
MAX_ATTEMPTS = 3
_BEAT_S = 2.0
_STATE = ReportExport.State


class LeaseLost(Exception):
    """Somebody else makes the file now, or it is no longer wanted."""


def claim_next() -> ReportExport | None:
    """The oldest row that waits, or whose worker died, with a lease for the caller; None if there is none."""
    while True:
        now = utc_now()
        free = Q(state=_STATE.QUEUED) | Q(state=_STATE.RUNNING, lease_until__lt=now)
        row_id = ReportExport.objects.filter(free).order_by("id").values_list("pk", flat=True).first()
        if row_id is None:
            return None
        token = uuid4()
        taken = ReportExport.objects.filter(free, pk=row_id, attempts__lt=MAX_ATTEMPTS).update(
            state=_STATE.RUNNING,
            lease_until=now + LEASE,
            lease_token=token,
            attempts=F("attempts") + 1,
            started_at=now,
            progress_rows=0,
            total_rows=None,
        )
        if taken:
            return ReportExport.objects.get(pk=row_id)
        given_up = ReportExport.objects.filter(free, pk=row_id, attempts__gte=MAX_ATTEMPTS).update(
            state=_STATE.FAILED,
            error=f"The worker died {MAX_ATTEMPTS} times while it made the file.",
            finished_at=now,
            lease_until=None,
            lease_token=None,
        )
        if given_up:
            logger.error("report.given_up", extra={"export_id": f"exp_{row_id.hex}"})


class Lease:
    """Renews a claim in the background. `check` raises LeaseLost once it is another's."""

    def __init__(self, row_id: UUID, token: UUID) -> None:
        self._row_id = row_id
        self._token = token
        self._rows = 0
        self._total: int | None = None
        self._is_lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report-lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self, rows: int, total: int | None = None) -> None:
        """Note how far it is; LeaseLost if the claim is gone."""
        self._rows = rows
        if total is not None:
            self._total = total
        if self._is_lost:
            raise LeaseLost

    def beat(self) -> None:
        """Renew the claim and write down the progress."""
        values = {"lease_until": utc_now() + LEASE, "progress_rows": self._rows, "total_rows": self._total}
        mine = ReportExport.objects.filter(pk=self._row_id, lease_token=self._token, state=_STATE.RUNNING)
        if not mine.update(**values):
            self._is_lost = True

    def _run(self) -> None:
        try:
            while not self._stop.wait(_BEAT_S) and not self._is_lost:
                try:
                    with_fresh_connections(self.beat)
                except DatabaseError:
                    # The next one may get through; if none does, the lease ends.
                    logger.warning("report.lease_not_renewed", exc_info=True)
        finally:
            close_connections_of_this_thread()
