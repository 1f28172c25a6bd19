"""Samples of several images: each has cells of its own, and nothing of one image depends on another's cells."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.subjects import FOURTH, at_once, make_subject, picture
from support.tiny_models import sharp_vlm, tiny_vlm

import toolkit
from toolkit.datasets.sample import Corners, Sample, Truth
from toolkit.datasets.sheet import boxes_on_sheet
from toolkit.explainers.shapley_interaction import ShapleyInteraction
from toolkit.explainers.tam import rank_gaussian, stages
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.partition import PlayersError
from toolkit.vlm.prompt import render
from toolkit.vlm.reference import plain_values
from toolkit.vlm.view import sample_key

FAMILIES = (
    "random-tiny-llava", "random-tiny-qwen2.5-vl", "random-tiny-internvl", "released-qwen2.5-vl", "released-internvl",
    "released-qwen3-vl", FOURTH,
)  # fmt: skip
SIZES = ((120, 120), (200, 120), (120, 180))
of_family = pytest.mark.parametrize("vlm", FAMILIES, indirect=True)


def sample(n_images: int = 2, seed: int = 0, question: str = "is there a red circle ?") -> Sample:
    images = [picture(SIZES[(seed + i) % 3], seed + i) for i in range(n_images)]
    return Sample("s", images[0], question, "answer yes or no", ("yes", "no"), further_images=tuple(images[1:]))


def some(game, seed: int, n: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((n, game.players.n)) < rng.random((n, 1))


@of_family
def test_all_players_equal_the_ordinary_forward(vlm: LoadedVLM) -> None:
    s = sample(3)
    inputs = vlm.adapter.processor(text=[render(vlm.adapter, s)[0]], images=list(s.images), return_tensors="pt")
    with torch.inference_mode():
        logits = vlm.model(**inputs).logits[0, -1]
    game = vlm.game(s, target="yes")
    everything = np.ones((1, game.players.n), dtype=bool)
    expected = float(logits.float().log_softmax(-1)[game.token_ids[0]].exp())
    assert game(everything)[0] == pytest.approx(expected, abs=1e-6)
    assert plain_values(game, everything)[0] == pytest.approx(expected, abs=1e-6)


@of_family
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n_images=st.sampled_from([2, 3]),
    baseline=st.sampled_from(["blur", "mean", "noise"]),
    tokens=st.sampled_from([1, 700, 5000]),
)
def test_the_engine_equals_the_plain_path(vlm: LoadedVLM, seed: int, n_images: int, baseline: str, tokens: int) -> None:
    game = vlm.game(sample(n_images, seed), target="no", baseline=baseline)
    chosen = some(game, seed)
    with at_once(vlm, tokens):
        fast = game(chosen)
    plain = plain_values(game, chosen)
    assert np.abs(fast - plain).max() <= 1e-5
    assert np.abs(np.log(fast) - np.log(plain)).max() <= 2e-4


@of_family
def test_a_cell_is_removed_from_its_own_image(vlm: LoadedVLM) -> None:
    s = sample(2)
    view = vlm.view(s)
    first, second = (image.geometry.n_players for image in view.images)
    assert view.players.n_image == first + second
    keep = np.ones((1, view.players.n_image), dtype=bool)
    keep[0, first + 1] = False
    (masked,) = view.masked(vlm.adapter, "noise", keep)
    own, other = (part[0] for part in view.split(masked[None]))
    assert torch.equal(own, view.images[0].pixels)
    changed = (other != view.images[1].pixels) & (view.images[1].baseline(vlm.adapter, "noise") != 0)
    owners = view.images[1].player_of_pixel.expand(other.shape)
    assert changed.any()
    assert owners[changed].unique().tolist() == [1]
    whole = (masked != view.pixels) & (view.baseline(vlm.adapter, "noise") != 0)
    assert view.player_of_pixel.expand(masked.shape)[whole].unique().tolist() == [first + 1]


def test_the_joined_pixels_of_several_images_count_as_memory() -> None:
    view = tiny_vlm("llava").view(sample(2))
    held = sum(image.nbytes for image in view.images) + view.pixels.nbytes
    assert view.nbytes == held
    owners = view.player_of_pixel.nbytes
    assert view.nbytes == held + owners
    one = tiny_vlm("llava").view(sample(1))
    assert one.pixels is one.images[0].pixels
    assert one.nbytes == one.images[0].nbytes


@of_family
def test_an_image_is_encoded_once_whatever_happens_to_the_others(vlm: LoadedVLM) -> None:
    s = sample(2)
    game = vlm.game(s, target="yes")
    first, n_image = game.view.images[0].geometry.n_players, game.players.n_image
    vlm.engine.forget()  # what the answer needed
    chosen = np.ones((4, game.players.n), dtype=bool)
    chosen[[1, 2, 3], [first, first + 1, n_image - 1]] = False
    before = vlm.engine.counters.images
    game(chosen)
    assert vlm.engine.counters.images - before == 5  # the first image, and the second in four states
    alone = vlm.game(Sample("alone", s.image, s.question, s.instruction, s.choices), target="yes")
    before = vlm.engine.counters.images
    alone(np.ones((1, alone.players.n), dtype=bool))
    assert vlm.engine.counters.images == before


@of_family
def test_image_tokens_follow_their_images_when_these_are_swapped(vlm: LoadedVLM) -> None:
    s = sample(2)
    swapped = replace(s, image=s.further_images[0], further_images=(s.image,))
    game, other = vlm.game(s, target="yes"), vlm.game(swapped, target="yes")
    first = game.view.images[0].geometry.n_players
    second = game.players.n_image - first
    (row,) = some(game, 3, 1)
    cells = row[: first + second]
    back = np.concatenate([cells[first:], cells[:first], row[first + second :]])
    pixels = game.view.split(game.view.masked(vlm.adapter, "blur", cells[None]))
    others = other.view.split(other.view.masked(vlm.adapter, "blur", back[None, : first + second]))
    assert torch.equal(pixels[0], others[1])
    assert torch.equal(pixels[1], others[0])
    game(row[None])
    before = vlm.engine.counters.images
    other(back[None])
    assert vlm.engine.counters.images == before
    assert sample_key(s) != sample_key(swapped)


def test_players_are_named_after_their_image_and_lie_in_it() -> None:
    vlm, s = tiny_vlm("llava"), sample(2)
    for players in ("tokens", "words", "grid:2x3", "grid:1x1"):
        own = vlm.with_players(players)
        found, regions = own.players(s), own.regions(s)
        n = found.n_image // 2
        assert found.labels[0] == "image 1: row 1, column 1"
        assert found.labels[n] == "image 2: row 1, column 1"
        assert found.labels[found.n_image :] == ("is", "there", "a", "red", "circle", "?")
        for box, some_regions in zip(boxes_on_sheet(s.images), (regions[:n], regions[n:]), strict=True):
            assert (some_regions[:, :2] >= box[:2] - 1e-12).all()
            assert (some_regions[:, 2:] <= box[2:] + 1e-12).all()
    assert own.players(s).n_image == 2
    with pytest.raises(PlayersError, match="finer than the 1. image's 6 x 6 tokens"):
        vlm.with_players("grid:7x1").players(s)


def test_segments_are_each_images_own() -> None:
    pytest.importorskip("skimage")
    found = tiny_vlm("llava").with_players("segments:6").partition(sample(2))
    names = found.players.labels[: found.players.n_image]
    assert names[0] == "image 1: segment 1"
    assert "image 2: segment 1" in names
    cells = found.player_of[: len(found.token_regions)]
    assert not set(cells[:36]) & set(cells[36:])


def test_a_grouped_game_is_that_of_the_tokens() -> None:
    vlm, s = tiny_vlm("internvl"), sample(2)
    grouped = vlm.game(s, target="yes", players="grid:2x2")
    (chosen,) = some(grouped, 1, 1)
    tokens = grouped.partition.expand(chosen[None])
    assert grouped.players.n_image == 8
    np.testing.assert_allclose(grouped(chosen[None]), plain_values(vlm.game(s, target="yes"), tokens), atol=1e-5)


def test_a_masked_sample_is_one_sheet() -> None:
    vlm, s = tiny_vlm("llava"), sample(2)
    everything = np.ones(vlm.players(s).n, dtype=bool)
    seen = vlm.masked_image(s, everything)
    everything[36] = False
    fewer = vlm.masked_image(s, everything)
    half = seen.width // 2
    assert seen.size == fewer.size == (2 * 384 + 16, 32 + 384)
    left, right = (0, 0, half, seen.height), (half, 0, seen.width, seen.height)
    assert seen.crop(left).tobytes() == fewer.crop(left).tobytes()
    assert seen.crop(right).tobytes() != fewer.crop(right).tobytes()


def test_one_image_is_as_it_was() -> None:
    """Keys and names of a sample of one image, as they were before a sample could have several."""
    one = toolkit.load_samples("scenes-existence", n=1)[0]
    assert one.sheet is one.image
    assert boxes_on_sheet(one.images).tolist() == [[0.0, 0.0, 1.0, 1.0]]
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    assert one.image_digest == DIGEST
    assert sample_key(vlm.asked(one)) == KEY
    assert vlm.view(one).digest(vlm.adapter, "blur") == VIEW
    assert vlm.players(one).labels[0] == "row 1, column 1"


def test_the_digest_is_of_all_images_and_of_their_order() -> None:
    s = sample(3)
    others = [
        sample(2),
        replace(s, further_images=s.further_images[::-1]),
        replace(s, further_images=(s.further_images[0], picture((9, 9), 9))),
    ]
    assert len({s.image_digest, *(other.image_digest for other in others)}) == 4
    assert replace(s).image_digest == s.image_digest == s.with_instruction("Look.").image_digest
    before = s.image_digest
    s.further_images[1].putpixel((3, 3), (1, 2, 3))
    assert s.image_digest != before


DIGEST = "250daed834032d17e650a63cdb262578a3b93546fd4f73bffd75ac9c0c53e4cd"
KEY = "64d259766fed82a8fcda894d825a27dfc80bf81d9c6ff49dae50f05a615fdd83"
VIEW = "04f0cffa06e8910ce3bcd85b265a1525f70549945a779ca12a0097ebd85eca6f"
TRUTH = Truth("synergy", (), (), Corners(1, 0, 0, 0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"further_images": picture()}, "further_images must be a list or a tuple of PIL images, got <PIL"),
        ({"further_images": ("a.png",)}, "further_images must be a list or a tuple of PIL images, got .'a.png'"),
        ({"truth": TRUTH}, "a truth is about one image; leave it out, or further_images"),
    ],
)
def test_what_is_no_list_of_images_is_refused(fields, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(sample(2), **fields)


def test_more_images_than_the_context_carries_are_refused() -> None:
    vlm = tiny_vlm("llava")
    many = replace(sample(2), further_images=(picture(),) * 60)
    with pytest.raises(ValueError, match=r"of 61 images, 6 of the question\); .* 2048: take fewer or smaller images"):
        vlm.game(many)


@pytest.mark.parametrize(
    ("family", "cure"), [("llava", "a smaller image"), ("qwen2.5-vl", "a smaller image or max_pixels")]
)
def test_an_image_beyond_the_context_is_what_has_to_be_smaller(monkeypatch, family: str, cure: str) -> None:
    vlm = sharp_vlm(family)
    monkeypatch.setattr(vlm.model.config.text_config, "max_position_embeddings", 30)
    with pytest.raises(ValueError, match=rf"36 of the image, 6 of the question\); .* context is 30: take {cure}$"):
        vlm.game(replace(sample(2), further_images=()))


@pytest.mark.parametrize("family", ["gemma3", "smolvlm", "llava-onevision", "mistral3"])
def test_other_families_are_refused_by_name(family: str) -> None:
    vlm = make_subject(f"released-{family}")
    with pytest.raises(ValueError, match="has 2 images, .* families that take several: llava, qwen2.5-vl, internvl"):
        vlm.players(sample(2))


def test_a_template_with_one_place_is_refused() -> None:
    vlm = make_subject("random-tiny-llava")
    mark = vlm.adapter.mark()
    vlm.adapter.processor.chat_template = f"USER: {mark} {{{{ messages[0]['content'][-1]['text'] }}}} ASSISTANT:"
    vlm.view(sample(1))
    with pytest.raises(ValueError, match="has 1 places for the sample's 2 images"):
        vlm.view(sample(2))


def test_a_processor_that_treats_images_together_is_refused(monkeypatch) -> None:
    vlm = make_subject("random-tiny-internvl")
    own = type(vlm.adapter).image_settings
    monkeypatch.setattr(type(vlm.adapter), "image_settings", lambda self: own(self) | {"do_normalize": False})
    with pytest.raises(ValueError, match="makes pixel_values .* of 2 images together and .* of each alone"):
        vlm.view(sample(2))


def test_a_server_is_asked_about_one_image() -> None:
    from toolkit.vlm.server.server_vlm import ServerVLM

    vlm = object.__new__(ServerVLM)
    with pytest.raises(ValueError, match="has 2 images, and a server is asked about one here; load the model itself"):
        vlm.image(sample(2))


EXPLAINERS = (
    "occlusion", "input-x-gradient", "integrated-gradients", "rollout", "grad-rollout", "attn-lrp", "grad-cam",
    "attention-last", "random",
)  # fmt: skip


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_explainers_score_the_cells_of_every_image(explainer: str) -> None:
    vlm, s = tiny_vlm("internvl"), sample(2)
    found = toolkit.explain(explainer, vlm, s, target="yes")
    assert found.players == vlm.players(s)
    n = found.players.n_image // 2
    for cells in (found.scores[:n], found.scores[n : 2 * n]):
        assert np.abs(cells).max() > 0


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl", "internvl"])
def test_gradients_are_those_of_each_images_own_pixels(family: str) -> None:
    """The slope of the score along one cell's pixels, by a finite difference that knows no map of cells."""
    vlm, s = tiny_vlm(family), sample(2)
    box = vlm.white_box(s, target="yes")
    found = toolkit.explain("input-x-gradient", vlm, s, target="yes").scores
    images = box._game.view.images
    sizes = [len(image.pixels) for image in images]
    for number, image in enumerate(images):
        cell = image.geometry.n_players - 1
        own = torch.zeros_like(box.pixels, dtype=torch.bool)
        own[0, sum(sizes[:number]) : sum(sizes[: number + 1])] = image.player_of_pixel == cell
        cell += images[0].geometry.n_players * number
        step = 1e-2 * torch.where(own, box.pixels, torch.zeros_like(box.pixels))
        with torch.no_grad():
            rise = box.score(box.pixels + step, box.question) - box.score(box.pixels - step, box.question)
        assert float(rise) / 2e-2 == pytest.approx(found[cell], rel=0.05, abs=2e-5)


