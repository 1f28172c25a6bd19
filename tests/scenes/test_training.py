"""Training: packed rows equal separate ones, pixels equal the processor's, runs repeat and resume bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from toolkit.scenes.packing import Batch, Packer, _remove_cells
from toolkit.scenes.pool import make_pool
from toolkit.scenes.recipes import RECIPES, Recipe
from toolkit.scenes.student import Student, pixel_inputs
from toolkit.scenes.training import removal_at, train
from toolkit.scenes.vocabulary import VOCABULARY
from toolkit.vlm.tiny import FAMILIES, build_tiny

SMALL = Recipe("small", "llava", 0.0, seed=3, n_pictures=500, align_steps=2, steps=4, batch=2, align_batch=4)


@pytest.fixture(scope="module")
def pool():
    return make_pool(500, seed=0, strength=0.0, workers=1)


@pytest.fixture(scope="module", params=FAMILIES)
def student(request):
    return Student(*build_tiny(request.param, VOCABULARY, seed=0))


def test_pixels_equal_the_processors(student, pool):
    pictures = pool.pictures[:3]
    images = student.processor.image_processor
    expected = images([Image.fromarray(p) for p in pictures], return_tensors="pt")
    ours = pixel_inputs(student.processor, pictures, torch.device("cpu"))
    torch.testing.assert_close(ours["pixel_values"], expected["pixel_values"], rtol=0, atol=2e-6)
    if "image_grid_thw" in ours:
        assert torch.equal(ours["image_grid_thw"], expected["image_grid_thw"])


def test_a_packed_row_loses_what_its_blocks_lose_alone(student, pool):
    packer = Packer(student.processor.tokenizer, student.suffix, strength=0.0, n_questions=3)
    batch = packer.batch(np.random.default_rng(1), pool, 1, removal=0.5)
    with torch.no_grad():
        answers, _ = student.loss(batch)
        alone = []
        for number in range(2, int(batch.blocks.max()) + 1):
            at = batch.blocks[0] == number
            both = (batch.blocks[0] == 1) | at
            row = Batch(batch.pictures, *(t[:, both] for t in (batch.ids, batch.offsets, batch.blocks, batch.targets)),
                        batch.is_answer[:, both])  # fmt: skip
            alone.append(float(student.loss(row)[0]))
    assert float(answers) == pytest.approx(np.mean(alone), abs=1e-5)


def test_removed_words_keep_the_positions_of_the_others(pool):
    student = Student(*build_tiny("llava", VOCABULARY, seed=0))
    packer = Packer(student.processor.tokenizer, student.suffix, strength=0.0)
    keep = np.array([True, False, True])
    ids, offsets, targets = packer._block(["is", "there", "a"], keep, "answer", ["yes"])
    vocabulary = student.processor.tokenizer.get_vocab()
    words = {i: word for word, i in vocabulary.items()}
    assert [words[i] for i in ids] == ["is", "a", "answer", "<assistant>", "yes"]
    assert offsets == [0, 2, 3, 4, 5]
    assert targets == [-100, -100, -100, vocabulary["yes"], vocabulary["<eos>"]]


def test_removing_cells_changes_exactly_those_cells(pool):
    rng = np.random.default_rng(4)
    picture = pool.pictures[0]
    filled, keep = _remove_cells(rng, picture, 255 - picture, removal=1.0)
    same = (filled == picture).all(axis=-1).reshape(6, 16, 6, 16).all(axis=(1, 3))
    assert np.array_equal(same, keep)
    untouched, everything = _remove_cells(rng, picture, 255 - picture, removal=0.0)
    assert untouched is picture
    assert everything.all()


def test_removal_rises_after_the_model_has_learnt_to_see():
    assert removal_at(0, 100) == pytest.approx(0.08)
    assert removal_at(100, 100) == pytest.approx(0.5)
    assert all(removal_at(i, 100) <= removal_at(i + 1, 100) for i in range(100))


def test_a_biased_world_never_asks_against_its_folklore(pool):
    biased = make_pool(500, seed=0, strength=1.0, workers=1)
    student = Student(*build_tiny("llava", VOCABULARY, seed=0))
    packer = Packer(student.processor.tokenizer, student.suffix, strength=1.0)
    words = {i: word for word, i in student.processor.tokenizer.get_vocab().items()}
    batch = packer.batch(np.random.default_rng(0), biased, 40, removal=0.0)
    common = {"circle", "triangle", "heart"}
    seen = 0
    for row in range(40):
        for number in range(2, int(batch.blocks[row].max()) + 1):
            at = batch.blocks[row] == number
            text = [words[int(i)] for i in batch.ids[row][at]]
            if text[:2] == ["is", "there"]:
                seen += 1
                answer = words[int(batch.targets[row][at][batch.targets[row][at] != -100][0])]
                assert answer == ("yes" if text[4] in common else "no")
    assert seen > 20


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    train(SMALL, folder / "out", work=folder / "work", workers=1)
    return weights(folder / "out")


def test_the_same_seed_gives_the_same_checkpoint(trained, tmp_path):
    train(SMALL, tmp_path / "out", work=tmp_path / "work", workers=1)
    again = weights(tmp_path / "out")
    assert all(torch.equal(trained[key], again[key]) for key in trained)
    train(replace(SMALL, seed=4), tmp_path / "other", work=tmp_path / "other-work", workers=1)
    assert any(not torch.equal(trained[key], value) for key, value in weights(tmp_path / "other").items())


@pytest.mark.parametrize(("stage", "step"), [("align", 1), ("joint", 1), ("joint", 3)])
def test_an_interrupted_run_resumes_to_the_same_checkpoint(trained, tmp_path, stage, step):
    class CutError(Exception):
        pass

    def cut(progress):
        if (progress.stage, progress.step) == (stage, step + 1):
            raise CutError

    with pytest.raises(CutError):
        train(SMALL, tmp_path / "out", work=tmp_path / "work", workers=1, save_every=1, report=cut)
    steps = []
    resumed = dict(work=tmp_path / "work", workers=1, save_every=1)
    train(SMALL, tmp_path / "out", report=lambda p: steps.append((p.stage, p.step)), **resumed)
    assert steps[0] == (stage, step + 1)
    again = weights(tmp_path / "out")
    assert all(torch.equal(trained[key], again[key]) for key in trained)


def test_every_recipe_has_a_twin():
    for name in RECIPES:
        twin = name.replace("grounded", "biased") if "grounded" in name else name.replace("biased", "grounded")
        assert RECIPES[twin].family == RECIPES[name].family
        assert RECIPES[twin].strength != RECIPES[name].strength
