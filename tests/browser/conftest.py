"""One browser for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.chromium import Page, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    """A browser with one tab; whoever needs a window of a certain size or theme asks for it."""
    with chromium() as page:
        yield page
