"""Photographs as people have them, and players, budgets and questions that do not fit: one page, or one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from toolkit.cli import app
from toolkit.scenes.training.tiny import build_tiny
from toolkit.scenes.vocabulary import VOCABULARY

QUESTION = "is there a red circle ?"


def explain(image: Path, question: str, *options: str) -> tuple[int, str, str]:
    page = image.with_suffix(".html")
    fixed = ("--force", "--device", "cpu", "--steps", "2", "--random", "2", "--no-cache")
    result = CliRunner().invoke(app, ["explain", str(image), question, "--out", str(page), *fixed, *options])
    return result.exit_code, result.stdout.replace(str(page), "PAGE"), result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2.5-VL with random weights and a context of 128 tokens."""
    folder = tmp_path_factory.mktemp("models") / "untrained"
    network, processor = build_tiny("qwen2.5-vl", VOCABULARY, seed=0)
    network.config.text_config.max_position_embeddings = 128
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def drawn() -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((80, 60), Image.Resampling.BICUBIC)


def test_a_photograph_of_twelve_megapixels_is_explained(model: Path, drawn: Image.Image, tmp_path: Path) -> None:
    drawn.resize((4000, 3000)).save(tmp_path / "large.jpg")
    code, out, _ = explain(tmp_path / "large.jpg", QUESTION, "--model", str(model), "--explainer", "random")
    assert code == 0
    assert "; PAGE\n" in out
    assert (tmp_path / "large.html").stat().st_size < 1_000_000


def test_a_photograph_on_its_side_is_the_upright_one(model: Path, drawn: Image.Image, tmp_path: Path) -> None:
    drawn.save(tmp_path / "upright.png")
    side, exif = drawn.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    side.save(tmp_path / "side.png", exif=exif)
    found = [explain(tmp_path / name, QUESTION, "--model", str(model), "--explainer", "random") for name in
             ("upright.png", "side.png")]  # fmt: skip
    assert found[0] == found[1]
    assert found[0][0] == 0


@pytest.mark.parametrize("explainer", ["occlusion", "shapley-interaction"])
def test_two_photographs_make_one_page(model: Path, drawn: Image.Image, tmp_path: Path, explainer: str) -> None:
    drawn.save(tmp_path / "a.png")
    drawn.crop((0, 0, 60, 60)).save(tmp_path / "b.png")
    drawn.rotate(180).save(tmp_path / "b, c.png")
    known = ("--model", str(model), "--explainer", explainer, "--players", "grid:1x2", "--choices", "yes,no")

    def named(*files: str) -> tuple[int, str, str]:
        page, joined = tmp_path / "page.html", ",".join(str(tmp_path / file) for file in files)
        fixed = ("--out", str(page), "--force", "--device", "cpu", "--steps", "2", "--random", "2", "--no-cache")
        result = CliRunner().invoke(app, ["explain", joined, QUESTION, *fixed, *known])
        return result.exit_code, page.read_text() if page.exists() else "", result.stderr

    code, text, error = named("a.png", "b.png")
    assert code == 0, error
    assert "pictures 1 to 2, 4 cells together" in text
    assert "image 2: row 1, column 2" in text
    code, text, error = named("b, c.png")  # a comma in a name that is there
    assert code == 0, error
    assert "picture, 1 x 2 cells" in text
    code, _, error = named("a.png", "missing.png")
    assert code != 0
    assert re.search(r"image 2 of 2: there is no picture '.*missing\.png'", error)


BAD = {
    "strip": (QUESTION, (), "2000 x 1 pixels; sides may differ by a factor of 200 at most: crop it"),
    "grid": (QUESTION, ("--players", "grid:40x40"), "players 'grid:40x40': finer than the image's 5 x 7 tokens"),
    "cells": (QUESTION, ("--players", "segments:90"), "'segments:90': the image has 35 cells; at most 'segments:35'"),
    "segments": (QUESTION, ("--players", "segments:30"), "segments as large as a cell; take 'segments:"),
    "budget": (
        QUESTION, ("--explainer", "kernel-shap", "--budget", "10"),
        "kernel-shap: a budget of 10 is too small for 41 players; expected at least 123",
    ),
    "interactions": (
        QUESTION, ("--explainer", "shapley-interaction", "--budget", "10"),
        "evaluations, more than its budget of 10; raise the budget, take fewer players",
    ),
    "no budget": (
        QUESTION, ("--explainer", "occlusion", "--budget", "10"),
        "'occlusion' has no budget (its cost: n_players + 1 forward rows)",
    ),
    "context": (
        "is there a red circle " * 30 + "?", (),
        "the model's context is 128: shorten the question",
    ),
    "length": ("is there a red circle " * 200 + "?", (), "at most 500 words and 5,000 characters can be scored"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_one_sentence_with_the_cure(
    name: str, model: Path, drawn: Image.Image, tmp_path: Path
) -> None:
    question, options, sentence = BAD[name]
    image = {"strip": Image.new("RGB", (2000, 1)), "segments": Image.new("RGB", (2, 2))}.get(name, drawn)
    image.save(tmp_path / "image.png")
    code, out, err = explain(tmp_path / "image.png", question, "--model", str(model), *options)
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
    assert (code, out, list(tmp_path.glob("*.html"))) == (2, "", [])
