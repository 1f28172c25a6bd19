"""The measuring loop: one row per metric of an attribution, one game per sample, failures with their reason."""

import hashlib
import pickle

import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.fakes import paper_vlm

import toolkit
from toolkit.audit.explainers.sanity_checks import cost
from toolkit.games.coalition_plan import plan_coalitions
from toolkit.measuring import COLUMNS, measure
from toolkit.synergy import METRICS, MetricSpec, Score, evaluate_all
from toolkit.synergy.metrics import Metric
from toolkit.testing import fake_sample
from toolkit.vlm.forced_answer import ForcedAnswer
from toolkit.vlm.protocol import forget

SAMPLES = [fake_sample(i) for i in range(2)]


def test_one_row_per_sample_explainer_seed_and_metric():
    table = measure(paper_vlm("and"), SAMPLES, ["oracle", "random"], ["f-syn", "srg-image"], seeds=(3, 4))
    assert list(table) == list(COLUMNS)
    counts = table.groupby(["explainer", "seed"]).size().to_dict()
    assert counts == {("oracle", 3): 4, ("random", 3): 4, ("random", 4): 4}
    assert table["reason"].isna().all()
    scored = evaluate_all(
        paper_vlm("and").game(SAMPLES[0]), [toolkit.explain("random", paper_vlm("and"), SAMPLES[0], seed=4)],
        metrics=["f-syn"],
    )  # fmt: skip
    mine = table.query("sample == @SAMPLES[0].id and explainer == 'random' and seed == 4 and metric == 'f-syn'")
    assert mine["value"].tolist() == [scored[0]["f-syn"].value]


def test_an_explainer_that_fails_leaves_a_reason_and_the_others_their_rows():
    def broken(vlm, sample):
        raise RuntimeError("no gradient")

    table = measure(paper_vlm("and"), SAMPLES, [broken, "oracle"], ["f-syn"])
    assert table[table["explainer"] == "broken"]["reason"].tolist() == ["RuntimeError: no gradient"] * 2
    assert table[table["explainer"] == "broken"]["value"].isna().all()
    assert table[table["explainer"] == "oracle"]["value"].notna().all()


@pytest.mark.parametrize("missing", ["samples", "explainers", "metrics", "seeds"])
def test_nothing_to_measure_is_said(missing):
    asked = {"samples": SAMPLES, "explainers": ["oracle"], "metrics": ["f-syn"], "seeds": (0,)} | {missing: []}
    with pytest.raises(ValueError, match=f"nothing to measure.*0 {missing}"):
        measure(paper_vlm("and"), **asked)


def test_metrics_with_one_function_of_coalitions_are_views_of_one_measurement(monkeypatch):
    """Six default metrics of one attribution order its players four times: F_syn's two sides, and one per curve."""
    from toolkit.synergy import f_syn, srg

    calls = []
    for module in (f_syn, srg):
        real = module.top_coalitions

        def counted(*args, real=real, **kwargs):
            calls.append(args[1])
            return real(*args, **kwargs)

        monkeypatch.setattr(module, "top_coalitions", counted)
    game = paper_vlm("and").game(SAMPLES[0])
    attribution = toolkit.explain("random", paper_vlm("and"), SAMPLES[0])  # nothing is tied
    evaluate_all(game, [attribution])
    assert sorted(calls) == ["image", "image", "text", "text"]


def test_a_metric_sees_only_the_values_that_it_asked_for():
    seen = []
    spec = MetricSpec("ends", 1, (0.0, 1.0), "probability", "made up")

    def ends(attribution, steps):
        return np.stack([np.zeros(attribution.players.n, bool), np.ones(attribution.players.n, bool)])

    def score(values, attribution, steps):
        seen.append(values)
        return Score(spec, float(values[1] - values[0]), np.ones(1), values)

    game = paper_vlm("and").game(SAMPLES[0])
    attribution = toolkit.explain("oracle", paper_vlm("and"), SAMPLES[0])
    [found] = evaluate_all(game, [attribution], metrics=["f-syn", Metric(spec, ends, score)])
    assert list(found) == ["f-syn", "ends"]
    assert seen[0].tolist() == game(ends(attribution, 10)).tolist()
    assert found["ends"].n_evaluations == 2
    declared = plan_coalitions(METRICS["f-syn"].coalitions(attribution, 10), game.players)
    assert found["f-syn"].n_evaluations == declared.n_coalitions


