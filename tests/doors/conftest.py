"""A fake vendor and live gateways over it, started once per test process."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.doors.gateway import Gateway, Template, database_template, run_database_url
from tests.fakes.vendor import FakeVendor


@pytest.fixture(scope="session")
def shared_vendor() -> Iterator[FakeVendor]:
    """The vendor behind all upstreams of rows.py."""
    with FakeVendor() as running:
        yield running


@pytest.fixture
def vendor(shared_vendor: FakeVendor) -> Iterator[FakeVendor]:
    """The vendor, on a good day until the test scripts something else."""
    shared_vendor.reset()
    yield shared_vendor
    shared_vendor.reset()
    failures, shared_vendor.failures[:] = list(shared_vendor.failures), []
    assert not failures


@pytest.fixture(scope="session")
def template(shared_vendor: FakeVendor) -> Iterator[Template]:
    """A database with the rows of rows.py, to copy."""
    with database_template(shared_vendor.port, run_database_url()) as made:
        yield made


@pytest.fixture(scope="session")
def gateway(template: Template) -> Iterator[Gateway]:
    """A gateway to share: small bodies, impatient with slow senders, everything else as shipped."""
    limits = {"GATEWAY_MAX_BODY": "1M", "GATEWAY_BODY_TIMEOUT_S": "0.5"}
    with Gateway(template.copy(), **limits) as running:
        yield running


@pytest.fixture(scope="session")
def eager_gateway(template: Template) -> Iterator[Gateway]:
    """A gateway that starts streams at once and sends heartbeats all the time."""
    waits = {"GATEWAY_STREAM_HEADER_WAIT_S": "0.1", "GATEWAY_HEARTBEAT_S": "0.1"}
    with Gateway(template.copy(), **waits) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    """An HTTP client with a key that may use every model."""
    with gateway.client() as connected:
        yield connected
