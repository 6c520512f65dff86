"""A live gateway over one provider: a test module says with a fixture `served` what is behind it.

And the loops that calls of a provider's client are tested on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
import uvloop
from openai import OpenAI

from tests.doors.gateway import Gateway, Template, run_database_url, run_in
from tests.providers.rows import KEY, UPSTREAM, Served, arguments
from tests.services import guarded_folder


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both asyncio's and the server's own for how calls end: their events come in another order on each."""
    if item.path.name == "test_choices_end.py":
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="module")
def gateway(served: Served | Sequence[Served]) -> Iterator[Gateway]:
    """A gateway whose only upstreams are the module's `served`."""
    with guarded_folder("gateway-template-", signal.SIGTERM) as folder:
        template = Template(folder, run_database_url())
        try:
            database = template.migrated()
            run_in(folder, database, "-m", "tests.providers.rows", arguments(served))
            with Gateway(database) as running:
                yield running
        finally:
            template.drop()


@pytest.fixture(scope="module")
def ai(gateway: Gateway) -> Iterator[OpenAI]:
    """OpenAI's client of that gateway; a failure shows at once."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def model(served: Served) -> str:
    """The id of its first model."""
    return f"{UPSTREAM}/{served.models[0]}"
