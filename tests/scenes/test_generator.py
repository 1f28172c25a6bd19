"""Samples are a function of their arguments, splits never overlap, and the shipped parquet holds the same samples."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from toolkit.paths import data_path
from toolkit.registry import UnknownNameError
from toolkit.scenes import load
from toolkit.scenes.drawing import draw
from toolkit.scenes.export import to_dataset
from toolkit.scenes.generator import FAMILIES, SPLITS, sample_at, split_of
from toolkit.scenes.world import base_scene, drawing_scene


def digest(sample):
    return hashlib.sha256(sample.image.tobytes() + sample.question.encode()).hexdigest()


@pytest.mark.parametrize("name", FAMILIES)
def test_same_arguments_same_samples_and_the_first_n_of_one_list(name):
    few, many = load(name, n=3), load(name, n=5)
    assert [digest(s) for s in few] == [digest(s) for s in many[:3]]
    assert digest(load(name, n=1, seed=1)[0]) != digest(few[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_one_sample_is_the_same_as_in_the_list(name):
    found, listed = sample_at(4, name, seed=3, prior_strength=0.25), load(name, n=5, seed=3, prior_strength=0.25)[4]
    assert found.id == listed.id
    assert digest(found) == digest(listed)
    with pytest.raises(ValueError, match="at least 0"):
        sample_at(-1, name)


def test_splits_partition_the_layouts():
    rng = np.random.default_rng(0)
    names = [split_of(base_scene(rng)) for _ in range(400)]
    assert set(names) == set(SPLITS)
    layouts = {split: {digest(s) for s in load("scenes-existence", split, n=12)} for split in SPLITS}
    assert not layouts["train"] & layouts["test"]


def test_split_depends_on_the_layout_alone():
    scene = base_scene(np.random.default_rng(3))
    assert split_of(replace(scene, seed=scene.seed + 1, noise=0.0)) == split_of(scene)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "scenes-existance"}, "Did you mean 'scenes-existence'"),
        ({"name": "scenes-choice", "split": "tset"}, "Did you mean 'test'"),
        ({"name": "scenes-choice", "n": 0}, "at least 1, got 0"),
        ({"name": "scenes-choice", "prior_strength": 1.5}, r"\[0, 1\], got 1.5"),
    ],
)
def test_bad_requests_say_what_was_expected(arguments, message):
    with pytest.raises((UnknownNameError, ValueError), match=message):
        load(**arguments)


def test_prior_strength_enters_the_id():
    assert "@0.75" in load("scenes-existence", n=1, prior_strength=0.75)[0].id


def test_drawing_is_deterministic_and_things_stay_in_their_cells():
    scene = base_scene(np.random.default_rng(8))
    assert np.array_equal(np.asarray(draw(scene, 96)), np.asarray(draw(scene, 96)))
    bare = replace(scene, things=(), noise=0.0, background="plain")
    full = replace(scene, noise=0.0, background="plain")
    changed = (np.asarray(draw(full, 96)) != np.asarray(draw(bare, 96))).any(axis=-1)
    cells = {(t.row, t.column) for t in scene.things}
    touched = changed.reshape(6, 16, 6, 16).any(axis=(1, 3))
    assert {(int(r), int(c)) for r, c in np.argwhere(touched)} == cells


def test_large_drawings_cover_several_cells():
    rng = np.random.default_rng(1)
    things = [t for _ in range(30) for t in drawing_scene(rng).things if t.size > 2]
    assert things
    assert all(len(t.cells()) >= 4 for t in things)


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_parquet_equals_the_generator(name):
    from datasets import Dataset

    stored = Dataset.from_parquet(str(data_path("scenes", f"{name}.parquet")))
    fresh = to_dataset(load(name, n=len(stored)))
    assert stored.features == fresh.features
    for column in ("id", "question", "answer", "gate", "bayes_text", "evidence_boxes"):
        assert stored[column][:] == fresh[column][:]
    assert np.array_equal(np.asarray(stored[0]["image"]), np.asarray(fresh[0]["image"]))
