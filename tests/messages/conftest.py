"""A live gateway in front of the demo, a fake OpenAI vendor, a fake Anthropic and an agent."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic import Anthropic

from tests.agents.dropins import write_agent
from tests.doors.gateway import Gateway, Template, run_database_url, run_in
from tests.fakes.vendor import FakeVendor
from tests.messages.rows import FAKE, KEY
from tests.providers.fake_anthropic import FakeAnthropic
from tests.services import guarded_folder

PLAIN = """
    from agents import Agent
    agent = Agent(name="Plain", instructions="Be plain.")
"""


@pytest.fixture(scope="module")
def shared_vendor() -> Iterator[FakeVendor]:
    """A vendor with OpenAI's API."""
    with FakeVendor() as running:
        yield running


@pytest.fixture
def vendor(shared_vendor: FakeVendor) -> Iterator[FakeVendor]:
    """The vendor, on a good day until the test scripts something else."""
    shared_vendor.reset()
    yield shared_vendor
    failures, shared_vendor.failures[:] = list(shared_vendor.failures), []
    assert not failures


@pytest.fixture(scope="module")
def claude() -> Iterator[FakeAnthropic]:
    """Anthropic."""
    with FakeAnthropic() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    shared_vendor: FakeVendor, claude: FakeAnthropic, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """The gateway."""
    root: Path = tmp_path_factory.mktemp("agents")
    write_agent(root, "Plain", PLAIN)
    with guarded_folder("gateway-template-", signal.SIGTERM) as folder:
        template = Template(folder, run_database_url())
        try:
            database = template.migrated()
            ports = (str(shared_vendor.port), str(claude.port))
            run_in(folder, database, "-m", "tests.messages.rows", *ports)
            variables = {"GATEWAY_AGENT_DISCOVERY_PATH": str(root), "GATEWAY_DEFAULT_MODEL": FAKE}
            with Gateway(database, GATEWAY_MAX_BODY="1M", **variables) as running:
                yield running
        finally:
            template.drop()


@pytest.fixture(scope="module")
def ai(gateway: Gateway) -> Iterator[Anthropic]:
    """Anthropic's client of that gateway; a failure shows at once."""
    with Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as client:
        yield client
