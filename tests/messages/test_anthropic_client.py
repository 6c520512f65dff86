"""Anthropic's own client in front of the gateway: every kind of model, and an agent."""

from __future__ import annotations

import re
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from tests.doors.gateway import ROOT, Gateway
from tests.fakes import bodies
from tests.fakes.behaviours import chat, error, error_event, json_answer, rate_limited
from tests.fakes.vendor import FakeVendor
from tests.messages.rows import AGENT, CLAUDE, DEMO, FAKE, KEY, LIMITED_KEY, MODELS, NARROW_KEY
from tests.providers.fake_anthropic import SIGNATURE, FakeAnthropic

GUIDE = ROOT / "docs" / "guides" / "anthropic-clients.md"
HELLO: Any = [{"role": "user", "content": "Hello"}]
SAID = "Hello from the fake 🌍"
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def text_of(message: Any) -> str:
    """What a message says."""
    return "".join(block.text for block in message.content if block.type == "text")


def said(message: Any) -> list[tuple[str, str]]:
    """The kinds of blocks of a message and their texts."""
    return [(block.type, getattr(block, block.type)) for block in message.content]


@pytest.mark.parametrize("model", [DEMO, FAKE, CLAUDE, AGENT])
def test_every_kind_answers_plain_and_as_a_stream(ai: Anthropic, vendor: FakeVendor, model: str) -> None:
    message = ai.messages.create(model=model, max_tokens=100, messages=HELLO)
    with ai.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
        pieces = list(stream.text_stream)
        streamed = stream.get_final_message()

    assert text_of(message)
    assert message.id.startswith("msg_")
    assert (message.type, message.role, message.model) == ("message", "assistant", model)
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert "".join(pieces) == text_of(streamed) == text_of(message)
    assert streamed.usage.output_tokens == message.usage.output_tokens
    assert streamed.usage.input_tokens == message.usage.input_tokens
    assert (streamed.model, streamed.stop_reason) == (model, "end_turn")


async def test_the_asynchronous_client_reads_the_same(gateway: Gateway, vendor: FakeVendor) -> None:
    async with AsyncAnthropic(base_url=gateway.url, auth_token=KEY, max_retries=0) as ai:
        message = await ai.messages.create(model=FAKE, max_tokens=100, messages=HELLO)
        async with ai.messages.stream(model=FAKE, max_tokens=100, messages=HELLO) as stream:
            streamed = await stream.get_final_message()

    assert text_of(message) == text_of(streamed) == SAID


@pytest.mark.parametrize("model", [DEMO, CLAUDE])
def test_a_tool_is_called_and_its_result_comes_back(ai: Anthropic, model: str) -> None:
    turns: Any = [{"role": "user", "content": "How is the weather in Oslo?"}]
    fields: Any = {"model": model, "max_tokens": 500, "tools": [WEATHER]}

    asked = ai.messages.create(messages=turns, tool_choice={"type": "any"}, **fields)
    with ai.messages.stream(messages=turns, tool_choice={"type": "any"}, **fields) as stream:
        streamed = stream.get_final_message()
    call = next(block for block in asked.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "3 °C"}
    turns += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    answer = ai.messages.create(messages=turns, **fields)

    assert asked.stop_reason == streamed.stop_reason == "tool_use"
    assert (call.name, set(call.input)) == ("get_weather", {"city"})
    assert [block.input for block in streamed.content if block.type == "tool_use"] == [call.input]
    assert answer.stop_reason == "end_turn"
    assert "3 °C" in text_of(answer)


def test_thoughts_and_their_signatures_go_through_and_back(ai: Anthropic, claude: FakeAnthropic) -> None:
    fields: Any = {
        "model": CLAUDE,
        "max_tokens": 5000,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }

    message = ai.messages.create(messages=HELLO, **fields)
    with ai.messages.stream(messages=HELLO, **fields) as stream:
        streamed = stream.get_final_message()
    ai.messages.create(messages=[*HELLO, {"role": "assistant", "content": message.content}, *HELLO], **fields)

    assert said(message) == said(streamed)
    assert message.content[0].type == "thinking"
    assert message.content[0].signature == SIGNATURE
    sent = claude.requests[-1].json
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert sent["messages"][1]["content"][0] == message.content[0].model_dump()
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens > 0


