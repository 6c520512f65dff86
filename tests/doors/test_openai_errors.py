"""What goes wrong reaches people as the `openai` client's typed errors, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.doors.gateway import Gateway
from tests.doors.rows import ADMIN_KEY, BLOCKED_KEY, EXPIRED_KEY, KEY, LIMITED_KEY, MODEL
from tests.fakes.behaviours import (
    Behaviour,
    answer,
    error,
    garbage,
    hang_before_headers,
    not_json,
    rate_limited,
    redirect,
)
from tests.fakes.vendor import FakeVendor

Ask = Callable[..., Any]


@pytest.fixture
def ai(gateway: Gateway) -> Iterator[OpenAI]:
    """The client as shipped, with its two retries."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY) as client:
        yield client


@pytest.fixture
def ask(ai: OpenAI) -> Ask:
    """Chat with a model; keyword arguments go into the request."""

    def create(model: str = MODEL, **options: Any) -> Any:
        messages: Any = [{"role": "user", "content": "Hello"}]
        return ai.with_options(max_retries=options.pop("max_retries", 2)).chat.completions.create(
            model=model, messages=options.pop("messages", messages), **options
        )

    return create


@pytest.mark.parametrize(
    "key", ["sk-nobody-knows-this-key", BLOCKED_KEY, EXPIRED_KEY, "x" * 600, "schlüssel"]
)
def test_a_wrong_key_is_an_authentication_error(vendor: FakeVendor, gateway: Gateway, key: str) -> None:
    headers = {b"authorization": f"Bearer {key}".encode()}

    with gateway.client("") as client:
        refused = client.post("/v1/chat/completions", json={"model": MODEL}, headers=headers)

    assert refused.status_code == 401
    assert refused.json()["error"] == {
        "message": "Incorrect API key provided.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    assert vendor.requests == []


def test_the_client_knows_a_wrong_key(ai: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        ai.with_options(api_key="sk-wrong-key-00000000").models.list()

    assert caught.value.code == "invalid_api_key"
    assert (caught.value.request_id or "").startswith("req_")


def test_a_forbidden_model_is_a_permission_error(vendor: FakeVendor, ai: OpenAI) -> None:
    limited = ai.with_options(api_key=LIMITED_KEY)

    with pytest.raises(openai.PermissionDeniedError) as caught:
        limited.chat.completions.create(model="pair", messages=[{"role": "user", "content": "Hi"}])
    allowed = limited.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])

    assert (caught.value.code, caught.value.param) == ("insufficient_permissions", "model")
    assert allowed.model == MODEL
    assert len(vendor.requests) == 1


def test_a_forbidden_model_does_not_show_in_lists(ai: OpenAI) -> None:
    limited = ai.with_options(api_key=LIMITED_KEY)

    assert {model.id.split("/")[0] for model in limited.models.list()} == {"fake"}
    with pytest.raises(openai.NotFoundError):
        limited.models.retrieve("pair")


def test_an_admin_key_does_not_chat(ai: OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        ai.with_options(api_key=ADMIN_KEY).models.list()


def test_an_unknown_model_is_not_found(vendor: FakeVendor, ask: Ask) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask("fake/none")

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert vendor.requests == []


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"stream": "yes"}, "stream"),
        ({"messages": []}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"messages": None}, "messages"),
        ({"stream": True, "stream_options": "usage"}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"model": "m" * 300}, "model"),
    ],
)
def test_a_wrong_value_names_its_parameter(
    vendor: FakeVendor, ask: Ask, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(**options)

    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
    assert vendor.requests == []


def test_the_vendors_complaint_about_a_parameter_passes(vendor: FakeVendor, ask: Ask) -> None:
    complaint = error(400, "temperature is too high", code="unsupported_value", param="temperature")
    vendor.script(complaint)

    with pytest.raises(openai.BadRequestError) as caught:
        ask(temperature=9)

    assert (caught.value.param, caught.value.code) == ("temperature", "unsupported_value")
    assert "temperature is too high" in caught.value.message
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, openai.NotFoundError), (409, openai.ConflictError), (422, openai.UnprocessableEntityError)],
)
def test_other_complaints_of_the_vendor_keep_their_status(
    vendor: FakeVendor, ask: Ask, status: int, kind: type[openai.APIStatusError]
) -> None:
    vendor.always(error(status, "no"))

    with pytest.raises(kind):
        ask(max_retries=0)


def test_a_rate_limit_passes_with_its_retry_after(vendor: FakeVendor, ask: Ask) -> None:
    vendor.always(rate_limited("7"))

    with pytest.raises(openai.RateLimitError) as caught:
        ask(max_retries=0)

    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.code == "rate_limit_exceeded"


def test_a_rate_limit_is_waited_for_by_the_client(vendor: FakeVendor, ask: Ask) -> None:
    vendor.script(rate_limited("0"))

    assert ask().model == MODEL
    assert len(vendor.requests) == 2


@pytest.mark.parametrize("retry_after", ["7\r\nx-evil: 1", "soon", "-1", "9" * 30])
def test_a_strange_retry_after_is_left_out(gateway: Gateway, vendor: FakeVendor, retry_after: str) -> None:
    vendor.always(rate_limited(retry_after))

    with gateway.client() as client:
        refused = client.post("/v1/chat/completions", json={"model": MODEL, "messages": [{}]})

    assert refused.status_code in (429, 502)
    assert refused.headers.get("retry-after", "7") == "7"
    assert "x-evil" not in refused.headers


@pytest.mark.parametrize(
    "behaviour",
    [
        error(500, "vendor stack trace"),
        error(503, "vendor is full"),
        error(401, "Incorrect API key: sk-vendor-secret-0123456789"),
        error(403, "not your model"),
        error(402, "pay first"),
        garbage(),
        not_json(),
        answer(200, b"[]"),
        answer(200, b'{"error":{"message":"broken"}}'),
        redirect("http://127.0.0.1:1/v1/chat/completions"),
    ],
    ids=[
        *("500", "503", "401", "403", "402"),
        *("garbage", "no-json", "no-object", "error-with-200", "redirect"),
    ],
)
@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
def test_a_broken_vendor_is_a_502_that_is_not_retried(
    vendor: FakeVendor, ask: Ask, behaviour: Behaviour, streams: bool
) -> None:
    vendor.always(behaviour)

    with pytest.raises(openai.InternalServerError) as caught:
        ask(stream=streams)

    assert caught.value.status_code == 502
    assert caught.value.type == "upstream_error"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(vendor.requests) == 1
    assert "fake" in caught.value.message
    assert not any(word in caught.value.response.text for word in ("stack trace", "sk-vendor", "pay first"))


def test_a_vendor_that_says_nothing_is_a_504_that_names_the_phase(vendor: FakeVendor, ask: Ask) -> None:
    vendor.always(hang_before_headers())

    with pytest.raises(openai.InternalServerError) as caught:
        ask("hasty/fake-chat")

    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
    assert "'first token' within 0.3 s" in caught.value.message
    assert len(vendor.requests) == 1


def test_the_clients_own_timeout_ends_the_call(vendor: FakeVendor, ask: Ask) -> None:
    vendor.always(hang_before_headers())

    with pytest.raises(openai.APITimeoutError):
        ask(timeout=1, max_retries=0)

    vendor.wait_for_requests(1)[0].wait_aborted()
