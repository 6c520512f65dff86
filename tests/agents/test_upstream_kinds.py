"""What calls of a run look like at upstreams of other kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents import Agent, ModelSettings, function_tool
from gateway_project.core.errors import UpstreamFailed
from gateway_project.core.snapshot import Section, Snapshot
from tests.agents.answers import says
from tests.agents.inprocess import HELPER, Setup, in_process, model, outcome
from tests.fakes.behaviours import error, json_answer
from tests.fakes.vendor import FakeVendor
from upstreams_app.registry import UpstreamsConfig

pytestmark = pytest.mark.django_db
EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])


@function_tool
def act() -> str:
    return "done"


SHORT = Agent(name="Helper", tools=[act], model_settings=ModelSettings(max_tokens=7))


def limits(request: Any) -> dict[str, int]:
    """The members of a request that limit its answer."""
    return {name: value for name, value in request.json.items() if name.startswith("max_")}


def is_strict(request: Any) -> bool:
    return "strict" in request.json["tools"][0]["function"]


@EITHER
@pytest.mark.parametrize(
    ("upstream", "name"),
    [
        ({"kind": "openai"}, "max_completion_tokens"),
        ({"kind": "azure-openai"}, "max_completion_tokens"),
        ({"kind": "azure-openai", "api_version": "2024-10-21"}, "max_completion_tokens"),
        ({"kind": "azure-openai", "api_version": "preview"}, "max_completion_tokens"),
        ({"kind": "azure-openai", "api_version": "2024-06-01"}, "max_tokens"),
        ({"kind": "openai-compatible"}, "max_tokens"),
        ({"kind": "ollama"}, "max_tokens"),
    ],
)
def test_the_limit_of_an_answer_has_the_name_that_the_upstream_knows(
    vendor: FakeVendor, upstream: dict[str, str], name: str, is_stream: bool
) -> None:
    async def work(setup: Setup) -> None:
        await outcome(setup.run(SHORT, is_stream=is_stream), is_stream=is_stream)

    endpoint = f"{vendor.url}/openai" if "api_version" in upstream else f"{vendor.url}/v1"
    in_process(vendor, work, endpoints=(endpoint,), **upstream)

    assert limits(vendor.requests[0]) == {name: 7}


@EITHER
def test_each_upstream_of_a_route_gets_its_own_form(vendor: FakeVendor, is_stream: bool) -> None:
    vendor.script(error(500), says("Fine."))

    async def work(setup: Setup) -> None:
        first = model(vendor.url, "first/fake-chat")
        second = model(vendor.url, "second/fake-chat", kind="openai")
        (later,) = second.targets
        route = replace(
            first, id="route", is_route=True, targets=(*first.targets, replace(later, priority=2))
        )
        upstreams = UpstreamsConfig({"route": route}, {})
        setup.config = Snapshot({**setup.config.sections, "upstreams": Section(upstreams, 1)})
        assert await outcome(setup.run(SHORT, is_stream=is_stream), is_stream=is_stream) == "Fine."

    in_process(vendor, work)

    assert [limits(one) for one in vendor.requests] == [{"max_tokens": 7}, {"max_completion_tokens": 7}]
    assert [is_strict(one) for one in vendor.requests] == [False, True]


@EITHER
@pytest.mark.parametrize("takes", [True, False], ids=["takes it", "has its own"])
def test_the_clients_credential_goes_where_it_is_wanted(
    vendor: FakeVendor, takes: bool, is_stream: bool
) -> None:
    async def work(setup: Setup) -> None:
        run = setup.run(HELPER, is_stream=is_stream)
        setup.context.client_api_key = "sk-of-the-client"
        await outcome(run, is_stream=is_stream)

    in_process(vendor, work, takes_client_credential=takes, credential="" if takes else "sk-own")

    expected = "Bearer sk-of-the-client" if takes else "Bearer sk-own"
    assert vendor.requests[0].header("authorization") == expected


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"index": 0, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]},
        {"choices": []},
        {"choices": None},
        {"choices": ["x"]},
        {},
    ],
)
def test_an_answer_without_a_message_is_none(vendor: FakeVendor, body: dict[str, Any]) -> None:
    vendor.script(json_answer(body))

    async def work(setup: Setup) -> None:
        with pytest.raises(UpstreamFailed, match="not what was asked for"):
            await outcome(setup.run(HELPER), is_stream=False)

    in_process(vendor, work)