def test_one_unit_runs_each_distinct_coalition_once_and_reads_its_image_once(monkeypatch):
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    sample = toolkit.load_samples("scenes-existence", n=1)[0]
    run, hashed = [], []
    learn, sha256 = ForcedAnswer.learn, hashlib.sha256

    def learning(forced, new, **kwargs):
        run.extend((forced.forms, forced.baseline, key) for key in new)
        learn(forced, new, **kwargs)

    def hashing(data=b"", **kwargs):
        hashed.append(bytes(data))
        return sha256(data, **kwargs)

    monkeypatch.setattr(ForcedAnswer, "learn", learning)
    monkeypatch.setattr(hashlib, "sha256", hashing)
    games = ["occlusion", "kernel-shap", "shapley-interaction"]
    measure(vlm, [sample], [*games, "rollout", "input-x-gradient", "grad-cam", "random"])
    assert len(run) > 800
    assert len(run) == len(set(run))
    assert sum(sample.image.tobytes() in data for data in hashed) == 1


def test_an_image_that_is_changed_in_place_is_another_image():
    sample = toolkit.load_samples("scenes-existence", n=1)[0]
    before = sample.image_digest
    assert sample.with_instruction("Look.").image_digest == before
    sample.image.putpixel((3, 3), (1, 2, 3))
    changed = sample.image_digest
    assert changed != before
    sample.image.paste((9, 9, 9), (0, 0, 4, 4))
    assert sample.image_digest not in (before, changed)
    pen = ImageDraw.Draw(sample.image)
    drawn = sample.image_digest
    pen.rectangle((0, 0, 9, 9), fill="red")
    assert sample.image_digest not in (before, changed, drawn)
    assert pickle.loads(pickle.dumps(sample)).image_digest == sample.image_digest


def test_the_image_that_a_sample_was_made_of_stays_the_users():
    image = Image.new("RGB", (8, 8))
    pen = ImageDraw.Draw(image)
    sample = toolkit.Sample("mine", image, "what is it ?")
    before = sample.image_digest
    pen.rectangle((0, 0, 3, 3), fill="red")
    image.load()[7, 7] = (1, 2, 3)
    assert sample.image_digest == before
    assert sample.image.tobytes() == bytes(3 * 64)


def test_what_is_kept_is_forgotten_before_it_is_timed(monkeypatch):
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    sample = toolkit.load_samples("scenes-existence", n=1)[0]
    everybody = np.ones((1, vlm.players(sample).n), bool)
    game = vlm.game(sample)
    value = game(everybody)
    assert vlm.game(sample) is game
    assert vlm.game(sample, baseline="mean") is not game
    spent = []
    monkeypatch.setattr("toolkit.audit.explainers.sanity_checks.forget", lambda vlm: spent.append(forget(vlm)))
    cost(["occlusion", "random"], vlm, [sample])
    assert len(spent) == 2
    fresh = vlm.game(sample)
    assert fresh is not game
    assert fresh(everybody) == pytest.approx(value, abs=1e-6)
    assert fresh.n_evaluations == 1


def test_few_games_are_kept_and_fewer_of_large_images(monkeypatch):
    from toolkit.vlm import model

    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    first, *others = toolkit.load_samples("scenes-existence", n=10)
    game = vlm.game(first, target="yes")
    for sample in others[:3]:
        vlm.game(sample, target="yes")
    assert vlm.game(first, target="yes") is game
    for sample in others:
        vlm.game(sample, target="yes")
    assert vlm.game(first, target="yes") is not game
    monkeypatch.setattr(model, "_VIEW_BYTES", 2 * game.view.nbytes)
    last = [vlm.game(sample, target="yes") for sample in others[:4]][-1]
    assert vlm.game(others[3], target="yes") is last
    assert len(vlm._games) == 2


def test_few_views_are_kept_however_many_samples_are_asked_about():
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    samples = toolkit.load_samples("scenes-existence", n=20)
    vlm.answers(samples)
    assert len(vlm._views) == 16
    last = vlm.view(samples[-1])
    assert vlm.view(samples[-1]) is last


def test_a_small_model_keeps_few_megabytes_of_image_tokens_and_a_large_one_no_more_than_before():
    from toolkit.vlm.engine.engine import feature_bytes_of

    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    width = vlm.model.config.get_text_config().hidden_size
    assert vlm.engine.encode._kept_bytes == 32768 * width * 4 == 16 << 20
    assert feature_bytes_of(8192 * 2) == 256 << 20  # half precision


def test_two_of_one_name_are_refused_instead_of_measured_as_one():
    def first(vlm, sample):
        return np.arange(vlm.players(sample).n)

    def second(vlm, sample):
        return -np.arange(vlm.players(sample).n)

    second.__name__ = "first"
    with pytest.raises(ValueError, match="two explainers are called 'first'"):
        measure(paper_vlm("and"), SAMPLES, [first, second], ["f-syn"])
    with pytest.raises(ValueError, match="two of 2 metrics have the same name"):
        measure(paper_vlm("and"), SAMPLES, ["oracle"], ["f-syn", METRICS["f-syn"]])


@pytest.mark.parametrize(
    "single", [{"samples": SAMPLES[0]}, {"explainers": "oracle"}, {"metrics": "f-syn"}, {"seeds": 3}]
)
def test_a_single_one_is_refused_by_its_name(single):
    asked = {"samples": SAMPLES, "explainers": ["oracle"], "metrics": ["f-syn"], "seeds": (0,)} | single
    with pytest.raises(TypeError, match=f"{next(iter(single))} must be a list"):
        measure(paper_vlm("and"), **asked)


