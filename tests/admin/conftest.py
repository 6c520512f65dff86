"""Who works with the admin, and the snapshot that their changes act on.

Models are imported where they are used: pytest may load this file before Django is set up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.test import Client

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from gateway_project.core.snapshot import SnapshotStore


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
