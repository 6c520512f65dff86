"""A fake vendor and live gateways over it, started once per test process."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.doors.gateway import Gateway, Template, database_template, run_database_url
from tests.doors.live import write_account
from tests.doors.pair import client_of_each
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


@pytest.fixture(scope="session")
def postgres_template(
    request: pytest.FixtureRequest, shared_vendor: FakeVendor, shared_postgres_url: str
) -> Iterator[Template]:
    """As `template`, but on PostgreSQL in every run."""
    if run_database_url() is not None:
        yield request.getfixturevalue("template")
    else:
        with database_template(shared_vendor.port, shared_postgres_url) as made:
            yield made


@pytest.fixture(scope="session")
def pair_gateway(postgres_template: Template, shared_valkey_url: str) -> Iterator[Gateway]:
    """A gateway of two processes on PostgreSQL and Valkey; it knows alice, who may see the ledger."""
    with Gateway(postgres_template.copy(), WEB_CONCURRENCY="2", REDIS_URL=shared_valkey_url) as running:
        write_account(running, "alice")
        yield running


@pytest.fixture
def pair_clients(pair_gateway: Gateway) -> Iterator[list[httpx.Client]]:
    """A client on a kept connection to each of the two processes, without a key."""
    with client_of_each(pair_gateway) as found:
        yield found


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    """An HTTP client with a key that may use every model."""
    with gateway.client() as connected:
        yield connected