@of_family
def test_rows_of_several_images_do_not_mix(vlm: LoadedVLM) -> None:
    """A batch of the sample and of its baseline scores as each alone, though their images go through one call."""
    box = vlm.white_box(sample(3), target="yes")
    pixels = torch.cat([box.pixels, box.baseline_pixels, box.pixels])
    with torch.no_grad():
        together = box.score(pixels, box.question.expand(3, -1, -1))
        alone = torch.cat([box.score(one[None], box.question) for one in pixels])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert abs(float(alone[0] - alone[1])) > 1e-5


@of_family
def test_every_player_has_a_token_of_its_own_image(vlm: LoadedVLM) -> None:
    """Tokens of the second image stand behind all of the first, one for each cell."""
    box = vlm.white_box(sample(2), target="yes")
    positions, prompt = box.image_positions.tolist(), box._game.view.prompt
    assert len(set(positions)) == len(positions) == box.players.n_image
    first, second = (image.geometry for image in box._game.view.images)
    bound = prompt.image_positions[first.n_tokens]
    assert max(positions[: first.n_players]) < bound <= min(positions[first.n_players :])
    assert set(positions) <= set(prompt.image_positions)
    assert second.n_tokens == len(prompt.image_positions) - first.n_tokens


def test_shapley_interaction_is_that_of_all_coalitions() -> None:
    """Two images and six words: a second computation from the definition, over all 256 coalitions."""
    vlm, s = tiny_vlm("llava").with_players("grid:1x1"), sample(2)
    found = toolkit.explain(ShapleyInteraction(per_unknown=10), vlm, s, target="yes")
    assert isinstance(found, toolkit.InteractionAttribution)
    assert found.pairs.shape == (2, 6)
    everything = np.array(list(itertools.product([False, True], repeat=8)))
    values = dict(zip(map(tuple, everything.tolist()), vlm.game(s, target="yes")(everything), strict=True))
    for i, j in ((0, 2), (1, 4)):
        total = 0.0
        for others in itertools.product([False, True], repeat=6):
            signs = [
                (a, b, (1 if a == b else -1) * values[*others[:i], a, *others[i : j - 1], b, *others[j - 1 :]])
                for a, b in itertools.product([False, True], repeat=2)
            ]
            total += sum(value for *_, value in signs) / (7 * math.comb(6, sum(others)))
        assert found.pairs[i, j - 2] == pytest.approx(total, abs=1e-7)  # a regression


