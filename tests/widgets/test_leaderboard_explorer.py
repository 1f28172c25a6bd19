import pytest

from toolkit.benchmark.run.runner import run_benchmark
from toolkit.widgets import LeaderboardExplorer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from support.toy_bench import ToyBench, spec

    out = tmp_path_factory.mktemp("leaderboard") / "run"
    explainers = ["random", "alpha", "beta", "gamma", "oracle"]
    run_benchmark(spec(out, explainers=explainers), workspace=ToyBench)
    return out


def test_every_dropdown_changes_the_ranking(folder):
    explorer = LeaderboardExplorer(folder)
    assert "oracle" in explorer.lines()[0][0]
    for control, value in ((explorer.metric, "srg-image"), (explorer.model, "gate-or")):
        before = explorer.ranking.value, explorer.rows.value
        control.value = value
        assert explorer.ranking.value != before[0], control.description  # the rows of mirrored gates are the same


def test_intervals_contain_the_mean_and_counts_are_shown(folder):
    for _, mean, low, high, n, failed in LeaderboardExplorer(folder).lines():
        assert float(low) <= float(mean) <= float(high)
        assert (n, failed) == ("6", "0")


def test_static_has_both_figures_with_words(folder):
    explorer = LeaderboardExplorer(folder)
    page = explorer.static()
    assert page.count("<img") == page.count('alt="') == 2
    assert "Friedman" in page
    assert "Not separated from random: alpha, beta and gamma. Read with care: no anti-oracle was measured" in page
    assert "Critical-difference diagram" in page


def test_looking_again_draws_nothing_new(folder):
    explorer = LeaderboardExplorer(folder)
    explorer.metric.value = "srg-text"
    drawn = len(explorer._drawn)
    explorer.metric.value = "f-syn"
    explorer.metric.value = "srg-text"
    assert len(explorer._drawn) == drawn
