"""Tools of the kind http against a real server: what is sent, what comes back, and where none is sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.behaviours import answer, gzipped, hang_before_headers, huge, json_answer, redirect
from tests.fakes.exchange import RecordedRequest
from tests.fakes.vendor import FakeVendor
from tests.tools.setup import call, entry, row, schema
from tools_app.entry import ToolEntry
from tools_app.errors import ConfigProblem, ToolError
from tools_app.registry import tool_entry

pytestmark = pytest.mark.asyncio
PATH = "/orders"


@pytest.fixture
def server() -> Iterator[FakeVendor]:
    """Somebody's API; every call of it is kept in `requests`."""
    with FakeVendor() as running:
        running.on_path(PATH, json_answer({"found": 2}))
        yield running


def tool(server: FakeVendor, path: str = PATH, **columns: Any) -> ToolEntry:
    """A tool that asks the server."""
    config = {"method": "GET", "url": f"{server.url}{path}"} | columns.pop("config", {})
    headers = config.pop("headers", {})
    made = columns.pop("parameters", {"type": "object"})
    found = row("orders", kind="http", config=config, parameters=made, **columns)
    found.set_headers(headers)
    return tool_entry(found)


def only(server: FakeVendor) -> RecordedRequest:
    """The one request that arrived."""
    (request,) = server.requests
    return request


async def test_get_has_its_arguments_in_the_query(server: FakeVendor) -> None:
    arguments = {"q": "a b&c=ü", "limit": 3, "open": True, "tags": ["x", "y"], "none": None, "map": {"k": 1}}

    assert await call(tool(server, f"{PATH}?v=2"), arguments) == '{"found":2}'

    assert only(server).method == "GET"
    assert only(server).target == (
        f"{PATH}?v=2&q=a+b%26c%3D%C3%BC&limit=3&open=true&tags=x&tags=y&map=%7B%22k%22%3A1%7D"
    )
    assert only(server).body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_other_methods_have_them_as_json(server: FakeVendor, method: str) -> None:
    await call(tool(server, config={"method": method}), {"name": "ü", "items": [1, 2]})

    assert (only(server).method, only(server).json) == (method, {"name": "ü", "items": [1, 2]})
    assert only(server).header("content-type") == "application/json"


async def test_arguments_in_the_path_are_encoded_and_stand_nowhere_else(server: FakeVendor) -> None:
    server.on_path("/items/a%2Fb%3Fc%20%C3%BC/parts/7", answer(200, b"fine", content_type="text/plain"))
    parameters = schema("id", "part", id="string", part="integer", q="string")

    found = await call(
        tool(server, "/items/{id}/parts/{part}", parameters=parameters),
        {"id": "a/b?c ü", "part": 7, "q": "z"},
    )

    assert found == "fine"
    assert only(server).target == "/items/a%2Fb%3Fc%20%C3%BC/parts/7?q=z"


@pytest.mark.parametrize("value", ["..", ".", "", "../admin", "a/../../admin", "..\\admin"])
async def test_an_argument_can_not_lead_to_another_path(server: FakeVendor, value: str) -> None:
    with pytest.raises(ToolError) as caught:
        await call(tool(server, "/items/{id}/x", parameters=schema(id="string")), {"id": value})

    assert caught.value.status == "invalid"
    assert server.requests == []


