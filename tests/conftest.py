"""Settings of all tests: no test reads or fills the cache of whoever runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNERGY_TOOLKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
