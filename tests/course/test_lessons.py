"""Each checker refuses the mistakes that learners make, and the lessons' experiments give the numbers on paper."""

import importlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.fakes import paper_vlm
from typer.main import get_command
from typer.testing import CliRunner

from toolkit.audit.shipped_studies import load
from toolkit.benchmark.run.presets import preset
from toolkit.cli import app
from toolkit.course import ExerciseError, Quiz, experiments
from toolkit.course import lesson_00 as zeroth
from toolkit.course import lesson_03 as third
from toolkit.course import lesson_04 as fourth
from toolkit.course import lesson_07 as seventh
from toolkit.course import lesson_08 as eighth
from toolkit.course import lesson_09 as ninth
from toolkit.datasets.sample import Corners
from toolkit.games.interactions import harsanyi_dividends
from toolkit.games.order_profile import order_profile
from toolkit.measuring import measure
from toolkit.redundancy.gates import gate_of
from toolkit.synergy.pair_metrics import recovery
from toolkit.testing import fake_sample

LESSONS = [importlib.import_module(f"toolkit.course.lesson_{number:02d}") for number in range(10)]
SAMPLES = [fake_sample(number) for number in range(4)]

MISTAKES = {
    "check_accuracy": [lambda a, b: sum(x == y for x, y in zip(a, b, strict=True)), lambda a, b: 1.0],
    "check_relevance_gain": [
        lambda i, d, k: np.trapezoid(d, k) - np.trapezoid(i, k),
        lambda i, d, k: i.mean() - d.mean(),
        lambda i, d, k: np.trapezoid(i - d) / (len(k) - 1),
        lambda i, d, k: abs(np.trapezoid(i - d, k)),
    ],
    "check_kendall": [lambda a, b: np.corrcoef(a, b)[0, 1], lambda a, b: 1.0],
    "check_gate": [
        lambda b, i, t, e: gate_of(Corners(b, i, t, e)) if b - i - t + e >= 0 else "redundancy",  # by the sign
        lambda b, i, t, e: gate_of(Corners(b, i, t, e)).replace("interference", "redundancy"),
        lambda b, i, t, e: "synergy" if b - i - t > 0 else "text-only",
        lambda b, i, t, e: gate_of(Corners(b, i, t, e)) if t >= e else "synergy",  # without the size
    ],
    "check_excess": [lambda r, n: sum(r) / len(r), lambda r, n: sum(r) / len(r) - 0.5],
    "check_dividend": [lambda b, i, t, e: b - i - t, lambda b, i, t, e: i + t - b - e],
    "check_index": [lambda v: v["ab"] - v["a"] - v["b"] + v[""], lambda v: v["abr"] - v["ar"] - v["br"] + v["r"]],
    "check_floor": [lambda s: np.clip(np.mean(s), 0, 1), lambda s: np.mean(np.abs(s))],
    "check_cost": [lambda k, m: 118 * m, lambda k, m: m * (8 * k - 4)],
    "check_within": [lambda a, b: np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]],
    "check_leave_one_out": [
        lambda game: game(np.eye(game.players.n, dtype=bool)),
        lambda game: game(~np.eye(game.players.n, dtype=bool)),
    ],
    "check_completeness": [lambda s, a, n: np.sum(s) - (a - n), lambda s, a, n: abs(np.abs(s).sum() - (a - n))],
    "check_mean_ranks": [lambda s: np.argsort(-s, axis=1).mean(axis=0) + 1],
    "check_cluster_means": [lambda v, p: [float(np.mean(v))], lambda v, p: list(v)],
    "check_hours": [lambda s, m, c, r: s * m * c / r],
    "check_share": [lambda b, m, c, r: b * 3600 * r / (m * c), lambda b, m, c, r: round(b * 3600 * r / (m * c))],
    "check_verdict": [
        lambda low, high: "better" if low + high > 0 else "worse",
        lambda low, high: "better" if low > 0 else "worse" if high <= 0 else "not separated",
    ],
    "check_pair_interaction": [
        lambda by_size: np.mean([d for found in by_size for d in found]),  # Banzhaf's
        lambda by_size: by_size[0][0],
        lambda by_size: (by_size[0][0] + by_size[-1][0]) / 2,
    ],
    "check_cancellation": [
        lambda d: 1 - sum(d) / np.abs(d).sum(),
        lambda d: abs(sum(d)) / np.abs(d).sum(),
        lambda d: 1 - abs(sum(d)),
    ],
}
CHECKERS = {name: getattr(lesson, name) for lesson in LESSONS for name in vars(lesson) if name.startswith("check_")}


