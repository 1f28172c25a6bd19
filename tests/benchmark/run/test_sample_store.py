"""Packing pictures changes no pixel and keeps each picture once."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.toy_bench import make_sample

from toolkit.benchmark.run import sample_store as samples_module
from toolkit.benchmark.run.sample_store import SampleStore
from toolkit.benchmark.run.spec import SpecError
from toolkit.benchmark.run.units import Unreadable


def test_packed_pictures_come_back_pixel_by_pixel(monkeypatch):
    monkeypatch.setattr(samples_module, "MAX_DECODED", 2)
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)) for _ in range(3)]
    store = SampleStore()
    for number in range(9):
        sample = make_sample("a", number)
        store.add(sample.__class__(**{**vars(sample), "image": pictures[number % 3]}))
    assert list(store) == [f"a-{number}" for number in range(9)]
    for number, name in enumerate(store):
        assert store[name].image.tobytes() == pictures[number % 3].tobytes()
        assert store[name].question == make_sample("a", number).question
    assert len(store._packed) == 3


def test_unreadable_rows_keep_their_place_and_ids_are_unique():
    store = SampleStore()
    store.add(make_sample("a", 0))
    store.add(Unreadable("a-1", "truncated"))
    assert store["a-1"].reason == "truncated"
    with pytest.raises(SpecError, match="'a-0' more than once"):
        store.add(make_sample("a", 0))


def test_all_images_of_a_sample_are_packed_and_counted(monkeypatch):
    monkeypatch.setattr(samples_module, "MAX_DECODED", 0)
    images = [Image.new("RGB", (4, 4 + number), (number, 0, 0)) for number in range(3)]

    def store_of(*further):
        store, sample = SampleStore(), make_sample("a", 0)
        store.add(replace(sample, image=images[0], further_images=further, truth=None))
        return store

    store = store_of(images[1], images[2])
    assert [image.tobytes() for image in store["a-0"].images] == [image.tobytes() for image in images]
    found = [store_of(*further).digest for further in ((), (images[1],), (images[2], images[1]))]
    assert len({store.digest, *found}) == 4
