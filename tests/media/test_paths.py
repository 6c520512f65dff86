"""The pass-through leads nowhere but below its upstream, however a path is written."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.core.paths import is_plain_path, is_plain_query
from upstreams_app.services.native import to_client, to_vendor
from upstreams_app.services.request_head import endpoint, native_target


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/chat/completions",
        "/v1/files/",
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse",
        "/v1/..hidden/a.b",
        "/v1/100%25",
    ],
)
def test_usual_paths_are_plain(path: str) -> None:
    assert is_plain_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v1/chat",
        "/..",
        "/v1/../admin",
        "/v1/./x",
        "/v1/%2e%2e/x",
        "/v1/%2E./x",
        "/v1/%252e%252e/x",
        "/v1/%25252e%25252e/x",
        "/v1/a%2f..%2fb",
        "/v1/..;a=b/x",
        "/v1/..%3bx/y",
        "//evil.example/x",
        "/v1//x",
        "/v1/%2f/x",
        "/http://evil.example",
        "/v1\\..\\x",
        "/v1/%5c..%5cx",
        "/v1/%00",
        "/v1/%0d%0aHost:x",
        "/v1/a b",
        "/v1/ü",
        "/v1/%zz",
        "/v1?x",
        "/v1#x",
        "/" + "a" * 9000,
    ],
)
def test_paths_that_may_lead_elsewhere_are_not(path: str) -> None:
    assert not is_plain_path(path)


@given(st.text("./%2eEfF;\\ac5", max_size=24).map(lambda text: "/" + text))
def test_a_plain_path_climbs_nowhere_however_it_is_read(path: str) -> None:
    if not is_plain_path(path):
        return
    for _ in range(6):
        assert not {"..", "."} & set(path.replace("\\", "/").split("/"))
        path = unquote(path)


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("https://api.openai.com/v1", "/v1/responses", "/v1/responses?a=b"),
        ("https://api.openai.com/v1", "/responses", "/v1/responses?a=b"),
        ("https://api.openai.com/v1", "/v1beta/x", "/v1/v1beta/x?a=b"),
        ("https://bedrock.example", "/model/x/converse", "/model/x/converse?a=b"),
        ("https://llm.example/tenant/v1", "/v1/x", "/tenant/v1/v1/x?a=b"),
    ],
)
def test_a_path_stays_below_the_upstreams_own(base: str, path: str, target: str) -> None:
    assert native_target(endpoint(base), path, "a=b") == target


@pytest.mark.parametrize(
    ("query", "is_plain"), [("a=b&c[]=%20", True), ("", True), ("a b", False), ("a\r\n", False)]
)
def test_a_query_stays_in_its_line(query: str, is_plain: bool) -> None:
    assert is_plain_query(query) == is_plain


def test_heads_lose_credentials_accounts_and_the_way() -> None:
    names = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "host", "connection", "te"]
    names += ["openai-organization", "x-forwarded-for", "x-amz-security-token", "upgrade", "content-length"]
    kept = {"anthropic-version": "2023-06-01", "content-type": "a/b", "x-stainless-lang": "python"}

    assert to_vendor([*((name, "x") for name in names), *kept.items(), ("accept", "a\nb")]) == kept
    assert to_client({"Set-Cookie": "a", "Location": "b", "ETag": "c", "X-Request-Id": "d"}) == {"etag": "c"}
