"""Explainers of a small model run on one thread, and PyTorch has as many as before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from support.subjects import RANDOM_TINY, make_subject, sample

from toolkit.explainers import explain
from toolkit.explainers.internals import threads
from toolkit.games.attribution import Attribution


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@dataclass
class Counting:
    """An explainer that says how many threads it had."""

    needs: frozenset[str]
    fails: bool = False
    seen: list[int] = field(default_factory=list)
    name, reference, cost = "counting", "none", "nothing"

    def attribute(self, vlm, sample, *, target=None, baseline="blur", rng):
        self.seen.append(torch.get_num_threads())
        if self.fails:
            raise ValueError("as asked")
        players = vlm.players(sample)
        return Attribution(np.arange(players.n, dtype=float), players, self.name, target)


def counting(needs: set[str], *, fails: bool = False) -> tuple[Counting, list[int]]:
    found = Counting(frozenset(needs), fails)
    return found, found.seen


@pytest.mark.parametrize("name", RANDOM_TINY)
@pytest.mark.parametrize(
    ("needs", "expected"), [({"gradients"}, 1), ({"attention"}, 1), ({"game"}, 2), ({"game", "gradients"}, 2)]
)
def test_only_explainers_that_look_inside_get_one_thread(name: str, needs: set[str], expected: int) -> None:
    count, seen = counting(needs)
    explain(count, make_subject(name), sample(1), target="yes")
    assert seen == [expected]
    assert torch.get_num_threads() == 2


def test_a_pass_with_enough_to_share_keeps_all_threads(monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    width = vlm.model.config.get_text_config().hidden_size
    monkeypatch.setattr(threads, "_SHARED", len(vlm.view(sample(1)).prompt.ids) * width)
    count, seen = counting({"gradients"})
    explain(count, vlm, sample(1), target="yes")
    assert seen == [2]


def test_threads_come_back_after_a_failure() -> None:
    count, seen = counting({"gradients"}, fails=True)
    with pytest.raises(ValueError, match="as asked"):
        explain(count, make_subject("random-tiny-llava"), sample(1), target="yes")
    assert (seen, torch.get_num_threads()) == ([1], 2)
