import pytest


@pytest.fixture
def samples():
    from support.paper_vlm import paper_sample

    return [paper_sample(0), paper_sample(1)]


@pytest.fixture
def models():
    from support.paper_vlm import PaperVLM

    return {"grounded": PaperVLM("and"), "biased": PaperVLM("text")}
