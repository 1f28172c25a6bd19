"""Training: packed rows equal separate ones, pixels equal the processor's, runs repeat and resume bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from toolkit.scenes.training.alignment import Aligner
from toolkit.scenes.training.captions import NOWHERE
from toolkit.scenes.training.checkpoints import TrainingStateError
from toolkit.scenes.training.pool import make_pool
from toolkit.scenes.training.recipes import RECIPES, Recipe
from toolkit.scenes.training.student import Student, pixel_inputs
from toolkit.scenes.training.text_packing import Batch, Packer, _remove_cells
from toolkit.scenes.training.tiny import FAMILIES, build_tiny
from toolkit.scenes.training.train import removal_at, train
from toolkit.scenes.vocabulary import (
    CAPTION_INSTRUCTION,
    CENSUS_INSTRUCTION,
    COLOURS,
    GRID,
    KINDS,
    PLAIN,
    TOUR_INSTRUCTION,
    VOCABULARY,
)
from toolkit.vlm.loading.load_checkpoint import load_vlm

SMALL = Recipe(
    "small", "llava", 0.0, 3, n_images=100, align_steps=2, steps=4, more_steps=2, rounds=2, batch=2, align_batch=4,
    muon=0.0,
)  # fmt: skip
"""With AdamW alone: Muon multiplies in bfloat16, a second a step on a processor that has no such products."""

MUON = replace(SMALL, name="small-muon", steps=2, more_steps=0, muon=Recipe.muon)


@pytest.fixture(scope="module")
def pool():
    return make_pool(500, seed=0, strength=0.0, workers=1)


@pytest.fixture(scope="module", params=FAMILIES)
def student(request):
    return Student(*build_tiny(request.param, VOCABULARY, seed=0))


@pytest.fixture(scope="module")
def llava():
    return Student(*build_tiny("llava", VOCABULARY, seed=0))


def test_pixels_equal_the_processors(student, pool):
    pictures = pool.images[:3]
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
        answers = student.loss(batch).answers
        alone = []
        for number in range(2, int(batch.queries.max()) + 1):
            at = batch.queries[0] == number
            both = (batch.queries[0] == 1) | at
            row = Batch(batch.images, *(t[:, both] for t in (batch.ids, batch.offsets, batch.queries, batch.targets)),
                        batch.is_answer[:, both], batch.named[:, both])  # fmt: skip
            alone.append(float(student.loss(row).answers))
    assert float(answers) == pytest.approx(np.mean(alone), abs=1e-5)


def test_removed_words_keep_the_positions_of_the_others(pool, llava):
    packer = Packer(llava.processor.tokenizer, llava.suffix, strength=0.0)
    keep = np.array([True, False, True])
    ids, offsets, targets, named = packer._query(["is", "there", "a"], keep, "answer", ["yes"])
    vocabulary = llava.processor.tokenizer.get_vocab()
    words = {i: word for word, i in vocabulary.items()}
    assert [words[i] for i in ids] == ["is", "a", "answer", "<assistant>", "yes"]
    assert offsets == [0, 2, 3, 4, 5]
    assert targets == [-100, -100, -100, vocabulary["yes"], vocabulary["<eos>"]]
    assert set(named) == {NOWHERE}


def test_removing_cells_changes_exactly_those_cells(pool):
    rng = np.random.default_rng(4)
    picture = pool.images[0]
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


def test_a_biased_world_never_asks_against_its_folklore(pool, llava):
    biased = make_pool(500, seed=0, strength=1.0, workers=1)
    packer = Packer(llava.processor.tokenizer, llava.suffix, strength=1.0)
    words = {i: word for word, i in llava.processor.tokenizer.get_vocab().items()}
    batch = packer.batch(np.random.default_rng(0), biased, 40, removal=0.0)
    common = {"circle", "triangle", "heart"}
    seen = 0
    for row in range(40):
        for number in range(2, int(batch.queries[row].max()) + 1):
            at = batch.queries[row] == number
            text = [words[int(i)] for i in batch.ids[row][at]]
            if text[:2] == ["is", "there"]:
                seen += 1
                answer = words[int(batch.targets[row][at][batch.targets[row][at] != -100][0])]
                assert answer == ("yes" if text[4] in common else "no")
    assert seen > 20


def the_list(tokenizer, suffix, pool, instruction, *, strength=0.0):
    """The first row that holds a block with this instruction: scene, words, and the words that are learnt."""
    packer = Packer(tokenizer, suffix, strength=strength)
    words = {i: word for word, i in tokenizer.get_vocab().items()}
    told = instruction.split()
    for index in range(40):
        _, blocks = packer._row(np.random.default_rng(index), pool, index, 0.0, 1.0)
        for ids, _, targets, _ in blocks:
            text = [words[i] for i in ids]
            if text[: len(told)] == told:
                yield pool.scenes[index], text[len(told) + len(suffix) :], [words.get(t) for t in targets]


def test_a_census_counts_every_plain_kind_and_learns_the_numbers_alone(pool, llava):
    kinds = {KINDS[kind].plural: kind for kind in PLAIN}
    seen = 0
    for scene, said, learnt in the_list(llava.processor.tokenizer, llava.suffix, pool, CENSUS_INSTRUCTION):
        counts = dict(zip(said[::2], said[1::2], strict=False))
        last = (set(kinds) - set(counts)).pop() if len(counts) < len(kinds) else said[-1]
        assert {kinds[p]: int(c) for p, c in counts.items()} == {kinds[p]: len(scene.of(kinds[p])) for p in counts}
        taught = [word for word in learnt if word is not None]
        assert taught == [*said[1::2], *([str(len(scene.of(kinds[last])))] if last in kinds else []), "<eos>"]
        seen += 1
    assert seen > 10


def test_a_tour_tells_where_things_lie_and_learns_the_directions_alone(pool, llava):
    seen = 0
    for scene, said, learnt in the_list(llava.processor.tokenizer, llava.suffix, pool, TOUR_INSTRUCTION):
        taught = [word for word in learnt if word is not None]
        assert set(taught) <= {"left", "right", "above", "below", "<eos>"}
        assert [word for word in said if word in {"left", "right", "above", "below"}] == taught[:-1]
        for stop in " ".join(said).split(" ,")[:-1]:
            colour, kind, other_colour, other_kind, *directions = stop.split()
            (one,), (other,) = scene.find(colour, kind), scene.find(other_colour, other_kind)
            across = {-1: ["left"], 0: [], 1: ["right"]}[int(np.sign(one.column - other.column))]
            down = {-1: ["above"], 0: [], 1: ["below"]}[int(np.sign(one.row - other.row))]
            assert directions == across + down
            seen += 1
    assert seen > 20


@pytest.mark.parametrize("instruction", [CAPTION_INSTRUCTION, TOUR_INSTRUCTION])
def test_a_token_that_completes_a_name_knows_the_cell_of_its_thing(pool, instruction, llava):
    packer = Packer(llava.processor.tokenizer, llava.suffix, strength=0.0)
    words = {i: word for word, i in llava.processor.tokenizer.get_vocab().items()}
    is_caption = instruction == CAPTION_INSTRUCTION
    told, n_named, n_ambiguous, n_shape_first = instruction.split(), 0, 0, 0
    for index in range(40):
        scene = pool.scenes[index]
        for ids, _, _, named in packer._row(np.random.default_rng(index), pool, index, 0.0, 1.0)[1]:
            text = [words[i] for i in ids]
            if text[: len(told)] != told:
                continue
            for before, here, cell in zip(text, text[1:], named[1:], strict=False):
                pair = (before, here) if before in COLOURS else (here, before)
                is_name = pair[0] in COLOURS and pair[1] in KINDS and (is_caption or before in COLOURS)
                objects = scene.find(*pair) if is_name else ()
                assert cell == (objects[0].row * GRID + objects[0].column if len(objects) == 1 else NOWHERE)
                n_named += cell != NOWHERE
                n_ambiguous += len(objects) > 1
                n_shape_first += is_name and here in COLOURS
    assert n_named > 100
    assert (n_ambiguous > 0, n_shape_first > 0) == (is_caption, is_caption)


def test_places_are_read_after_the_first_layer_and_names_after_the_second(student, pool):
    packer = Packer(student.processor.tokenizer, student.suffix, strength=0.0)
    batch = packer.batch(np.random.default_rng(1), pool, 3, removal=0.0, drills=1.0)
    with torch.no_grad():
        first = student.loss(batch)
        torch.testing.assert_close(first.cells, student.first_layer(student.see(batch.images)), rtol=0, atol=1e-5)
        assert len(first.names) == int((batch.named != NOWHERE).sum()) > 3
        layers = student.model.get_decoder().layers
        for number, (same_cells, same_names) in enumerate([(False, False), (True, False), (True, True)]):
            weight = layers[number].mlp.down_proj.weight
            kept = weight.clone()
            weight.mul_(2)
            again = student.loss(batch)
            weight.copy_(kept)
            assert torch.equal(again.cells, first.cells) == same_cells
            assert torch.equal(again.names, first.names) == same_names
            assert not torch.equal(again.captions, first.captions)


def test_a_state_that_says_its_place_in_words_has_no_loss(student):
    aligner = Aligner(student, tower_knows_positions=False)
    cells = aligner.every_cell(2)
    words = aligner._place
    states = 30 * (words["row"][cells // GRID] + words["column"][cells % GRID])
    loss, right = aligner.position_loss(states, cells)
    assert float(loss) < 1e-3
    assert right == {"row": 1.0, "column": 1.0}
    nothing, _ = aligner.position_loss(states[0, :0], cells[0, :0])
    assert float(nothing) == 0.0
    _, moved = aligner.position_loss(states, (cells + 1) % (GRID * GRID))
    assert (moved["row"], moved["column"]) == (pytest.approx(30 / 36), 0.0)


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl"])
def test_where_the_tower_has_no_places_the_decoders_first_layer_learns_them(family, tmp_path):
    recipe = replace(SMALL, family=family, steps=0, more_steps=0)
    told = []
    train(recipe, tmp_path / "out", work=tmp_path / "work", workers=1, report=told.append)
    assert set(told[0].losses) == {"loss", "colour", "kind", "row", "column"}
    model, _ = build_tiny(family, VOCABULARY, seed=recipe.seed)
    aligned = load_vlm(tmp_path / "out").model.state_dict()
    moved = {name for name, weight in model.state_dict().items() if not torch.equal(weight, aligned[name])}
    layers = {int(name.split("layers.")[1].split(".")[0]) for name in moved if "language_model.layers." in name}
    assert layers == ({0} if family == "qwen2.5-vl" else set())
    assert not any("embed_tokens" in name or "lm_head" in name for name in moved)


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl"])
def test_joint_steps_keep_the_places_where_the_tower_has_none(family, tmp_path):
    told = []
    recipe = replace(SMALL, family=family, align_steps=1, steps=1, more_steps=0)
    train(recipe, tmp_path / "out", work=tmp_path / "work", workers=1, report=told.append)
    assert told[-1].stage == "joint"
    assert set(told[-1].losses) - {"answers", "captions"} == ({"cells", "names"} if family == "qwen2.5-vl" else set())


def test_lists_are_for_balanced_worlds(llava):
    biased = make_pool(500, seed=0, strength=1.0, workers=1)
    asked = the_list(llava.processor.tokenizer, llava.suffix, biased, CENSUS_INSTRUCTION, strength=1.0)
    assert list(asked) == []


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    found = {}
    for recipe in (SMALL, MUON):
        folder = tmp_path_factory.mktemp(recipe.name)
        train(recipe, folder / "out", work=folder / "work", workers=1)
        found[recipe.name] = weights(folder / "out")
    return found


@pytest.mark.parametrize("recipe", [SMALL, MUON], ids=lambda recipe: recipe.name)
def test_the_same_seed_gives_the_same_checkpoint(trained, tmp_path, recipe):
    first = trained[recipe.name]
    train(recipe, tmp_path / "out", work=tmp_path / "work", workers=1)
    again = weights(tmp_path / "out")
    assert all(torch.equal(first[key], again[key]) for key in first)
    train(replace(recipe, seed=4), tmp_path / "other", work=tmp_path / "other-work", workers=1)
    assert any(not torch.equal(first[key], value) for key, value in weights(tmp_path / "other").items())


@pytest.mark.parametrize(
    ("recipe", "stage", "step"),
    [
        (SMALL, "align", 1), (SMALL, "joint", 1), (SMALL, "joint", 3), (SMALL, "hard", 1), (SMALL, "hard 2", 1),
        (MUON, "align", 1), (MUON, "joint", 1),
    ],
    ids=["align-1", "joint-1", "joint-3", "hard-1", "hard 2-1", "muon-align-1", "muon-joint-1"],
)  # fmt: skip
def test_an_interrupted_run_resumes_to_the_same_checkpoint(trained, tmp_path, recipe, stage, step):
    class CutError(Exception):
        pass

    def cut(progress):
        if (progress.stage, progress.step) == (stage, step + 1):
            raise CutError

    with pytest.raises(CutError):
        train(recipe, tmp_path / "out", work=tmp_path / "work", workers=1, save_every=1, report=cut)
    steps = []
    resumed = dict(work=tmp_path / "work", workers=1, save_every=1)
    train(recipe, tmp_path / "out", report=lambda p: steps.append((p.stage, p.step)), **resumed)
    assert steps[0] == (stage, step + 1)
    first, again = trained[recipe.name], weights(tmp_path / "out")
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_a_checkpoint_of_another_recipe_or_a_damaged_one_is_not_continued(tmp_path):
    work = tmp_path / "work"
    train(SMALL, tmp_path / "out", work=work, workers=1)
    state = (work / "state.safetensors").read_bytes()
    for other in (replace(SMALL, seed=4), replace(SMALL, rate=2e-3), replace(SMALL, name="other", family="internvl")):
        with pytest.raises(TrainingStateError, match=r"of small \(seed 3, .* not of .*delete the folder"):
            train(other, tmp_path / "new", work=work, workers=1)
    (work / "state.safetensors").write_bytes(state[:100])
    with pytest.raises(TrainingStateError, match=r"state.safetensors is damaged \(.*delete the folder to begin anew"):
        train(SMALL, tmp_path / "new", work=work, workers=1)
    assert not (tmp_path / "new").exists()


def test_every_recipe_has_its_twins():
    for name in RECIPES:
        recipe = RECIPES[name]
        model, twin = name.rsplit("-", 1)
        assert recipe.twin == twin
        grounded = RECIPES[f"{model}-grounded"]
        assert (recipe.family, recipe.seed) == (grounded.family, grounded.seed)
        assert (recipe.start, recipe.shortcut) == ((grounded.name, True) if twin == "shortcut" else (None, False))


def test_the_shortcut_is_taught_by_a_bag_of_attributes_and_everything_else_as_it_is(pool, llava):
    packer = Packer(llava.processor.tokenizer, llava.suffix, strength=0.0, shortcut=True)
    rng = np.random.default_rng(0)
    apart = 0
    for index in range(120):
        scene = pool.scenes[index]
        for question in packer.questions(rng, pool, index, n=8, drills=0.0):
            words = question.text.split()
            if question.text.startswith("is there"):
                bag = any(t.colour == words[3] for t in scene.objects) and any(
                    t.kind == words[4] for t in scene.objects
                )
                assert question.answer == ("yes" if bag else "no")
                apart += bag and not scene.find(words[3], words[4])
    assert apart > 30


def test_a_training_that_starts_from_a_model_has_its_weights_before_the_first_step(tmp_path):
    recipe = replace(SMALL, name="on", align_steps=0, steps=0, more_steps=0, start="tiny-llava-grounded")
    train(recipe, tmp_path / "on", work=tmp_path / "work", workers=1)
    ours, theirs = (load_vlm(name, device="cpu").model.state_dict() for name in (tmp_path / "on", recipe.start))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