def test_thoughts_of_others_are_shown_to_whoever_asked_for_thoughts(ai: Anthropic) -> None:
    fields: Any = {"model": "demo/reasoning", "max_tokens": 2000, "messages": HELLO}
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}

    silent = ai.messages.create(**fields)
    aloud = ai.messages.create(**fields, thinking=thinking)
    with ai.messages.stream(**fields, thinking=thinking) as stream:
        streamed = stream.get_final_message()

    assert [block.type for block in silent.content] == ["text"]
    assert [block.type for block in aloud.content] == ["thinking", "text"]
    assert said(streamed) == said(aloud)


def test_tokens_of_the_cache_are_counted_beside_the_input(ai: Anthropic, gateway: Gateway) -> None:
    system: Any = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    raw = ai.messages.with_raw_response.create(model=CLAUDE, max_tokens=9, messages=HELLO, system=system)
    message = raw.parse()
    with ai.messages.stream(model=CLAUDE, max_tokens=9, messages=HELLO, system=system) as stream:
        streamed = stream.get_final_message()
    record = gateway.record(raw.headers["request-id"])

    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (3, 7)
    assert (streamed.usage.input_tokens, streamed.usage.cache_read_input_tokens) == (3, 7)
    assert (record["input_tokens"], record["cached_input_tokens"]) == (10, 7)
    assert message._request_id == raw.headers["x-request-id"]


def test_the_end_user_is_in_the_ledger(ai: Anthropic, gateway: Gateway, vendor: FakeVendor) -> None:
    user_id = "user_0a1b_account_6f2e-11_session_7a-22"

    raw = ai.messages.with_raw_response.create(
        model=FAKE, max_tokens=9, messages=HELLO, metadata={"user_id": user_id}
    )

    assert gateway.record(raw.headers["request-id"])["end_user"] == "6f2e-11"


def test_openai_gets_the_newer_name_of_the_limit(ai: Anthropic, vendor: FakeVendor) -> None:
    for model in (FAKE, "openai/gpt"):
        ai.messages.create(model=model, max_tokens=9, messages=HELLO)

    compatible, openai = (request.json for request in vendor.requests)
    assert (compatible["max_tokens"], openai["max_completion_tokens"]) == (9, 9)
    assert "max_completion_tokens" not in compatible
    assert "max_tokens" not in openai


def test_an_agent_is_asked_like_a_model(ai: Anthropic, vendor: FakeVendor) -> None:
    message = ai.messages.create(model=AGENT, max_tokens=100, messages=HELLO, system="Be kind.")

    assert text_of(message) == SAID
    sent = [turn["content"] for turn in vendor.requests[-1].json["messages"]]
    assert "Be plain." in str(sent)
    assert "Be kind." in str(sent)


@pytest.mark.parametrize(
    ("key", "model", "expected", "status", "kind"),
    [
        ("sk-nobody-has-this-key-0", FAKE, anthropic.AuthenticationError, 401, "authentication_error"),
        (NARROW_KEY, DEMO, anthropic.PermissionDeniedError, 403, "permission_error"),
        (KEY, "no/such", anthropic.NotFoundError, 404, "not_found_error"),
    ],
)
def test_refusals_are_in_anthropics_form(
    gateway: Gateway, key: str, model: str, expected: type[anthropic.APIStatusError], status: int, kind: str
) -> None:
    with Anthropic(base_url=gateway.url, api_key=key, max_retries=0) as ai, pytest.raises(expected) as caught:
        ai.messages.create(model=model, max_tokens=9, messages=HELLO)

    body: Any = caught.value.body
    assert caught.value.status_code == status
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["request_id"] == caught.value.request_id
    assert body["error"]["message"]


def test_what_may_come_to_more_than_a_limit_is_refused(gateway: Gateway, vendor: FakeVendor) -> None:
    with (
        Anthropic(base_url=gateway.url, api_key=LIMITED_KEY, max_retries=0) as ai,
        pytest.raises(anthropic.RateLimitError) as caught,
    ):
        ai.messages.create(model=FAKE, max_tokens=101, messages=HELLO)

    body: Any = caught.value.body
    assert body["error"]["type"] == "rate_limit_error"
    assert vendor.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/messages",
        "/v1/v1/messages",
        "/v1/messages/",
        "/v1/messages?beta=true",
        "/openai/deployments/fake/fake-chat/messages",
    ],
)
def test_other_spellings_of_the_path_lead_to_the_same(gateway: Gateway, path: str) -> None:
    body = {"model": DEMO, "max_tokens": 9, "messages": HELLO}

    with gateway.client(KEY) as client:
        answer = client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        wrong = client.get(path)

    assert answer.json()["type"] == "message"
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["type"] == "error"


