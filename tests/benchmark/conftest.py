"""Makes the toy bench importable by name, also in the processes that the tests start."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def toy_spec(tmp_path):
    from toy_bench import spec

    return spec(tmp_path / "run")
