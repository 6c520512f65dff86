"""The address under which this server calls itself, whatever it listens at."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway_project.own_address import own_base_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104
        ("", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("fd00::7", "http://[fd00::7]:8000"),
        ("gateway.example", "http://gateway.example:8000"),
    ],
)
def test_the_address_can_be_called(host: str, url: str, settings: Any) -> None:
    settings.HOST, settings.PORT = host, 8000

    assert own_base_url() == url
    assert httpx.URL(url).port == 8000
