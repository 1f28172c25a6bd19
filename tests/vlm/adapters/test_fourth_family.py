"""The fourth family of CONTRIBUTING.md, beyond the contract suite: its map, its registration, its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support import fourth
from support.subjects import FOURTH, SIZES, SUBJECTS, picture, sample

from tests.vlm.adapters.test_pixels import owner, paint, some_players
from toolkit.datasets.sample import Sample
from toolkit.vlm.adapters import families
from toolkit.vlm.adapters.adapter_base import ImageLimits
from toolkit.vlm.engine.decoder import encode_images
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.model import LoadedVLM


def test_it_is_short_and_in_the_contract_suite() -> None:
    assert len(fourth.blocks()[0].splitlines()) < 150
    assert FOURTH in SUBJECTS
    assert fourth.adapter().model_type not in families.FAMILIES


@pytest.mark.parametrize("size", SIZES)
def test_repainting_a_region_changes_its_player(size: str) -> None:
    adapter, image = fourth.adapter()(fourth.processor()), picture(SIZES[size], 3)

    def process(shown):
        return adapter.processor.image_processor(shown, return_tensors="pt", **adapter.image_settings())

    inputs = process(image)
    geometry, pixels = adapter.geometry(image, inputs), adapter.pixels(inputs)
    assert geometry.player_of_pixel.shape == tuple(pixels.shape)
    for player in some_players(geometry):
        change = (adapter.pixels(process(paint(image, geometry.regions[player]))) - pixels).abs().numpy()
        assert owner(change, geometry.player_of_pixel, geometry.n_players) == player
        change, mine = change[:-1], geometry.player_of_pixel[:-1] == player
        assert change[mine].sum() > 0.7 * change.sum()


@pytest.mark.parametrize("size", ["square", "portrait", "panorama"])
def test_each_player_feeds_its_own_image_token(size: str) -> None:
    """With a vision tower without attention, a player's pixels reach its own token and no other tile token."""
    model, processor = fourth.small(vision_layers=0)
    vlm = LoadedVLM("r", fourth.adapter()(processor), model)
    view = vlm.view(Sample("1", picture(SIZES[size], 8), "is there a red circle?", "", ("yes", "no")))
    g, players = view.geometry, some_players(view.geometry)
    keep = np.ones((len(players) + 1, g.n_players), dtype=bool)
    keep[np.arange(len(players)), players] = False
    with torch.inference_mode():
        inputs = vlm.adapter.pixel_inputs(view.masked(vlm.adapter, "noise", keep), g)
        tokens = encode_images(model, inputs, len(keep))
    assert tokens.shape[1] == g.n_tokens == len(view.prompt.image_positions)
    for i, player in enumerate(players):
        changed = set(((tokens[i] - tokens[-1]).abs().sum(-1) > 1e-6).nonzero().flatten().tolist())
        assert changed & set(g.token_of_player.tolist()) == {int(g.token_of_player[player])}


def test_what_the_model_sees_is_the_picture() -> None:
    vlm = LoadedVLM("r", fourth.adapter()(fourth.small()[1]), fourth.small()[0])
    seen = sample(5, (256, 192))
    shown = np.asarray(vlm.masked_image(seen, np.ones(vlm.players(seen).n, dtype=bool)), dtype=int)
    assert np.abs(shown - np.asarray(seen.image, dtype=int)).max() <= 1


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
    folder = tmp_path_factory.mktemp("saved") / "smolvlm"
    for part in fourth.small():
        part.save_pretrained(folder)
    return folder


def test_a_folder_loads_by_the_printed_line_alone(saved, registered) -> None:
    loaded, (model, processor) = load_vlm(saved, device="cpu"), fourth.small()
    assert loaded.family == "smolvlm"
    original = LoadedVLM("o", fourth.adapter()(processor), model)
    games = [vlm.game(sample(1), target="yes") for vlm in (loaded, original)]
    chosen = np.random.default_rng(0).random((5, games[0].players.n)) < 0.5
    assert np.array_equal(*(game(chosen) for game in games))


def test_without_the_line_it_is_refused(saved) -> None:
    with pytest.raises(CheckpointError, match="'idefics3' model; the toolkit has adapters for"):
        load_vlm(saved)


@pytest.mark.parametrize("max_tiles", [1, 4, 9])
def test_tiles_are_bounded_and_recorded(saved, registered, max_tiles: int) -> None:
    vlm = load_vlm(saved, device="cpu", max_tiles=max_tiles)
    geometry = vlm.view(sample(1, SIZES["landscape"])).geometry
    assert geometry.n_players <= 4 * max_tiles
    assert geometry.columns == 2 * math.isqrt(max_tiles)
    assert vlm.record()["preprocessing"]["size"] == {"longest_edge": 64 * math.isqrt(max_tiles)}
    assert (geometry.n_tokens == geometry.n_players) == (max_tiles == 1)


def test_limits_that_it_does_not_have_are_refused(saved) -> None:
    for limits, message in ((ImageLimits(max_pixels=9), "max_tiles"), (ImageLimits(max_tiles=0), "at least 1")):
        with pytest.raises(ValueError, match=message):
            fourth.adapter().load_processor(str(saved), None, limits)
