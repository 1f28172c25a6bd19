"""Settings of all tests: no test reads or fills the cache of whoever runs it, or sees the window that it runs in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as cache:
        patch.setenv("SYNERGY_TOOLKIT_CACHE", cache)
        for size in ("COLUMNS", "LINES"):  # pytest-xdist sets them
            patch.delenv(size, raising=False)
        yield
