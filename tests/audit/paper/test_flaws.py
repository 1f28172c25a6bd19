import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.fakes import KnownVLM, known_sample

import toolkit.audit.paper
from toolkit.audit.metrics.controls import control
from toolkit.audit.paper.ablation import ablate, distance_by_chance, kendall_distance
from toolkit.audit.paper.flaws import FLAWS, Case, correct
from toolkit.audit.paper.flaws.flawed_scores import RoundedGame, SlicedGame, _second_target, merge_order
from toolkit.audit.paper.flaws.flawed_statistics import known_tau
from toolkit.games.game import CachedGame
from toolkit.registry import UnknownNameError
from toolkit.stats.correlation import Tau

EXPLAINERS = ("occlusion", "random", "kernel-shap", "oracle")


def case(number=0):
    vlm, sample = KnownVLM(), known_sample(number)
    game = vlm.game(sample)
    evidence = game.inner.game.needed.astype(float)
    attributions = tuple(control(kind, evidence, game.players, "yes") for kind in ("oracle", "random", "anti-oracle"))
    return Case(vlm, sample, attributions, CachedGame(game))


@pytest.fixture(scope="module")
def table():
    return ablate(KnownVLM(), [known_sample(i) for i in range(6)], EXPLAINERS)


def test_every_flaw_of_the_list_is_switched_on_by_name_and_says_what_it_distorts(table):
    assert sorted(flaw.number for flaw in (FLAWS[name] for name in FLAWS)) == list(range(1, 15))
    assert table["number"].tolist() == list(range(15))
    assert set(table["model"]) == {"tiny-llava-grounded"}
    assert np.isfinite(table[["without", "with", "Kendall distance", "distance by chance"]].to_numpy(dtype=float)).all()
    none = table.loc["none"]
    assert (none["mean change"], none["Kendall distance"]) == (0, 0)
    assert none["without"] == none["with"] > 0.3
    with pytest.raises(UnknownNameError, match="clip"):
        ablate(KnownVLM(), [known_sample(0)], EXPLAINERS, flaws=["clipp"])


@pytest.mark.parametrize("name", ["pooled-rho", "bare-tau", "unclustered", "no-cache", "no-corners"])
def test_flaws_of_statistics_leave_the_scores_alone(table, name):
    assert table.loc[name, "mean change"] == 0
    assert table.loc[name, "Kendall distance"] == 0


def test_one_flaw_can_be_asked_for(table):
    alone = ablate(KnownVLM(), [known_sample(i) for i in range(6)], EXPLAINERS, flaws=["complete-cases"])
    assert alone.index.tolist() == ["none", "complete-cases"]
    assert alone.loc["complete-cases", "with"] == table.loc["complete-cases", "with"]
    assert alone.loc["complete-cases", "with"] > alone.loc["complete-cases", "without"]
    assert alone.loc["complete-cases", "n"] == 6


def test_costs_are_counted_with_and_without_the_cache(table):
    row = table.loc["no-cache"]
    assert row["with"] > 1.3 * row["without"]
    assert table.loc["no-corners", "without"] == 6


class PictureVLM(KnownVLM):
    """Every value is scaled by the brightness of the picture, whatever the question."""

    def game(self, sample, *, target=None, baseline="blur"):
        game = super().game(sample, target=target, baseline=baseline)
        brightness = sample.image.getpixel((0, 0))[0] / 255

        class Scaled:
            players, target = game.players, game.target

            def __call__(self, coalitions):
                return brightness * game(coalitions)

        return Scaled()


def test_counting_questions_as_pictures_narrows_the_error():
    samples = [replace(known_sample(i), image=Image.new("RGB", (8, 8), (40 * i + 30, 0, 0))) for i in range(6)]
    row = ablate(PictureVLM(), samples, EXPLAINERS, flaws=["unclustered"]).loc["unclustered"]
    assert row["note"] == "18 questions on 6 pictures"
    assert 0 < row["with"] < 0.8 * row["without"]


@pytest.mark.parametrize(("low", "high", "known"), [(-0.1, 0.5, 0.0), (0.1, 0.5, 0.1), (-0.8, -0.3, -0.3)])
def test_of_a_tau_only_the_end_of_its_interval_next_to_zero_is_known(low, high, known):
    assert known_tau(Tau((low + high) / 2, 0.2, "exact", 4, 2, low, high)) == known


def test_resampling_alone_moves_a_ranking_without_signal():
    rng = np.random.default_rng(0)
    sure = np.tile(np.arange(6.0), (20, 1)) + 0.01 * rng.normal(size=(20, 6))
    assert distance_by_chance(sure) == 0
    assert distance_by_chance(rng.normal(size=(20, 6))) > 3


def test_scoring_another_token_turns_the_sign():
    it = case()
    assert _second_target(it) == "no"
    wrong = FLAWS["other-token"].spoil([it], np.array([correct(it)]))
    assert wrong.scores[0] == pytest.approx([-value for value in correct(it)], abs=1e-12)
    assert wrong.flawed == pytest.approx(-wrong.without, abs=1e-12)


def test_clipping_never_scores_below_zero():
    it = case()
    assert FLAWS["clip"].spoil([it], np.array([correct(it)])).scores.min() >= 0


def test_rounding_is_bfloat16():
    import torch

    values = np.random.default_rng(0).random(50)

    class Fixed:
        players = None

        def __call__(self, coalitions):
            return values

    expected = torch.tensor(values).to(torch.bfloat16).double().numpy()
    assert RoundedGame(Fixed())(np.empty((50, 0), dtype=bool)) == pytest.approx(expected, abs=1e-12)


def test_sliced_masks_cut_strips_of_pixels():
    it = case()
    height, width = 8, 8
    picture = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    sample = replace(it.sample, image=Image.fromarray(picture))
    game = SlicedGame(Case(it.vlm, sample, it.attributions, it.game), baseline="mean")
    mask = np.zeros(16, dtype=bool)
    mask[3] = True
    shown = np.asarray(game._spoil(mask).image)
    same = (shown == picture).all(axis=2)
    expected = np.zeros((8, 8), dtype=bool)
    expected[1, 4:8] = (
        True  # sixteen "cells" of four pixels in reading order: number 3 is half of row 1, not a 2 x 2 cell
    )
    assert (same & expected).sum() == 4
    assert same.sum() <= 5


def test_merge_blocks_visit_two_by_two_cells():
    assert merge_order(16)[:6].tolist() == [0, 1, 4, 5, 2, 3]
    assert sorted(merge_order(36)) == list(range(36))


def test_kendall_distance_counts_pairs_that_turned():
    right = np.array([3.0, 2.0, 1.0])
    assert kendall_distance(right, right) == 0
    assert kendall_distance(right, -right) == 3
    assert kendall_distance(right, np.array([3.0, 1.0, 2.0])) == 1
    assert kendall_distance(right, np.array([3.0, 1.0, 1.0])) == 1


def test_nothing_right_imports_the_flaws():
    folder = Path(toolkit.audit.paper.__file__).parent
    found = set()
    for path in Path(toolkit.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.startswith("toolkit.audit.paper.flaws") for name in names):
                found.add(path.relative_to(folder).parts[0] if path.is_relative_to(folder) else str(path))
    assert found == {"ablation.py", "flaws"}
