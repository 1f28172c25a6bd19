"""One door to every dataset: names, splits, arguments that do not apply."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

import toolkit
from toolkit.datasets import DATASETS, iter_samples
from toolkit.datasets.load import dataset
from toolkit.registry import UnknownNameError


@pytest.mark.parametrize("name", [name for name in DATASETS if name.startswith("scenes-")])
def test_scenes(name: str) -> None:
    samples = toolkit.load_samples(name, split="test", n=3)
    assert len(samples) == 3
    assert {sample.dataset for sample in samples} == {name}
    assert all(sample.truth is not None and sample.answer is not None for sample in samples)


def test_scenes_take_seed_split_and_prior() -> None:
    first = toolkit.load_samples("scenes-existence", n=2)
    assert [s.id for s in first] == [s.id for s in toolkit.load_samples("scenes-existence", n=2)]
    for other in ({"seed": 1}, {"split": "train"}, {"prior_strength": 1.0}):
        changed = toolkit.load_samples("scenes-existence", n=2, **other)  # type: ignore[arg-type]
        assert {s.id for s in first}.isdisjoint(s.id for s in changed)


def test_mistyped_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'scene-existence'. Did you mean 'scenes-existence'"):
        toolkit.load_samples("scene-existence")
    with pytest.raises(UnknownNameError, match=r"split of mmstar 'train'.*test, val"):
        toolkit.load_samples("mmstar", split="train")


@pytest.mark.parametrize("n", [0, -3])
def test_n_must_be_positive(n: int) -> None:
    for n in ("5", 1.5):
        with pytest.raises(ValueError, match=r"n must be a whole number of at least 1, or None for all, got .*5"):
            toolkit.load_samples("scenes-existence", n=n)
    for seed in (-1, 0.5):
        with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
            toolkit.load_samples("scenes-existence", n=1, seed=seed)
    with pytest.raises(UnknownNameError, match="unknown dataset 'None'"):
        toolkit.load_samples(None)
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        toolkit.load_samples("scenes-existence", n=n)


def test_arguments_that_do_not_apply_are_refused() -> None:
    with pytest.raises(ValueError, match="generated without end"):
        toolkit.load_samples("scenes-existence", n=None)
    with pytest.raises(ValueError, match="prior_strength is a dial of the scenes; mmstar has none"):
        toolkit.load_samples("mmstar", prior_strength=0.5)
    with pytest.raises(ValueError, match="are for hub datasets"):
        toolkit.load_samples("scenes-existence", revision="0" * 40)
    with pytest.raises(ValueError, match="are for hub datasets"):
        toolkit.load_samples("folder:somewhere", streaming=True)
    with pytest.raises(ValueError, match="choose one"):
        toolkit.load_samples("mmstar", source="somewhere", streaming=True)


def test_iter_samples_refuses_at_once_and_yields_one_by_one() -> None:
    with pytest.raises(UnknownNameError):
        iter_samples("nothing")
    assert next(iter_samples("scenes-choice", n=5)).dataset == "scenes-choice"


def test_a_plug_in_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = DATASETS["scenes-choice"]
    DATASETS.add("my-scenes", entry)
    try:
        with pytest.raises(ValueError, match="registered already"):
            DATASETS.add("my-scenes", entry)
    finally:
        DATASETS.remove("my-scenes")


def test_listing_datasets_loads_no_heavy_library() -> None:
    code = "import sys; import toolkit.datasets; print({'torch', 'pandas', 'datasets'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"


def _whole(number: int) -> toolkit.Sample:
    return toolkit.Sample(str(number), Image.new("RGB", (32, 32)), "is it dark ?", choices=("yes", "no"))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (lambda request: None, "mine returned NoneType; expected a function that yields samples"),
        (lambda request: iter([3]), "mine yielded int; expected a Sample"),
        (lambda request: map(_whole, range(5)), "mine yields more than the 2 samples that were asked for"),
        (lambda request: [_whole(1), _whole(1)], "mine has two samples with the id '1'"),
    ],
)
def test_what_a_function_yields_is_checked(samples, message: str) -> None:
    dataset("mine", "made up", licence="CC0-1.0")(samples)
    try:
        with pytest.raises(ValueError, match=message):
            toolkit.load_samples("mine", n=2)
    finally:
        DATASETS.remove("mine")
