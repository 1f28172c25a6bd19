"""The toolkit's own bench: names are checked before anything is loaded, failures of data become records."""

import pytest
from toy_bench import make_sample

from toolkit.benchmark import bench as bench_module
from toolkit.benchmark.bench import ToolkitBench, configured
from toolkit.benchmark.spec import SpecError, make_spec
from toolkit.benchmark.units import Skip, Unreadable
from toolkit.registry import UnknownNameError

GOOD = {"models": ["tiny-llava-grounded"], "datasets": ["scenes-existence"], "explainers": ["random", "oracle"]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": ["tiny-lava-grounded"]}, "Did you mean 'tiny-llava-grounded'"),
        ({"datasets": ["scenes-existense"]}, "Did you mean 'scenes-existence'"),
        ({"explainers": ["randm"]}, "Did you mean 'random'"),
        ({"metrics": ["f-sin", "f-syn"]}, "Did you mean"),
    ],
)
def test_unknown_names_are_refused_with_a_suggestion(changed, message):
    with pytest.raises(UnknownNameError, match=message):
        ToolkitBench(make_spec({**GOOD, **changed}))


def test_settings_reach_the_explainer():
    found = configured("integrated-gradients", {"first_steps": 5, "max_steps": 5})
    assert (found.first_steps, found.max_steps) == (5, 5)
    with pytest.raises(SpecError, match="has no setting 'max_step'; did you mean 'max_steps'"):
        configured("integrated-gradients", {"max_step": 5})


def test_an_oracle_without_truth_is_skipped():
    sample = make_sample("toys", 1)
    bare = sample.__class__(**{**vars(sample), "truth": None})
    with pytest.raises(Skip, match="carries its ground truth"):
        ToolkitBench(make_spec(GOOD)).explain("oracle", None, bare, target="yes", seed=0)


def test_pictures_that_cannot_be_decoded_keep_their_place(monkeypatch):
    def iter_samples(name, split, n, *, on_unreadable):
        yield make_sample("toys", 0)
        on_unreadable("toys-1", "truncated")
        yield make_sample("toys", 2)

    monkeypatch.setattr(bench_module, "iter_samples", iter_samples)
    found = ToolkitBench(make_spec(GOOD)).samples("scenes-existence")
    assert list(found) == ["toys-0", "toys-1", "toys-2"]
    assert found["toys-1"] == Unreadable("toys-1", "truncated")


def test_repeated_ids_are_refused(monkeypatch):
    monkeypatch.setattr(bench_module, "iter_samples", lambda *a, **k: iter([make_sample("a", 1), make_sample("a", 1)]))
    with pytest.raises(SpecError, match="the id 'a-1' more than once"):
        ToolkitBench(make_spec(GOOD)).samples("scenes-existence")
