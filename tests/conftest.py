"""Settings of all tests: no test reads or fills the cache of whoever runs it, or sees the window that it runs in."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator

import pytest

BEGUN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, help="skip, and say so, what has not begun after so many minutes")


def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = item.config.getoption("minutes")
    if minutes is not None and time.monotonic() - BEGUN > 60 * minutes:
        pytest.skip(f"not begun within {minutes:g} minutes: make test-slow runs all of them")


@pytest.fixture(scope="session", autouse=True)
def _own_cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as cache:
        patch.setenv("SYNERGY_TOOLKIT_CACHE", cache)
        for size in ("COLUMNS", "LINES"):  # pytest-xdist sets them
            patch.delenv(size, raising=False)
        yield
