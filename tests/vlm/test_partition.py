"""Players that a person can use: every token in one player, words whole, grids and segments of the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import toolkit
from toolkit.vlm.adapters.adapter_base import grid_regions
from toolkit.vlm.partition import ImageGrid, PlayersError, check_players, make_partition, segments_of, words_of

QUESTION = "Is a red circle there?"
SPANS = [(0, 2), (2, 4), (4, 8), (8, 11), (11, 15), (15, 21), (21, 22)]


def partition(name: str, rows: int = 24, columns: int = 24, image: Image.Image | None = None):
    return make_partition(
        name,
        question=QUESTION,
        spans=SPANS,
        images=[ImageGrid(rows, columns, grid_regions(rows, columns), image or Image.new("RGB", (60, 40)))],
    )


@pytest.mark.parametrize(
    ("question", "pieces", "words"),
    [
        ("Is it 42?", ["Is", " it", " ", "4", "2", "?"], ["Is", "it", "42", "?"]),  # a blank piece before each digit
        ("unbelievable!", ["un", "belie", "vable", "!"], ["unbelievable", "!"]),
        ("A tree.\n", ["A", " tree", ".\n"], ["A", "tree", "."]),
        ("so?!", ["so", "?!"], ["so", "?!"]),  # one token spans two signs
        ("don't", ["don", "'t"], ["don", "'t"]),
        ("这只猫", ["这", "只猫"], ["这", "只猫"]),
        ("猫?", ["猫", "?"], ["猫", "?"]),
        ("a  b  ", ["a", " ", " b", " ", " "], ["a", "b"]),
        ("क्या", ["क", "्य", "ा"], ["क्या"]),  # vowel signs stay with their letter
        ("e\u0301t\u00e9", ["e", "\u0301t", "\u00e9"], ["e\u0301t\u00e9"]),
        (
            "\U0001f469\u200d\U0001f467?",
            ["\U0001f469", "\u200d", "\U0001f467", "?"],
            ["\U0001f469\u200d\U0001f467", "?"],
        ),
        (
            "a\U0001f44d\U0001f3fd",
            ["a", "\U0001f44d", "\U0001f3fd"],
            ["a", "\U0001f44d\U0001f3fd"],
        ),  # a thumb with its skin
        (
            "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
            [*"\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7"],
            ["\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7"],
        ),  # two flags
        ("(A) red", ["(A", ")", " red"], ["(A", ")", "red"]),
    ],
)
def test_tokens_become_words(question: str, pieces: list[str], words: list[str]) -> None:
    ends = np.cumsum([len(piece) for piece in pieces])
    spans = [(int(end) - len(piece), int(end)) for piece, end in zip(pieces, ends, strict=True)]
    assert question == "".join(pieces)
    word = words_of(question, spans)
    found = ["".join(pieces[i] for i in np.flatnonzero(word == w)).strip() for w in range(max(word) + 1)]
    assert found == words


def test_the_bytes_of_one_character_are_one_player() -> None:
    """A byte token's span is the whole character."""
    assert words_of("is 猫 ?", [(0, 2), (2, 4), (3, 4), (3, 4), (5, 6)]).tolist() == [0, 1, 1, 1, 2]


@given(st.text(min_size=1, max_size=30), st.data())
def test_words_are_runs_of_tokens_and_no_character_is_split(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1)))) if len(text) > 1 else []
    spans = list(zip([0, *cuts], [*cuts, len(text)], strict=True))
    word = words_of(text, spans)
    assert len(word) == len(spans)
    assert word[0] == 0
    assert set(np.diff(word).tolist()) <= {0, 1}
    owner = np.repeat(word, [b - a for a, b in spans])
    runs = [
        i for i in range(1, len(text)) if text[i - 1].isascii() and text[i].isascii() and text[i - 1 : i + 1].isalpha()
    ]
    assert all(owner[i - 1] == owner[i] for i in runs)


@pytest.mark.parametrize(("name", "n_image"), [("auto", 144), ("words", 576), ("grid:2x3", 6), ("grid:24x24", 576)])
def test_every_token_belongs_to_one_player(name: str, n_image: int) -> None:
    found = partition(name)
    assert (found.players.n_image, found.players.n_text) == (n_image, 6)
    assert found.players.labels[n_image:] == ("Is", "a", "red", "circle", "there", "?")
    assert [QUESTION[a:b] for a, b in found.spans] == list(found.players.labels[n_image:])
    assert found.groups().sum(axis=0).tolist() == [1] * (576 + 7)
    assert set(found.player_of.tolist()) == set(range(found.players.n))
    assert not found.is_trivial