def test_tam_filters_each_image_by_itself() -> None:
    """A cell at the border of the first image is no neighbour of the second's."""
    box = tiny_vlm("qwen2.5-vl").white_box(sample(2), target="yes")
    found = stages(box, box.grids)
    first = box.grids[0][0] * box.grids[0][1]
    assert len({*box.grids}) == 2
    for cells, shape in zip((slice(first), slice(first, None)), box.grids, strict=True):
        alone = rank_gaussian(found.causal[cells].reshape(shape), 3).ravel()
        np.testing.assert_array_equal(found.filtered[cells], alone)
    scores = toolkit.explain("tam", tiny_vlm("qwen2.5-vl"), sample(2), target="yes").scores
    np.testing.assert_array_equal(scores[: box.players.n_image], found.filtered)


def test_what_is_about_one_image_refuses_several_by_a_sentence() -> None:
    with pytest.raises(ValueError, match="this is defined for one image, and the sample has 2; ask about one of them"):
        _ = tiny_vlm("llava").view(sample(2)).geometry


def test_what_is_saved_of_several_images_is_what_was_found(tmp_path) -> None:
    vlm, s = tiny_vlm("internvl").with_players("grid:1x2"), sample(2)
    found = toolkit.explain("occlusion", vlm, s, target="yes")
    toolkit.save(found, tmp_path / "found.npz")
    again = toolkit.load(tmp_path / "found.npz")
    assert again.players == found.players
    np.testing.assert_array_equal(again.scores, found.scores)
    assert toolkit.synergistic_faithfulness(vlm.game(s, target="yes"), again).value is not None


def test_measure_scores_samples_of_one_and_of_several_images() -> None:
    vlm = tiny_vlm("llava").with_players("grid:1x2")
    rows = toolkit.measure(vlm, [replace(sample(1), id="one"), sample(2)], ["occlusion"], ["f-syn"])
    assert rows["value"].notna().all()
    assert list(rows["sample"]) == ["one", "s"]
