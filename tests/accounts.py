"""Who works with the admin and the management API, and the snapshot that their changes act on.

Fixtures for all tests (tests/conftest.py names this file). What needs settings is imported where it is used:
pytest loads this file before Django is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.test import Client

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from gateway_project.core.snapshot import SnapshotStore
    from tests.management.caller import Caller


@pytest.fixture
def snapshots(transactional_db: None) -> Iterator[SnapshotStore]:
    """The process's snapshot, loaded from this test's database."""
    from security_app.services.configuration import store

    store.forget()
    store.refresh()
    yield store
    store.forget()


@pytest.fixture
def charlie(db: None) -> User:
    """Staff without a single permission."""
    from django.contrib.auth.models import User

    return User.objects.create_user("charlie", password="charlies-password", is_staff=True)


@pytest.fixture
def charlies_client(charlie: User, client: Client) -> Client:
    """Charlie's browser."""
    client.force_login(charlie)
    return client


@pytest.fixture
def admin(transactional_db: None) -> Iterator[Caller]:
    """The holder of the master key."""
    from security_app.services.configuration import store
    from tests.management.caller import Caller

    store.forget()
    yield Caller(settings.GATEWAY_MASTER_KEY, [])
    store.forget()