def test_a_metric_cannot_change_the_values_that_others_read():
    spec = MetricSpec("careless", 1, (0.0, 1.0), "probability", "made up")

    def everybody(attribution, steps):
        return np.ones((1, attribution.players.n), dtype=bool)

    def careless(values, attribution, steps):
        values[:] = 9.0
        return Score(spec, float(values[0]), np.ones(1), values)

    table = measure(paper_vlm("and"), SAMPLES, ["oracle"], [Metric(spec, everybody, careless), "f-syn"])
    reasons = table.groupby("metric")["reason"].first()
    assert "read-only" in reasons["careless"]
    assert table.loc[table["metric"] == "f-syn", "value"].notna().all()


def test_a_score_is_a_finite_python_number():
    spec = MetricSpec("whole", 1, (0.0, 1.0), "probability", "made up")
    assert type(Score(spec, np.float32(0.5), np.ones(1), np.ones(1)).value) is float
    with pytest.raises(ValueError, match="must be finite"):
        Score(spec, float("inf"), np.ones(1), np.ones(1))


@pytest.mark.parametrize("scores", [lambda n: ["1"] * n, lambda n: np.ones(n) * 1j])
def test_scores_that_are_no_real_numbers_are_refused(scores):
    vlm = paper_vlm("and")
    with pytest.raises(TypeError, match="expected one real number per player"):
        toolkit.explain(lambda vlm, sample: scores(vlm.players(sample).n), vlm, SAMPLES[0])


def test_a_metric_that_raises_leaves_the_others_their_scores():
    def score(values, attribution, steps):
        if attribution.explainer == "random":
            raise ZeroDivisionError("my own fault")
        return Score(spec, 1.0, np.ones(1), values)

    spec = MetricSpec("mine", 1, (0.0, 1.0), "probability", "made up")
    mine = Metric(spec, lambda attribution, steps: np.ones((1, attribution.players.n), bool), score)
    table = measure(paper_vlm("and"), SAMPLES, ["oracle", "random"], [mine, "f-syn"])
    failed = table[table["reason"].notna()]
    assert set(failed["reason"]) == {"mine raised ZeroDivisionError: my own fault"}
    assert set(zip(failed["explainer"], failed["metric"], strict=True)) == {("random", "mine")}
    assert len(failed) == 2


@pytest.mark.parametrize(
    ("coalitions", "message"),
    [(None, "got None"), (np.ones(3, bool), "expected"), (np.ones((1, 2), bool), "expected"), ([[True]], "got list")],
)
def test_coalitions_that_are_none_name_their_metric(coalitions, message):
    spec = MetricSpec("mine", 1, (0.0, 1.0), "probability", "made up")
    mine = Metric(spec, lambda attribution, steps: coalitions, lambda values, attribution, steps: None)
    with pytest.raises((TypeError, ValueError), match=f"the coalitions of the metric 'mine': .*{message}"):
        measure(paper_vlm("and"), SAMPLES, ["oracle"], [mine])


def test_what_is_no_score_and_what_is_no_metric_is_named():
    spec = MetricSpec("mine", 1, (0.0, 1.0), "probability", "made up")
    mine = Metric(spec, lambda attribution, steps: np.ones((1, attribution.players.n), bool), lambda *_: 0.5)
    table = measure(paper_vlm("and"), SAMPLES[:1], ["oracle"], [mine])
    assert table["reason"].tolist() == ["mine raised TypeError: its score is 0.5, expected a Score"]
    with pytest.raises(TypeError, match="decorate a score with @metric"):
        measure(paper_vlm("and"), SAMPLES, ["oracle"], [lambda *_: 0.5])


def test_steps_are_checked_whatever_is_measured():
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got 0"):
        measure(paper_vlm("and"), SAMPLES, ["oracle"], ["total-interaction"], steps=0)


def test_what_is_no_model_and_what_is_no_sample_is_named():
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    sample = toolkit.load_samples("scenes-existence", n=1)[0]
    for ask in (
        lambda: measure("tiny-llava-grounded", [sample], ["random"]),
        lambda: toolkit.explain("random", "tiny-llava-grounded", sample),
    ):
        with pytest.raises(TypeError, match=r"got 'tiny-llava-grounded'; load it first: toolkit.load_vlm"):
            ask()
    for ask in (
        lambda: measure(vlm, ["is it ?"], ["random"]),
        lambda: toolkit.explain("random", vlm, "is it ?"),
        lambda: vlm.answer("is it ?"),
        lambda: vlm.game("is it ?"),
    ):
        with pytest.raises(TypeError, match="expected a Sample, got 'is it \\?'; make one"):
            ask()
