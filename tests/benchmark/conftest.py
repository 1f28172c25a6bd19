"""A specification of the toy bench."""

import pytest


@pytest.fixture
def toy_spec(tmp_path):
    from support.toy_bench import spec

    return spec(tmp_path / "run")
