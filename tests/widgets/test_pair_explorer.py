"""The pair explorer: a map where a front end is there, a figure where none is, a reason where there are no pairs."""

from __future__ import annotations

import pytest
from support.fakes import ToyVLM, toy_sample

from toolkit.widgets import PairExplorer


def test_pairs_are_shown_and_have_a_twin_without_front_end() -> None:
    found = PairExplorer(ToyVLM(), toy_sample())
    assert found.pairs.value.count("<rect") == 4
    assert found.pairs.value.count('class="word') == 3
    assert "circle: c01 -0.048" in found.pairs.value
    assert "Strongest: red: c00 +0.12; circle: c01 -0.048." in found.static()
    assert "?: no pairs" in found.pairs.value
    assert 'alt="The picture of the question: ' in found.image.value  # the map is grey, and words name colours
    assert found.image.value in found.static()
    assert "Orange: both together speak for the answer" in found.note.value
    assert "<script" not in found.pairs.value + found.static()


def test_scores_of_single_players_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match="'occlusion' gives one score per player and no pairs; take banzhaf"):
        PairExplorer(ToyVLM(), toy_sample(), explainer="occlusion")
