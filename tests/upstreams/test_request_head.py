"""A request's head says what the configuration says, and can't be made to say more."""

from __future__ import annotations

import pytest

from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.services.request_head import (
    deployment_target,
    endpoint,
    header_lines,
    request_line,
    target,
)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("http://127.0.0.1:8000/v1", "POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"),
        ("http://models.example/v1/", "POST /v1/chat HTTP/1.1\r\nHost: models.example\r\n"),
        ("http://models.example:80", "POST /chat HTTP/1.1\r\nHost: models.example\r\n"),
        ("http://models.example:443", "POST /chat HTTP/1.1\r\nHost: models.example:443\r\n"),
        ("https://models.example:443/a/b", "POST /a/b/chat HTTP/1.1\r\nHost: models.example\r\n"),
        ("https://Models.Example:80", "POST /chat HTTP/1.1\r\nHost: models.example:80\r\n"),
        ("http://[::1]:8000/v1", "POST /v1/chat HTTP/1.1\r\nHost: [::1]:8000\r\n"),
        ("https://[2606:4700::1111]", "POST /chat HTTP/1.1\r\nHost: [2606:4700::1111]\r\n"),
        (
            "https://bücher.example/ü b%2Fc",
            "POST /%C3%BC%20b%2Fc/chat HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n",
        ),
        ("http://my_host-1.local./x", "POST /x/chat HTTP/1.1\r\nHost: my_host-1.local.\r\n"),
        ("http://h/a?b#c", "POST /a/chat HTTP/1.1\r\nHost: h\r\n"),
        ("http://h/\r\nX: y", "POST /X:%20y/chat HTTP/1.1\r\nHost: h\r\n"),
    ],
)
def test_the_request_line_is_that_of_the_base_url(url: str, line: str) -> None:
    at = endpoint(url)

    assert request_line(at, target(at, "/chat")) == line.encode()


def test_an_endpoint_knows_where_to_connect() -> None:
    plain, secure = endpoint("http://[::1]/v1"), endpoint("https://models.example:8443")

    assert (plain.is_tls, plain.host, plain.port, plain.path) == (False, "::1", 80, "/v1")
    assert (secure.is_tls, secure.host, secure.port, secure.path) == (True, "models.example", 8443, "")


@pytest.mark.parametrize(
    "url", ["http://a b/", "http://a..b/", "http:///x", "http://a%0d%0ab/", "http://a;b/"]
)
def test_what_names_no_host_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        endpoint(url)


def test_a_deployment_is_one_segment_of_the_path() -> None:
    at = endpoint("https://models.example/openai")

    where = deployment_target(at, "/chat/completions", model="a/b ?#\r\nü", api_version="2024-10-21")

    assert where == ("/openai/deployments/a%2Fb%20%3F%23%0D%0A%C3%BC/chat/completions?api-version=2024-10-21")


def test_a_later_header_replaces_an_earlier_one_in_any_case() -> None:
    assert header_lines({"Accept": "a", "authorization": "b"}, {"Authorization": "Bearer ü"}) == (
        "Accept: a\r\nAuthorization: Bearer ü\r\n".encode()
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "b\r\nX-C: d"),
        ("X-A", "b\nX-C: d"),
        ("X-A", "b\rX-C: d"),
        ("X-A", "b\0"),
        ("X-A", "\udcff"),
        ("X-A\r\nX-C", "d"),
        ("X A", "d"),
        ("X:A", "d"),
        ("", "d"),
        ("ü", "d"),
        ("Host", "elsewhere.example"),
        ("Content-Length", "7"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
    ],
)
def test_a_header_is_one_header_and_moves_no_boundary(name: str, value: str) -> None:
    with pytest.raises(UpstreamUnreachable, match="can't be sent"):
        header_lines({name: value})
