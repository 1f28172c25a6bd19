"""One map from players to pixels, on released processors and several sizes, against painted pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from support.repainting import owner, paint, some_players
from support.subjects import MODEL_TYPE, SIZES, picture, processor_of, released

from toolkit.datasets.sample import Sample
from toolkit.reporting.cells_map import cells_map
from toolkit.vlm.adapters.adapter_base import Adapter, Geometry
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.engine.decoder import encode_images
from toolkit.vlm.model import LoadedVLM

FAMILIES = tuple(MODEL_TYPE)
EXACT = {
    "llava": (336, 336), "qwen2.5-vl": (28 * 9, 28 * 5), "internvl": (448 * 2, 448), "qwen3-vl": (32 * 9, 32 * 8),
    "llava-onevision": (768, 768), "idefics3": (2048, 1024), "smolvlm": (1024, 2048),
    "gemma3": (896, 896), "mistral3": (28 * 9, 28 * 5), "pixtral": (16 * 9, 16 * 5),
    "glm4.1v": (28 * 9, 28 * 5), "glm4.6v": (28 * 9, 28 * 5), "qwen3-vl-moe": (32 * 9, 32 * 8),
}  # fmt: skip
"""Sizes that the released processors do not resize (small copies of the whole apart)."""

TILES = {**dict.fromkeys(("internvl", "idefics3", "smolvlm"), slice(0, -1)), "llava-onevision": slice(1, None)}
"""Where several tiles lie in the pixel tensor of a family that puts a small copy of the whole before or behind them."""


def tiles(family: str, entries: np.ndarray) -> np.ndarray:
    """Entries of the pixel tensor without those of the small copy, in which a cell is two or three pixels."""
    return entries[TILES.get(family, slice(None))] if len(entries) > 1 else entries


class Seen:
    """A picture through one family's released processor."""

    def __init__(self, family: str, image: Image.Image) -> None:
        self.adapter = adapter_class(MODEL_TYPE[family])(processor_of(family))
        self.image = image
        self.inputs = self.process(image)
        self.geometry = self.adapter.geometry(image, self.inputs)
        self.pixels = self.adapter.pixels(self.inputs)

    def process(self, image: Image.Image):
        return self.adapter.processor.image_processor(image, return_tensors="pt", **self.adapter.image_settings())

    def change(self, player: int) -> np.ndarray:
        """How much each entry of the pixel tensor changes when the player's region of the picture is repainted."""
        painted = paint(self.image, self.geometry.regions[player])
        return (self.adapter.pixels(self.process(painted)) - self.pixels).abs().numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_repainting_a_region_changes_its_player(family: str, size: str) -> None:
    seen = Seen(family, picture(SIZES[size], 3))
    g = seen.geometry
    assert g.player_of_pixel.shape == tuple(seen.pixels.shape)
    owners = np.unique(g.player_of_pixel)
    assert np.array_equal(owners[owners >= 0], np.arange(g.n_players))
    for player in some_players(g)[:: 2 if family == "internvl" else 1]:
        change = seen.change(player)
        assert owner(change, g.player_of_pixel, g.n_players) == player
        change, mine = tiles(family, change), tiles(family, g.player_of_pixel) == player
        assert change[mine].sum() > 0.7 * change.sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_without_resizing_exactly_the_players_entries_change(family: str) -> None:
    seen = Seen(family, picture(EXACT[family], 4))
    for player in some_players(seen.geometry):
        changed = tiles(family, seen.change(player)) > 0
        assert np.array_equal(changed, tiles(family, seen.geometry.player_of_pixel == player))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_model_sees_is_the_picture(family: str) -> None:
    seen = Seen(family, picture(EXACT[family], 5))
    shown = np.asarray(seen.adapter.to_image(seen.pixels, seen.geometry), dtype=int)
    assert np.abs(shown - np.asarray(seen.image, dtype=int)).max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_regions_tile_what_is_seen(family: str, size: str) -> None:
    width, height = SIZES[size]
    regions = Seen(family, picture(SIZES[size])).geometry.regions
    areas = (regions[:, 2] - regions[:, 0]) * (regions[:, 3] - regions[:, 1])
    visible = min(width, height) / max(width, height) if family == "llava" else 1.0
    assert areas.sum() == pytest.approx(visible, rel=0.01)
    assert areas.min() > 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_drawing_a_player_covers_exactly_its_region(family: str, size: str) -> None:
    """On the original picture, to the pixel: what changes when the player's score is drawn is where it lies."""
    image = picture(SIZES[size], 9)
    g = Seen(family, image).geometry
    nothing = np.asarray(cells_map(image, np.zeros(g.n_players), g.regions), dtype=int)
    for player in some_players(g)[::2]:
        scores = np.zeros(g.n_players)
        scores[player] = 1.0
        drawn = np.asarray(cells_map(image, scores, g.regions), dtype=int)
        at = np.argwhere(np.abs(drawn - nothing).sum(axis=-1) > 0)
        x0, y0, x1, y1 = g.regions[player] * [*image.size, *image.size]
        assert np.abs(at.min(axis=0) - [y0, x0]).max() <= 1
        assert np.abs(at.max(axis=0) + 1 - [y1, x1]).max() <= 1
        box = (at.max(axis=0) + 1 - at.min(axis=0)).prod()
        assert len(at) > 0.7 * box - 1  # the grey under it may be the map's own colour here and there


