"""The further family of CONTRIBUTING.md, beyond the contract suite: its registration, its limits."""

from __future__ import annotations

import numpy as np
import pytest
from support import fourth
from support.subjects import FOURTH, SIZES, SUBJECTS, sample

from toolkit.vlm.adapters import families
from toolkit.vlm.adapters.adapter_base import ImageLimits
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.model import LoadedVLM


def test_it_is_short_and_in_the_contract_suite() -> None:
    assert len(fourth.blocks()[0].splitlines()) < 30
    assert FOURTH in SUBJECTS
    assert fourth.adapter().model_type not in families.FAMILIES


@pytest.fixture
def registered(monkeypatch):
    """The registry with the printed line, for one test."""
    fourth.adapter()
    registry = families.Registry("model family")
    for name in families.FAMILIES:
        registry.add(name, families.FAMILIES[name])
    exec(fourth.blocks()[1], {"FAMILIES": registry})
    for name in ("toolkit.vlm.adapters.families.FAMILIES", "toolkit.vlm.loading.checkpoint.FAMILIES"):
        monkeypatch.setattr(name, registry)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "qwen2-vl"
    for part in fourth.small():
        part.save_pretrained(folder)
    return folder


def test_a_folder_loads_by_the_printed_line_alone(saved, registered) -> None:
    loaded, (model, processor) = load_vlm(saved, device="cpu", players="tokens"), fourth.small()
    assert loaded.family == "qwen2-vl"
    original = LoadedVLM("o", fourth.adapter()(processor), model)
    games = [vlm.game(sample(1), target="yes") for vlm in (loaded, original)]
    chosen = np.random.default_rng(0).random((5, games[0].players.n)) < 0.5
    assert np.array_equal(*(game(chosen) for game in games))


def test_without_the_line_it_is_refused(saved) -> None:
    with pytest.raises(CheckpointError, match="'qwen2_vl' model; the toolkit has adapters for"):
        load_vlm(saved)


def test_its_grid_is_bounded_and_recorded(saved, registered) -> None:
    vlm = load_vlm(saved, device="cpu", max_pixels=28 * 28 * 20)
    assert vlm.view(sample(1, SIZES["landscape"])).geometry.n_players <= 20
    assert vlm.record()["preprocessing"]["size"]["longest_edge"] == 28 * 28 * 20


def test_limits_that_it_does_not_have_are_refused(saved) -> None:
    with pytest.raises(ValueError, match="images of qwen2-vl: max_pixels does"):
        fourth.adapter().load_processor(str(saved), None, ImageLimits(max_tiles=4))