def test_tokens_are_left_alone_and_a_small_image_keeps_its_cells() -> None:
    assert partition("tokens").is_trivial
    assert partition("tokens").players.labels[-1] == "?"
    small = partition("auto", 6, 6)
    assert (small.name, small.players.n_image) == ("grid:6x6", 36)
    assert partition("auto", 17, 9).name == "grid:12x9"
    np.testing.assert_array_equal(small.regions, grid_regions(6, 6))


def test_a_cell_of_the_grid_is_the_box_of_its_tokens() -> None:
    found = partition("grid:2x3")
    np.testing.assert_allclose(found.regions, grid_regions(2, 3), atol=1e-12)
    assert found.players.labels[5] == "row 2, column 3"
    uneven = partition("grid:2x2", 3, 5)
    np.testing.assert_allclose(uneven.regions[0], [0, 0, 3 / 5, 2 / 3])


def test_sums_are_kept_and_coalitions_are_unions() -> None:
    found = partition("grid:3x3")
    rng = np.random.default_rng(0)
    scores = rng.normal(size=583)
    assert found.merge(scores).sum() == pytest.approx(scores.sum())
    np.testing.assert_allclose(found.merge(scores), found.groups() @ scores, atol=1e-12)
    coalitions = rng.random((5, 15)) < 0.5
    expanded = found.expand(coalitions)
    assert expanded.dtype == np.bool_
    np.testing.assert_array_equal(expanded, coalitions @ found.groups())
    painted, cells = found.painted(np.arange(9.0))
    np.testing.assert_array_equal(cells, grid_regions(24, 24))
    np.testing.assert_array_equal(painted, found.player_of[:576])


def two_halves() -> Image.Image:
    pixels = np.zeros((60, 80, 3), dtype=np.uint8)
    pixels[:, 40:] = 255
    return Image.fromarray(pixels)


def test_segments_follow_the_picture() -> None:
    cell = segments_of(two_halves(), grid_regions(6, 8), 2).reshape(6, 8)
    assert len(set(cell[:, :4].ravel())) == len(set(cell[:, 4:].ravel())) == 1
    assert cell[0, 0] != cell[0, 7]
    found = partition("segments:2", 6, 8, two_halves())
    assert found.players.labels[:2] == ("segment 1", "segment 2")
    np.testing.assert_allclose(found.regions, [[0, 0, 0.5, 1], [0.5, 0, 1, 1]])


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (1, 1), (4000, 3000)])
def test_segments_of_odd_pictures(size: tuple[int, int]) -> None:
    cell = segments_of(Image.new("RGB", size, "red"), grid_regions(4, 4), 4)
    assert set(cell.tolist()) == set(range(cell.max() + 1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pixels", "unknown players 'pixels'; expected 'tokens', 'words', 'grid:RxC'"),
        ("grid:0x3", "unknown players 'grid:0x3'"),
        ("grid:12", "unknown players 'grid:12'"),
        ("segments:0", "unknown players"),
        (None, "unknown players None"),
        ("grid:25x3", r"finer than the image's 24 x 24 tokens; at most 'grid:24x24'"),
        ("grid:3x25", "finer than the image's 24 x 24 tokens"),
        ("segments:577", "the image has 576 cells; at most 'segments:576'"),
    ],
)
def test_players_that_cannot_be_made_are_refused(name: str | None, message: str) -> None:
    with pytest.raises(PlayersError, match=message):
        partition(name)


def test_segments_that_a_picture_does_not_have_are_refused() -> None:
    with pytest.raises(PlayersError, match=r"'segments:30': the image has \d+ segments"):
        segments_of(Image.new("RGB", (2, 2)), grid_regions(6, 6), 30)


def test_the_embedded_models_tokens_are_words_and_their_cells_a_grid() -> None:
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    for name in ("scenes-existence", "scenes-choice", "scenes-mixed", "scenes-everyday"):
        for sample in toolkit.load_samples(name, n=20):
            view = vlm.view(sample)
            found = make_partition(
                "auto",
                question=sample.question,
                spans=view.prompt.spans,
                images=[ImageGrid(6, 6, view.geometry.regions, sample.image)],
            )
            assert found.is_trivial
            assert found.players == view.players
    assert check_players("auto") == "auto"
