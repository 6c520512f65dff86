"""What docs/reference/secret-scanning.md tells scanners finds every key of ours and next to nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.core.crypto import has_valid_checksum, new_api_key

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "secret-scanning.md").read_text(encoding="utf-8")
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def block(language: str) -> str:
    """The page's one block of code in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    text: str = found
    return text


def patterns() -> list[str]:
    """Each form in which the page has the pattern."""
    (rule,) = tomllib.loads(block("toml"))["rules"]
    (github,) = re.findall(r"\| Secret format \| `(.*?)` \|", PAGE)
    return [block("regex").strip(), rule["regex"], github]


@pytest.fixture(scope="module")
def is_gateway_key() -> Callable[[str], bool]:
    """The page's own check."""
    namespace: dict[str, Any] = {}
    exec(block("python"), namespace)  # noqa: S102  (our own documentation)
    check: Callable[[str], bool] = namespace["is_gateway_key"]
    return check


@pytest.mark.parametrize("pattern", patterns())
def test_every_key_is_found_wherever_it_stands(pattern: str, is_gateway_key: Callable[[str], bool]) -> None:
    for _ in range(200):
        key = new_api_key()
        for text in (key, f'api_key="{key}"', f"Bearer {key}\n", f"https://x/?key={key}&y=1", f"({key})"):
            assert re.findall(pattern, text) == [key]
        assert has_valid_checksum(key)
        assert is_gateway_key(key)


@pytest.mark.parametrize("pattern", patterns()[:2])
@pytest.mark.parametrize(
    "text", ["sk-gw-short", "sk-" + "a" * 48, "sk-gw-" + "a" * 45, "sk-gw-" + "a" * 47, "sk-gw-" + "-" * 46]
)
def test_what_has_another_form_is_not_found(pattern: str, text: str) -> None:
    assert re.findall(pattern, text) == []


@settings(max_examples=300)
@given(st.text(alphabet=BASE62, min_size=46, max_size=46))
def test_the_checksum_throws_away_what_only_looks_like_a_key(body: str) -> None:
    assert not has_valid_checksum(f"sk-gw-{body}")


@settings(max_examples=100)
@given(position=st.integers(6, 51), character=st.sampled_from(BASE62))
def test_one_wrong_character_is_noticed(position: int, character: str) -> None:
    key = new_api_key()
    mistyped = key[:position] + character + key[position + 1 :]

    assert has_valid_checksum(mistyped) is (mistyped == key)


def test_both_checks_agree(is_gateway_key: Callable[[str], bool]) -> None:
    key = new_api_key()
    for text in (key, key[:-1] + ("0" if key[-1] != "0" else "1"), "sk-gw-" + "a" * 46):
        assert is_gateway_key(text) is has_valid_checksum(text)
