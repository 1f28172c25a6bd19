import numpy as np
import pytest
from support.fakes import EVIDENCE_CELL, EVIDENCE_WORDS

from toolkit.widgets import BeatTheExplainer
from toolkit.widgets.beat import YOU


@pytest.fixture
def game(models, samples):
    return BeatTheExplainer(models["grounded"], samples, ("oracle", "random", "anti-oracle"), n_cells=1, n_words=2)


def choose(game, cell, words=EVIDENCE_WORDS):
    with game.picker.together():
        game.picker.buttons[cell].value = True
        for word in words:
            game.picker.buttons[36 + word].value = True


def test_the_evidence_ties_with_the_oracle(game):
    choose(game, EVIDENCE_CELL)
    game.compare.click()
    board = {entry.name: entry for entry in game.entries}
    you, oracle = board[YOU], board["oracle"]
    assert (you.insertion, you.deletion, you.synergy) == (oracle.insertion, oracle.deletion, oracle.synergy)
    assert you.synergy == pytest.approx(0.45)
    assert board["anti-oracle"].synergy == pytest.approx(0)
    assert "1 of 4" in game.note.value
    assert "&gt; you" in game.board.value
    assert you.chosen == oracle.chosen != board["anti-oracle"].chosen
    assert oracle.chosen in game.board.value
    assert not any(" " in label for label in oracle.chosen.split("; "))


def test_a_wrong_cell_loses(game):
    choose(game, 0)
    game.play()
    assert game.entries[0].name == "oracle"
    assert next(e for e in game.entries if e.name == YOU).synergy == pytest.approx(0)


def test_too_much_or_too_little_is_refused(game):
    game.play()
    assert "exactly 1 cell and 2 words" in game.note.value
    assert game.entries == []
    choose(game, 3)
    game.picker.buttons[4].value = True
    game.play()
    assert game.entries == []


def test_counting_clearing_and_changing_the_question(game):
    choose(game, EVIDENCE_CELL)
    assert "1 cell of 1 and 2 words of 2" in game.note.value
    game.play()
    game.clear.click()
    assert not game.picker.chosen.any()
    assert game.entries == []
    before = game.picker.image.value
    game.sample.value = 1
    assert game.picker.image.value != before


def test_explainers_run_once_per_question(game, models):
    choose(game, EVIDENCE_CELL)
    game.play()
    asked = models["grounded"].n_games
    game.play()
    assert models["grounded"].n_games == asked


def test_static_shows_the_scoreboard_once_there_is_one(game):
    assert "<table" not in game.static()
    choose(game, EVIDENCE_CELL)
    game.play()
    page = game.static()
    assert page.count("<img") == page.count('alt="') == 1
    assert "synergy" in page


def test_nothing_to_choose_is_refused(models, samples):
    with pytest.raises(ValueError, match="0 cells"):
        BeatTheExplainer(models["grounded"], samples, n_cells=0)


def test_choice_masks_are_players(game):
    choose(game, 5)
    np.testing.assert_array_equal(np.flatnonzero(game.picker.chosen), [5, 39, 40])