def test_every_checker_is_tried_with_mistakes():
    assert set(CHECKERS) == set(MISTAKES)


@pytest.mark.parametrize(("name", "function"), [(name, f) for name, found in MISTAKES.items() for f in found])
def test_mistakes_are_caught_with_a_hint(name, function):
    with pytest.raises(ExerciseError, match="Hint"):
        CHECKERS[name](function)


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("function", [lambda: 0.0, lambda a, b, c, d, e, f: 0.0], ids=["none", "six"])
def test_every_checker_says_a_wrong_number_of_parameters_and_nothing_else(name, function):
    with pytest.raises(ExerciseError, match=r"^Your function takes [06] parameters, \(.*it is called with") as caught:
        CHECKERS[name](function)
    assert str(caught.value).split("\n")[1:] == ["Hint: leave the line that begins with `def` as it was given."]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.__name__[-2:])
def test_every_lesson_has_a_quiz(lesson):
    quiz = lesson.quiz()
    assert isinstance(quiz, Quiz)
    assert len(quiz.questions) >= 2
    assert all(len(question.options) >= 3 for question in quiz.questions)


def test_the_place_of_an_option_gives_nothing_away():
    questions = [question for lesson in LESSONS for question in lesson.quiz().questions]
    places = [next(i for i, option in enumerate(question.options) if option.right) for question in questions]
    assert max(places.count(place) for place in range(3)) <= 0.45 * len(places)
    assert not [o for question in questions for o in question.options if o.right and o.why.startswith("Yes")]


def test_the_theorem_is_exact():
    assert third.theorem_error(30) < 1e-12


def test_noise_of_sd_a_fifth_has_the_floor_on_paper():
    floor = third.noise_scores(0.2)
    expected = 0.2 / np.sqrt(2 * np.pi) * 0.95
    assert floor["clipped"].mean() == pytest.approx(expected, abs=0.002)
    assert abs(floor["signed"].mean()) < 4 * floor["signed"].std() / np.sqrt(4000)


def test_the_surrogate_is_the_exact_index_on_an_and_gate():
    table = fourth.surrogate_table(paper_vlm("and"), SAMPLES[:1], ["oracle", "anti-oracle"], steps=4, n_background=2)
    best = table.set_index("explainer")
    assert best.loc["oracle", "surrogate"] == pytest.approx(0.45)
    assert best.loc["oracle", "exact"] == pytest.approx(0.45)
    assert best.loc["anti-oracle", "exact"] == pytest.approx(best.loc["anti-oracle", "surrogate"])
    assert (table["exact cost"] > table["surrogate cost"]).all()


def test_agreement_is_counted_within_each_sample():
    columns = ["sample", "explainer", "surrogate", "exact"]
    rows = [("s", "a", 1.0, 1.0), ("s", "b", 2.0, 2.0), ("t", "a", 11.0, 12.0), ("t", "b", 12.0, 11.0)]
    flat = [("u", "a", 1.0, 1.0), ("u", "b", 1.0, 2.0)]
    found = fourth.agreements(pd.DataFrame([*rows, *flat], columns=columns))
    assert found[["s", "t"]].tolist() == [pytest.approx(1), pytest.approx(-1)]
    assert np.isnan(found["u"])


def test_share_right_counts_and_refuses_lists_of_different_length():
    assert zeroth.share_right(["A", "B", "C", "A"], ["A", "B", "D", "A"]) == 0.75
    with pytest.raises(ValueError, match="got 1, 2"):
        zeroth.share_right(["A"], ["A", "B"])
    with pytest.raises(ValueError, match="at least one"):
        zeroth.share_right([], [])


