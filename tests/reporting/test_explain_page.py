"""The explained answer's page: the map in the picture's own shape, and what a reader must know first."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.fakes import ToyVLM, toy_sample

import toolkit
from toolkit.games.analytic import and_gate
from toolkit.games.attribution import Attribution
from toolkit.games.game import Players
from toolkit.reporting.cells_map import cells_map
from toolkit.reporting.explain_page import (
    Asked,
    Explained,
    _limits,
    _not_converged,
    _ranked,
    _uncertainty,
    explain_page,
    reading_notes,
)
from toolkit.reporting.numbers import format_number
from toolkit.reporting.plots.maps import tokens_html
from toolkit.vlm.protocol import Answer

WHOLE = np.array([(x / 2, y / 2, (x + 1) / 2, (y + 1) / 2) for y in range(2) for x in range(2)])
CROPPED = WHOLE * [0.5, 1, 0.5, 1] + [0.25, 0, 0.25, 0]


def answer(**by_choice: float) -> Answer:
    text = max(by_choice, key=lambda word: by_choice[word]) if by_choice else "red"
    return Answer(text, by_choice.get(text, 0.5), (1,), by_choice)


def test_a_crop_is_told() -> None:
    assert reading_notes(answer(yes=0.9, no=0.1), WHOLE) == []
    (note,) = reading_notes(answer(yes=0.9, no=0.1), CROPPED)
    assert note == "the model sees only the middle 50 % of this picture, the rest is cropped away"


def test_answers_that_the_model_would_not_give_are_told() -> None:
    (note,) = reading_notes(answer(A=0.02, B=0.01), WHOLE)
    assert note.startswith("the allowed answers together have a probability of 0.030; left alone, the model would say")
    assert reading_notes(answer(), WHOLE) == []  # a free answer is what the model says left alone


def test_a_small_number_is_not_shown_as_nothing() -> None:
    assert [format_number(value) for value in (0.5, 0.001, 0.0004, -1.7e-5, 0.0, -0.0)] == [
        "0.500", "0.001", "4.0e-04", "-1.7e-05", "0.000", "0.000"
    ]  # fmt: skip
    assert format_number(1e-3, 4, sign=True) == "+0.0010"
    assert format_number(0.0, sign=True) == "0.000"
    (note,) = reading_notes(answer(yes=1.7e-5, no=1e-6), WHOLE)
    assert "a probability of 1.8e-05;" in note


def test_rounding_noise_is_neither_drawn_nor_listed() -> None:
    white = Image.new("RGB", (60, 60), "white")
    noise, real = np.array([3e-9, -8e-9, 0, 1e-9]), np.array([0.4, -0.2, 0, 4e-5])
    assert np.array_equal(cells_map(white, noise, WHOLE), cells_map(white, np.zeros(4), WHOLE))
    assert not np.array_equal(cells_map(white, real, WHOLE), cells_map(white, np.zeros(4), WHOLE))
    players = Players(("a", "b", "c", "d"), ("image",) * 4)
    found = [_ranked(Attribution(scores, players, "x", "yes"), "image", "cells") for scores in (noise, real)]
    assert "None of the cells has a score beyond rounding noise" in found[0]
    assert [f"<td>{name}</td>" in found[1] for name in "abcd"] == [True, True, False, False]
    assert _limits(np.array([0.5, 0.5 + 1e-7])) == pytest.approx((0.45, 0.55))
    assert "border-bottom:2px none" in tokens_html("hi", [(0, 2)], [4e-5], largest=0.4)


def test_an_explanation_gets_its_verdict_from_random_orderings() -> None:
    game = and_gate(3, 2, image=[0], text=[0])
    players = game.players
    steps = 4

    def explained(scores: np.ndarray, name: str) -> Explained:
        attribution = Attribution(scores, players, name, "yes")
        parts = (toolkit.insertion_deletion(game, attribution, modality=m, steps=steps) for m in ("image", "text"))
        return Explained(attribution, toolkit.synergistic_faithfulness(game, attribution, steps), *parts)

    right = np.array([1.0, 0, 0, 1.0, 0])
    draws = [explained(-right, "random")] * 19
    assert explained(right, "mine").judged(draws).verdict.startswith("Yes: mine has F_syn")
    assert explained(-right, "mine").judged([explained(right, "random")] * 19).verdict.startswith("No: mine has F_syn")


@pytest.mark.parametrize(("explainer", "maps"), [("banzhaf-interaction", 1), ("occlusion", 0)])
def test_pairs_are_shown_where_the_explainer_gives_some(tmp_path, explainer: str, maps: int) -> None:
    vlm, sample = ToyVLM(), toy_sample()
    attribution, game = toolkit.explain(explainer, vlm, sample), vlm.game(sample)
    parts = (toolkit.insertion_deletion(game, attribution, modality=m, steps=2) for m in ("image", "text"))
    one = Explained(attribution, toolkit.synergistic_faithfulness(game, attribution, 2), *parts)
    page = explain_page(tmp_path / "page.html", [Asked(vlm, sample, vlm.answer(sample), (one,), (one,))]).read_text()
    assert page.count("Which cells work together with which words?") == maps
    assert page.count('<rect class="cell') == 4 * maps
    assert page.count("All words side by side") == maps


def test_a_page_about_segments_says_so_and_how_many_were_found(tmp_path) -> None:
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", players="segments:30")
    image = Image.fromarray(np.kron(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16, np.ones((24, 24), np.uint8)))
    sample = vlm.asked(toolkit.load_image_question(image, "is there a red circle ?"))
    attribution, game = toolkit.explain("random", vlm, sample), vlm.game(sample)
    parts = (toolkit.insertion_deletion(game, attribution, modality=m, steps=2) for m in ("image", "text"))
    one = Explained(attribution, toolkit.synergistic_faithfulness(game, attribution, 2), *parts)
    found, answer = vlm.partition(sample).players.n_image, vlm.answer(sample)
    assert found < 30
    (note,) = reading_notes(answer, vlm.regions(sample), vlm.partition(sample))
    assert note.startswith(f"30 segments were asked for and {found} found; what is smaller")
    page = explain_page(tmp_path / "page.html", [Asked(vlm, sample, answer, (one,), (one,), (note,))]).read_text()
    said = re.sub(r"<style>.*?</style>|base64,[^\"]*", "", page, flags=re.DOTALL)
    assert "cell" not in said
    assert all(words in said for words in (note, f"picture, {found} segments", ">Segments<"))
    assert reading_notes(answer, vlm.regions(sample), vlm.with_players("grid:2x2").partition(sample)) == []


def test_a_map_that_did_not_converge_says_by_how_much() -> None:
    players = Players.make(("cell",), ("word",))
    whole = Attribution(np.zeros(2), players, "integrated-gradients", "yes", details={"converged": 1, "steps": 8})
    part = Attribution(
        np.zeros(2), players, "integrated-gradients", "yes", convergence_delta=0.25,
        details={"converged": 0, "steps": 256},
    )  # fmt: skip
    assert _not_converged(whole) == ""
    assert "integrated-gradients has not converged after 256 steps" in _not_converged(part)
    assert "miss it by 0.250" in _not_converged(part)


def test_the_uncertainty_of_a_map_is_a_table_or_how_to_get_one() -> None:
    assert "--uncertainty" in _uncertainty(None)
    shown = _uncertainty(pd.DataFrame([("baseline", 0.5, False)], columns=["change", "rho", "top"]))
    assert "another baseline" in shown
    assert "+0.500" in shown
    assert "<td>no</td>" in shown
