"""A caller of the management API without rights to it, and a vendor to manage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.management.model_server import ModelServer

if TYPE_CHECKING:
    from tests.management.caller import Caller


@pytest.fixture
def traffic(admin: Caller) -> Caller:
    """The holder of a key that may call models and nothing else."""
    return admin.with_key(admin.ok("POST", "/key/generate", {"key_alias": "traffic"})["key"])


@pytest.fixture
def vendor() -> Iterator[ModelServer]:
    """A vendor with two models."""
    models = {
        "object": "list",
        "data": [{"id": "small", "object": "model"}, {"id": "text-embed", "object": "model"}],
    }
    with ModelServer({"/v1/models": (200, models)}) as server:
        yield server