def test_llava_undoes_the_crop() -> None:
    regions = Seen("llava", picture((640, 480))).geometry.regions
    np.testing.assert_allclose(regions[0], [80 / 640, 0, 100 / 640, 20 / 480], atol=1e-3)
    np.testing.assert_allclose(regions[-1], [540 / 640, 460 / 480, 560 / 640, 1], atol=1e-3)


def test_grids_of_the_four_sizes() -> None:
    shapes = {
        (family, size): (lambda g: (g.rows, g.columns))(Seen(family, picture(SIZES[size])).geometry)
        for family in ("llava", "qwen2.5-vl", "internvl")
        for size in SIZES
    }
    assert {shapes["llava", size] for size in SIZES} == {(24, 24)}
    assert shapes["qwen2.5-vl", "square"] == (17, 17)
    assert shapes["qwen2.5-vl", "portrait"] == (23, 17)
    assert shapes["qwen2.5-vl", "landscape"] == (17, 23)
    assert shapes["qwen2.5-vl", "panorama"] == (4, 36)
    assert shapes["internvl", "portrait"] == (64, 48)
    assert shapes["internvl", "landscape"] == (48, 64)
    assert shapes["internvl", "panorama"] == (16, 160)


def raster_rows(seen: Seen) -> np.ndarray:
    """Qwen's rows read as if patches came line by line over the picture, which they do not."""
    merge = seen.adapter.processor.image_processor.merge_size
    row, column = np.divmod(np.arange(len(seen.pixels)), seen.geometry.columns * merge)
    block = (row // merge) * seen.geometry.columns + column // merge
    return np.broadcast_to(block[:, None], seen.pixels.shape).astype(np.int32)


def reshaped(seen: Seen) -> np.ndarray:
    """An upright map of the picture, reshaped to the pixel tensor without the transpose that its layout needs."""
    g = seen.geometry
    height, width = seen.adapter.canvas(seen.pixels, g).shape[1:]
    cell = np.arange(g.n_players, dtype=np.int32).reshape(g.rows, g.columns)
    upright = np.kron(cell, np.ones((height // g.rows, width // g.columns), dtype=np.int32))
    if seen.pixels.ndim == 2:
        frames = seen.adapter.processor.image_processor.temporal_patch_size
        return np.broadcast_to(upright, (frames, 3, height, width)).reshape(seen.pixels.shape)
    tiles = np.broadcast_to(upright, (3, height, width)).reshape(-1, *seen.pixels.shape[1:])
    return np.concatenate([tiles, g.player_of_pixel[len(tiles) :]])


@pytest.mark.parametrize(
    ("family", "size", "layout"),
    [
        ("qwen2.5-vl", (280, 196), reshaped),
        ("qwen2.5-vl", (280, 196), raster_rows),
        ("internvl", (896, 448), reshaped),
        ("internvl", (1344, 896), reshaped),
    ],
)
def test_a_reshape_where_a_transpose_is_needed_is_caught(family: str, size: tuple[int, int], layout) -> None:
    """The layouts of the paper's code: the masked entries have little or nothing to do with the intended cell."""
    seen = Seen(family, picture(size, 6))
    g, wrong = seen.geometry, layout(seen)
    assert wrong.shape == g.player_of_pixel.shape
    own = slice(None) if family == "qwen2.5-vl" else slice(0, -1)  # without the small copy
    right, mistaken, correlation = [], [], []
    for player in some_players(g)[1:-1]:  # the first and the last entries are right in every layout
        change, mine, theirs = seen.change(player)[own], (g.player_of_pixel == player)[own], (wrong == player)[own]
        right.append(change[mine].sum() / change.sum())
        mistaken.append(change[theirs].sum() / change.sum())
        correlation.append(np.corrcoef(mine.ravel(), theirs.ravel())[0, 1])
    assert min(right) > 0.7
    assert np.mean(mistaken) < 0.35
    assert np.mean(correlation) < 0.35


def cell(adapter: Adapter, g: Geometry, player: int, shape: tuple[int, int]) -> np.ndarray:
    """Bool (height, width): where a player lies in what the model sees: by equal cells, where a family has such."""
    if adapter.family == "llava-onevision":
        return (adapter.canvas(torch.tensor(g.player_of_pixel), g) == player).numpy()[0]
    row, column = divmod(player, g.columns)
    down, across = shape[0] // g.rows, shape[1] // g.columns
    found = np.zeros(shape, dtype=bool)
    found[row * down : (row + 1) * down, column * across : (column + 1) * across] = True
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_masking_a_player_changes_its_pixels_and_its_drawing(family: str, size: str) -> None:
    model, processor = released(family)
    vlm = LoadedVLM("r", adapter_class(MODEL_TYPE[family])(processor), model)
    s = Sample("1", picture(SIZES[size], 7), "is there a red circle?", "answer", ("yes", "no"))
    view = vlm.view(s)
    whole = vlm.masked_image(s, np.ones(view.players.n, dtype=bool), baseline="noise")
    for player in some_players(view.geometry):
        keep = np.ones(view.players.n, dtype=bool)
        keep[player] = False
        masked = view.masked(vlm.adapter, "noise", keep[None, : view.players.n_image])[0]
        owned = torch.from_numpy(view.geometry.player_of_pixel == player)
        removed = view.baseline(vlm.adapter, "noise")
        assert torch.equal(masked, torch.where(owned, removed, view.pixels))
        drawn = np.asarray(vlm.masked_image(s, keep, baseline="noise"), dtype=int) - np.asarray(whole, dtype=int)
        inside = drawn[cell(vlm.adapter, view.geometry, player, drawn.shape[:2])]
        assert np.abs(inside).sum() == np.abs(drawn).sum() > 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_each_player_feeds_its_own_image_token(family: str, size: str) -> None:
    """With a vision tower without attention, a player's pixels reach its own token and no other tile token."""
    model, processor = released(family, vision_layers=0)
    vlm = LoadedVLM("r", adapter_class(MODEL_TYPE[family])(processor), model)
    view = vlm.view(Sample("1", picture(SIZES[size], 8), "is there a red circle?", "", ("yes", "no")))
    g = view.geometry
    players = some_players(g)
    keep = np.ones((len(players) + 1, g.n_players), dtype=bool)
    keep[np.arange(len(players)), players] = False
    pixels = view.masked(vlm.adapter, "noise", keep)
    with torch.inference_mode():
        inputs = vlm.adapter.pixel_inputs(pixels, g)
        tokens = encode_images(model, inputs, len(pixels))
    assert tokens.shape[1] == g.n_tokens == len(view.prompt.image_positions)
    for i, player in enumerate(players):
        changed = (tokens[i] - tokens[-1]).abs().sum(-1) > 1e-6
        changed = set(changed.nonzero().flatten().tolist())
        assert changed & set(g.token_of_player.tolist()) == {int(g.token_of_player[player])}