async def test_headers_are_sent_with_the_secrets_that_references_stand_for(
    server: FakeVendor, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.SECRET_ENV_PREFIXES = ["TEAM_"]
    monkeypatch.setenv("TEAM_TOKEN", "Bearer s3cret")
    asking = tool(server, config={"headers": {"authorization": "env:TEAM_TOKEN", "x-app": "gateway"}})

    await call(asking)

    assert only(server).header("authorization") == "Bearer s3cret"
    assert only(server).header("x-app") == "gateway"
    assert "s3cret" not in repr(asking)


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
async def test_of_a_failure_the_model_learns_the_status_alone(server: FakeVendor, status: int) -> None:
    server.on_path(PATH, json_answer({"error": "internal detail 4711"}, status=status))

    with pytest.raises(ToolError) as caught:
        await call(tool(server))

    assert caught.value.message == f"the tool's server answered with status {status}"


async def test_a_redirect_is_not_followed(server: FakeVendor) -> None:
    server.on_path(PATH, redirect(f"{server.url}/elsewhere", 302))

    with pytest.raises(ToolError, match="status 302"):
        await call(tool(server))

    assert only(server).path == PATH


async def test_no_more_of_an_answer_is_read_than_the_model_is_given(server: FakeVendor) -> None:
    server.on_path(PATH, huge(64 * 1024 * 1024))

    found = await call(tool(server, max_result_bytes=1000))

    assert found.endswith("\n[The result was cut after 1000 bytes.]")
    assert len(found) < 1100
    only(server).wait_aborted()


async def test_a_compressed_answer_that_nobody_asked_for_is_refused(server: FakeVendor) -> None:
    server.on_path(PATH, gzipped({"bomb": True}))

    with pytest.raises(ToolError, match="encoding"):
        await call(tool(server))

    assert only(server).header("accept-encoding") == "identity"


async def test_the_charset_of_an_answer_is_heeded(server: FakeVendor) -> None:
    server.on_path(PATH, answer(200, "für".encode("latin-1"), content_type="text/plain; charset=iso-8859-1"))

    assert await call(tool(server)) == "für"


async def test_an_answer_is_not_read_as_the_encoding_of_a_hosts_name(server: FakeVendor) -> None:
    server.on_path(PATH, answer(200, b"b-a", content_type="text/plain; charset=punycode"))

    assert await call(tool(server)) == "b-a"


async def test_a_server_that_says_nothing_is_left_at_the_time_limit(server: FakeVendor) -> None:
    server.on_path(PATH, hang_before_headers())

    with pytest.raises(ToolError, match=r"within 0\.2 s"):
        await call(tool(server, timeout_s=0.2))

    only(server).wait_aborted()


async def test_nobody_there_is_a_failure_without_details() -> None:
    gone = entry(
        "orders", kind="http", config={"url": "http://127.0.0.1:1/secret-path"}, parameters={"type": "object"}
    )

    with pytest.raises(ToolError) as caught:
        await call(gone)

    assert caught.value.message == "the tool failed"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://metadata.google.internal/x",
        "http://[fd00:ec2::254]/x",
        "http://127.0.0.1/x",
        "http://10.0.0.1/x",
        "http://localhost/x",
        "http://[::ffff:127.0.0.1]/x",
    ],
)
async def test_an_address_that_must_not_be_called_is_refused_in_the_configuration(
    url: str, settings: Any
) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False

    with pytest.raises(ConfigProblem) as caught:
        entry("orders", kind="http", config={"url": url}, parameters={"type": "object"})

    assert caught.value.member == "url"


async def test_a_name_that_leads_into_the_own_network_is_not_called(
    server: FakeVendor, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False
    look_up = socket.getaddrinfo

    def answer_of(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return look_up("127.0.0.1" if host == "api.example" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", answer_of)
    url = server.url.replace("127.0.0.1", "api.example") + PATH

    with pytest.raises(ToolError, match="the tool failed"):
        await call(entry("orders", kind="http", config={"url": url}, parameters={"type": "object"}))

    assert server.requests == []


@pytest.mark.parametrize(
    ("config", "member", "words"),
    [
        ({}, "url", "Give a URL"),
        ({"url": "ftp://x.example/"}, "url", "http:// or https://"),
        ({"url": "http://u:p@x.example/"}, "url", "user name"),
        ({"url": "http://x.example/#a"}, "url", "fragment"),
        ({"url": "http://{host}.example/"}, "url", "path only"),
        ({"url": "http://x.example/?q={q}"}, "url", "path only"),
        ({"url": "http://x.example/a{b"}, "url", "without its other half"),
        ({"url": "http://x.example/{}"}, "url", "needs the name"),
        ({"url": "http://x.example/a/%2E%2E/{id}"}, "url", "the parts"),
        ({"url": "http://x.example/ä"}, "url", "percent-encoded"),
        ({"url": "http://x.example/{id}"}, "parameters", "must require an argument 'id'"),
        ({"url": "http://x.example/", "method": "TRACE"}, "method", "GET, POST"),
        ({"url": "http://x.example/", "proxy": "x"}, "proxy", "no such member"),
    ],
)
async def test_what_is_wrong_with_a_request_is_told_by_member(
    config: dict[str, Any], member: str, words: str
) -> None:
    with pytest.raises(ConfigProblem, match=words) as caught:
        entry("orders", kind="http", config=config, parameters={"type": "object"})

    assert caught.value.member == member


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"host": "x"}, "own to set"),
        ({"Content-Length": "3"}, "own to set"),
        ({"x y": "z"}, "no name of a header"),
        ({"x-a": "b\r\nx-c: d"}, "HTTP does not allow"),
        ({"x-a": "ü"}, "HTTP does not allow"),
        ({"x-a": "…1234"}, "masked"),
        ({"x-a": "env:GATEWAY_SECRET_KEY"}, "x-a: "),
        ({"x-a": "env:HOME"}, "x-a: "),
        ({f"x-{number}": "v" * 200 for number in range(25)}, "at most"),
    ],
)
async def test_headers_that_can_not_be_sent_are_refused(headers: dict[str, str], words: str) -> None:
    found = row("orders", kind="http", config={"url": "http://127.0.0.1/"}, parameters={"type": "object"})
    found.set_headers(headers)

    with pytest.raises(ConfigProblem, match=words) as caught:
        tool_entry(found)

    assert caught.value.member == "headers"
