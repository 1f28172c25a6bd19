"""Samples are a function of their arguments, splits never overlap, and the shipped parquet holds the same samples."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from toolkit.paths import data_path
from toolkit.registry import UnknownNameError
from toolkit.scenes import load
from toolkit.scenes.draw_scene import draw
from toolkit.scenes.export import export, to_dataset
from toolkit.scenes.generator import FAMILIES, SPLITS, propose, sample_at, split_of
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
    tenths = [tenth for split in SPLITS.values() for tenth in split]
    assert sorted(tenths) == list(range(10)), "each tenth belongs to one split, and to one only"


@pytest.mark.parametrize(
    "template", [t for templates in FAMILIES.values() for t in templates], ids=lambda template: template.__name__
)
def test_every_scene_asked_about_belongs_to_its_split(template):
    rng = np.random.default_rng(6)
    for split in SPLITS:
        assert {split_of(propose(template, rng, 0.5, split)[0]) for _ in range(4)} == {split}


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
    bare = replace(scene, objects=(), noise=0.0, background="plain")
    full = replace(scene, noise=0.0, background="plain")
    changed = (np.asarray(draw(full, 96)) != np.asarray(draw(bare, 96))).any(axis=-1)
    cells = {(t.row, t.column) for t in scene.objects}
    touched = changed.reshape(6, 16, 6, 16).any(axis=(1, 3))
    assert {(int(r), int(c)) for r, c in np.argwhere(touched)} == cells


def test_large_drawings_cover_several_cells():
    rng = np.random.default_rng(1)
    objects = [t for _ in range(30) for t in drawing_scene(rng).objects if t.size > 2]
    assert objects
    assert all(len(t.cells()) >= 4 for t in objects)


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_parquet_equals_the_generator(name):
    from datasets import Dataset

    stored = Dataset.from_parquet(str(data_path("scenes", f"{name}.parquet")))
    fresh = to_dataset(load(name, n=len(stored)))
    assert stored.features == fresh.features
    for column in set(fresh.column_names) - {"image"}:
        assert stored[column][:] == fresh[column][:], column
    for row in (0, len(stored) - 1):
        assert stored[row]["image"].size == (384, 384)
        assert np.array_equal(np.asarray(stored[row]["image"]), np.asarray(fresh[row]["image"]))


def test_the_shipped_card_is_the_exports_and_names_its_files(tmp_path):
    export(tmp_path, n=1)
    told = (tmp_path / "README.md").read_text(encoding="utf-8")
    shipped = data_path("scenes", "README.md").read_text(encoding="utf-8")
    assert told.replace("first 1 test", "first 12 test").replace("| 1 |", "| 12 |") == shipped
    files = {f"{name}.parquet" for name in FAMILIES}
    assert files == {path.name for path in data_path("scenes").glob("*.parquet")}
    assert all(f"path: {name}\n" in shipped for name in files)
