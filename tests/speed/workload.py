"""What is measured: the coalitions that metrics and exact indices ask for, on samples of the embedded world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.games.game import QuotientGame, all_coalitions
from toolkit.games.order_profile import group_cells, group_words
from toolkit.synergy.evaluate import plan_metrics
from toolkit.synergy.macro_sii import background_groups
from toolkit.synergy.ordering import curve_fractions, random_attributions, top_coalitions
from toolkit.typing import Coalitions
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.sample_game import SampleGame

PLAIN_PASSES = 118
"""Forward passes of the paper's code for one (sample, explainer) at K = 10."""

STEPS = 10


@dataclass(frozen=True)
class Task:
    """One sample and the distinct coalitions wanted of it.

    Attributes:
        sample: The sample.
        target: The scored answer.
        cells: Shape (n_cells, n_players): the distinct coalitions.
        n_asked: Coalitions that were asked for, repetitions included.
    """

    sample: Sample
    target: str
    cells: Coalitions
    n_asked: int

    def game(self, vlm: LoadedVLM) -> SampleGame:
        """A fresh game, which has evaluated nothing."""
        vlm._games.clear()
        return vlm.game(self.sample, target=self.target)


def scene_samples(n: int) -> list[Sample]:
    """Held-out samples of the three question sets, in turn."""
    import toolkit

    each = -(-n // 3)
    sets = [toolkit.load_samples(f"scenes-{name}", split="test", n=each) for name in ("existence", "choice", "mixed")]
    return [sample for group in zip(*sets, strict=True) for sample in group][:n]


def metric_tasks(vlm: LoadedVLM, samples: Sequence[Sample], n_explainers: int) -> list[Task]:
    """The default metrics at K = 10 for independent random attributions, whose coalitions hardly coincide."""
    answers = vlm.answers(samples)
    tasks = []
    for i, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
        players = vlm.players(sample)
        drawn = [random_attributions(players, 2, (i, number))[0] for number in range(n_explainers)]
        plan = plan_metrics(drawn, steps=STEPS)
        tasks.append(Task(sample, answer.text, plan.coalitions, plan.n_requested))
    return tasks


def order_task(vlm: LoadedVLM, sample: Sample, *, n_cells: int = 10) -> Task:
    """All coalitions of the study of orders: ten groups of cells and four of words are 2^14, of 2^10 images."""
    game = vlm.game(sample)
    cells = group_cells(np.asarray(sample.image), vlm.regions(sample), n_cells)
    quotient = QuotientGame(game, [*cells, *group_words(game.players)])
    wanted = quotient.expand(all_coalitions(quotient.players.n))
    return Task(sample, game.target, wanted, len(wanted))


def macro_game_task(vlm: LoadedVLM, sample: Sample) -> Task:
    """The paper's macro-game of one attribution: 8 players, 2^8 coalitions, at each of 11 steps."""
    answer = vlm.answer(sample)
    game = vlm.game(sample, target=answer.text)
    attribution = random_attributions(game.players, 2, 0)[0]
    fractions, rng = curve_fractions(STEPS), np.random.default_rng(0)
    cells = []
    for image, text in zip(
        top_coalitions(attribution, "image", fractions), top_coalitions(attribution, "text", fractions), strict=True
    ):
        blocks = background_groups(game.players, image | text, 6, rng)
        cells.append(QuotientGame(game, [image, text, *blocks]).expand(all_coalitions(8)))
    asked = np.concatenate(cells)
    return Task(sample, answer.text, np.unique(asked, axis=0), len(asked))