def test_means_keep_the_order_of_the_explainers():
    table = measure(paper_vlm("and"), SAMPLES[:1], ["random", "oracle"], ["f-syn"])
    assert list(experiments.means(table).index) == ["random", "oracle"]


def test_tables_are_read_by_sample_by_mean_and_by_rank():
    table = measure(paper_vlm("and"), SAMPLES[:3], ["oracle", "random"], ["srg-image", "f-syn"])
    assert experiments.by_sample(table, "f-syn").shape == (3, 2)
    assert experiments.means(table).loc["oracle", "srg-image"] == pytest.approx(0.405)
    assert experiments.ranks(table, ["f-syn"])["f-syn"]["oracle"] == 1
    with pytest.raises(KeyError, match="srg-image"):
        experiments.by_sample(table, "tau")


def test_costs():
    assert seventh.total_coalitions(preset("paper")) == 8917 * 3 * 652
    assert seventh.speed(paper_vlm("and"), SAMPLES[0]) > 0


def test_the_commands_of_lesson_07_are_accepted_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = next((Path(__file__).parents[2] / "notebooks" / "src").glob("07_*.py")).read_text(encoding="utf-8")
    block = re.search(r"```sh\n(.*?)# ```", source, flags=re.S).group(1)
    pin = re.search(r'PIN="(.*)"', block).group(1).replace("COMMIT", "0" * 40)
    runs = [line for line in re.findall(r"python -m toolkit (benchmark run .*)", block) if "--dry-run" not in line]
    assert len(runs) == 2
    for line in runs:
        done = CliRunner().invoke(app, [*line.replace("$PIN", pin).split(), "--dry-run"])
        assert done.exit_code == 0, done.output
        assert "before it can run" not in done.output
    known = {option for parameter in get_command(app).commands["benchmark"].commands["run"].params
             for option in parameter.opts}  # fmt: skip
    assert set(re.findall(r"--[a-z][a-z-]+", source)) <= known


def test_the_report_card_passes_what_is_right_and_separates_nothing_on_a_blind_model():
    card = eighth.report_card(paper_vlm("and"), SAMPLES, "oracle")
    assert card["metric: oracle above random"].verdict == "pass"
    assert card["explainer: oracle above random"].verdict == "pass"
    assert card["how many samples"].value == "4"
    assert "<table" in card._repr_html_()
    blind = eighth.report_card(paper_vlm("text"), SAMPLES, "oracle")
    assert blind["metric: oracle above random"].verdict == "not separated"
    with pytest.raises(KeyError, match="no line"):
        card["who won"]


def test_the_two_games_of_lesson_09_differ_in_pairs_only_and_their_products_know_nothing():
    games = ninth.two_games()
    scores, pairs = ([of(game) for game in games.values()] for of in (ninth.first_order, ninth.pair_table))
    assert scores[0].equals(scores[1])
    assert pairs[0].to_numpy().tolist() == [[1, 0], [0, 1]]
    assert pairs[1].to_numpy().tolist() == [[0, 1], [1, 0]]
    shapley = scores[0]["Shapley"].to_numpy()
    assert recovery(np.outer(shapley[:2], shapley[2:]), pairs[0].to_numpy() > 0)[0] == 0.5


def test_xor_of_three_has_no_pair_and_one_dividend_of_three():
    game = ninth.three_way_xor()
    assert ninth.pair_table(game).to_numpy().tolist() == [[0, 0]]
    assert harsanyi_dividends(game)[-1] == 4
    assert order_profile(game).cancellation == 1


def test_shares_of_orders_add_up_to_one_for_every_model():
    study = load("orders")
    shares = ninth.order_shares(study)
    assert shares.sum().to_numpy() == pytest.approx(np.ones(shares.shape[1]))
    pairs = 1 - study.table().set_index("model")["beyond_pairs"]
    assert shares.loc[2].to_dict() == pytest.approx(pairs.to_dict(), abs=1e-5)
