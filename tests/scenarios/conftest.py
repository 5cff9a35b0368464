"""A browser for the tests of the status page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.browser import Browser, Tab


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium."""
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A new tab of it, as wide as a laptop."""
    with browser.tab() as opened:
        opened.see(1280)
        yield opened
