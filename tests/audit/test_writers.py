"""Writers at the same time: nobody waits for ever, and the chain has no gap.

On PostgreSQL: SQLite has one writer at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from security_app.models import AuditEvent, ConfigVersion
from security_app.models.chain import Draft, append
from security_app.services.audit import audit_head, record
from security_app.services.keys import create_key
from upstreams_app.models import Route

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 8


def make_key(name: str) -> None:
    """Section security, then two events, then section agents."""
    with transaction.atomic():
        create_key(actor="test", name=name)
        ConfigVersion.bump("agents")


def make_route(name: str) -> None:
    """Sections agents and upstreams, the other way round."""
    with transaction.atomic():
        ConfigVersion.bump("agents")
        Route.objects.create(name=name)
        ConfigVersion.bump("security")


def log_in(name: str) -> None:
    """An event first, then a section."""
    with transaction.atomic():
        record("logged_in", object_type="auth.user", object_id=name)
        ConfigVersion.bump("upstreams")


def note_denials(name: str) -> None:
    """As the flusher does: no section at all."""
    append([Draft("denied", "path", name), Draft("denied", "path", name)])


def test_writers_of_several_sections_never_block_each_other_for_ever() -> None:
    failures: list[BaseException] = []

    def work(write: Callable[[str], None], name: str) -> None:
        try:
            for number in range(ROUNDS):
                write(f"{name}-{number}")
        except BaseException as error:  # noqa: BLE001  (the test tells it)
            failures.append(error)
        finally:
            connection.close()

    writers = (make_key, make_route, log_in, note_denials)
    threads = [
        threading.Thread(target=work, args=(write, f"{write.__name__}-{number}"))
        for number in range(2)
        for write in writers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    seqs = list(AuditEvent.objects.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, 2 * ROUNDS * (2 + 1 + 1 + 2) + 1))
    assert audit_head().seq == len(seqs)
