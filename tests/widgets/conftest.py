import pytest


@pytest.fixture
def samples():
    from toolkit.testing import fake_sample

    return [fake_sample(0), fake_sample(1)]


@pytest.fixture
def models():
    from support.fakes import paper_vlm

    return {"grounded": paper_vlm("and"), "biased": paper_vlm("text")}
