import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def samples():
    from paper_vlm import paper_sample

    return [paper_sample(0), paper_sample(1)]


@pytest.fixture
def models():
    from paper_vlm import PaperVLM

    return {"grounded": PaperVLM("and"), "biased": PaperVLM("text")}