def test_the_guides_program_runs(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    monkeypatch.setenv("NO_PROXY", "*")

    exec(program.replace("http://127.0.0.1:8000", gateway.url).replace("YOUR_KEY", KEY), {})  # noqa: S102

    assert capsys.readouterr().out.startswith("Hello!")


def test_a_wrong_field_is_named(ai: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        ai.messages.create(
            model=FAKE,
            max_tokens=9,
            messages=HELLO,
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )

    body: Any = caught.value.body
    assert body["error"]["type"] == "invalid_request_error"
    assert "tools.0" in body["error"]["message"]
    assert "web_search" in body["error"]["message"]


def test_a_body_that_is_too_large_is_a_413(ai: Anthropic) -> None:
    with pytest.raises(anthropic.RequestTooLargeError) as caught:
        ai.messages.create(model=FAKE, max_tokens=9, messages=[{"role": "user", "content": "x" * 1_100_000}])

    body: Any = caught.value.body
    assert body["error"]["type"] == "request_too_large"


def test_what_upstreams_refuse_has_anthropics_status(ai: Anthropic, vendor: FakeVendor) -> None:
    vendor.script(rate_limited("7"), error(503), error(500), error(400, "Bad.", param="stop"))
    fields: Any = {"model": FAKE, "max_tokens": 9, "messages": HELLO}

    with pytest.raises(anthropic.RateLimitError) as limited:
        ai.messages.create(**fields)
    statuses = []
    for _ in range(2):
        with pytest.raises(anthropic.InternalServerError) as failed:
            ai.messages.create(**fields)
        statuses.append(failed.value.status_code)
    with pytest.raises(anthropic.BadRequestError) as wrong:
        ai.messages.create(**fields)

    assert limited.value.response.headers["retry-after"] == "7"
    assert set(statuses) <= {500, 529}
    assert "stop_sequences: Bad." in str(wrong.value)


def test_the_client_tries_again_after_the_time_that_it_is_told(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.script(rate_limited("0"), chat(["fine"]))

    with Anthropic(base_url=gateway.url, api_key=KEY, max_retries=1) as ai:
        message = ai.messages.create(model=FAKE, max_tokens=9, messages=HELLO)

    assert text_of(message) == "fine"


def test_an_error_in_the_middle_of_a_stream_is_raised(ai: Anthropic, vendor: FakeVendor) -> None:
    vendor.script(error_event(("Hel",)))

    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        ai.messages.stream(model=FAKE, max_tokens=9, messages=HELLO) as stream,
    ):
        assert list(stream.text_stream) == ["Hel"]

    body: Any = caught.value.body
    assert body["error"]["type"] == "api_error"
    assert body["request_id"].startswith("req_")


def test_a_completion_that_is_none_is_a_fault_of_the_upstreams(ai: Anthropic, vendor: FakeVendor) -> None:
    vendor.script(json_answer({"object": "chat.completion", "choices": [], "usage": bodies.USAGE}))

    with pytest.raises(anthropic.InternalServerError):
        ai.messages.create(model=FAKE, max_tokens=9, messages=HELLO)


def test_tokens_are_counted_without_a_call(ai: Anthropic, vendor: FakeVendor, gateway: Gateway) -> None:
    short = ai.messages.count_tokens(model=FAKE, messages=HELLO)
    long = ai.messages.count_tokens(model=AGENT, messages=HELLO, system="x" * 3000, tools=[WEATHER])

    assert 0 < short.input_tokens < 100
    assert long.input_tokens > 1000
    assert vendor.requests == []
    with (
        Anthropic(base_url=gateway.url, api_key=NARROW_KEY, max_retries=0) as narrow,
        pytest.raises(anthropic.PermissionDeniedError),
    ):
        narrow.messages.count_tokens(model=DEMO, messages=HELLO)


def test_models_are_listed_in_pages(ai: Anthropic) -> None:
    known = {f"{name}/{model}" for name, models in MODELS.items() for model in models}

    listed = list(ai.models.list(limit=2))
    one = ai.models.retrieve(FAKE)

    assert {model.id for model in listed} == known | {AGENT}
    assert len(listed) == len(known) + 1
    assert (one.id, one.type, one.lifecycle) == (FAKE, "model", "active")
    with pytest.raises(anthropic.NotFoundError) as caught:
        ai.models.retrieve("no/such")
    body: Any = caught.value.body
    assert body["error"]["type"] == "not_found_error"
