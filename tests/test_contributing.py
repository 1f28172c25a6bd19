"""What CONTRIBUTING prints runs as it stands: an explainer, a metric and a dataset that break nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import toolkit
from toolkit.datasets.load import DATASETS
from toolkit.explainers import EXPLAINERS
from toolkit.registry import PluginError
from toolkit.synergy import METRICS, evaluate_all

DOCUMENT = Path(__file__).parents[1] / "CONTRIBUTING.md"


def blocks() -> dict[str, str]:
    """Heading -> its blocks of Python."""
    sections = re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {section.split("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL) for section in sections}
    return {heading: "\n".join(code) for heading, code in found.items() if code}


def run(*headings: str) -> None:
    names: dict = {"__name__": "printed"}
    for heading in headings:
        exec(compile(blocks()[heading], str(DOCUMENT), "exec"), names)


def test_every_block_of_python_is_run_by_a_test() -> None:
    assert set(blocks()) == {"An explainer", "A metric", "A family of models", "A dataset"}


def test_the_explainer_and_the_metric_of_the_page() -> None:
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    sample = toolkit.load_samples("scenes-existence", n=1)[0]
    try:
        run("An explainer", "A metric")
        found = toolkit.explain("one-by-one", vlm, sample)
        known = toolkit.explain("occlusion", vlm, sample)
        np.testing.assert_allclose(found.scores, known.scores, atol=1e-5)  # other batches
        game = vlm.game(sample)
        (scores,) = evaluate_all(game, [found], 4, metrics=["f-syn", "top-half"])
        better = np.zeros(game.players.n, dtype=bool)
        for modality in ("image", "text"):
            own = np.flatnonzero(game.players.of(modality))
            better[own[np.argsort(-found.scores[own], kind="stable")][: round(len(own) / 2)]] = True
        assert scores["top-half"].value == pytest.approx(game(better[None])[0], abs=1e-9)
    finally:
        for registry, name in ((EXPLAINERS, "one-by-one"), (METRICS, "top-half")):
            if name in registry:
                registry.remove(name)


def test_the_dataset_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("stripes")
    monkeypatch.setitem(sys.modules, "stripes", module)
    exec(compile(blocks()["A dataset"], str(DOCUMENT), "exec"), vars(module))
    try:
        samples = toolkit.load_samples("stripes", n=3)
        assert [sample.answer for sample in samples] == ["red", "blue", "red"]
        assert samples[0].dataset == "stripes"
        assert [sample.id for sample in toolkit.load_samples("stripes:stripes", n=1)] == ["stripes-0"]
        with pytest.raises(PluginError, match="'stripes:Image' is module"):
            toolkit.load_samples("stripes:Image")
    finally:
        DATASETS.remove("stripes")
