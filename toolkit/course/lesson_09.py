"""Lesson 09, interactions: its quiz, its checkers, and the small games that no single score tells apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from toolkit.audit.explainers.pair_recovery import evidence_pairs
from toolkit.audit.order_study import OrderStudy
from toolkit.course.checks import Case, Verdict, check
from toolkit.course.course_tables import Table
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.attribution import InteractionAttribution
from toolkit.games.enumerate import all_values
from toolkit.games.game import Game, Players, TableGame
from toolkit.games.interactions import pair_index, shapley_values
from toolkit.reporting.page import with_intervals
from toolkit.synergy.pair_metrics import pairs_of, recovery
from toolkit.vlm.protocol import VLM

QUESTIONS = (
    Question(
        "A map gives one score to each cell and each word. Which of these can it not say?",
        (
            Option(
                "That this cell counts only together with that word.",
                "Two games can have equal scores for every player and different couples, as in section 1.",
                right=True,
            ),
            Option("That this cell speaks against the answer.", "A signed score says so."),
            Option("That this word counts more than that one.", "The order of the scores says so."),
        ),
    ),
    Question(
        "A new explainer of pairs recovers the known pairs with an AUC of 0.83. What do you ask first?",
        (
            Option("Whether it is complete.", "A sum that is right can lie on the wrong pairs."),
            Option("Whether its map looks right.", "It looks like what we would mark; that was lesson 05."),
            Option(
                "What the product of two first-order maps gets.",
                "On the shipped study the best product is above the best map of pairs. Without this baseline 0.83 "
                "looks like a success.",
                right=True,
            ),
        ),
    ),
    Question(
        "All pairs of a game have the Shapley interaction index 0. What follows?",
        (
            Option(
                "Nothing works together.",
                "XOR of three has no pair either. An index is a mean over contexts, and a mean can hide two signs.",
            ),
            Option(
                "No pair works together on average over contexts; three or more still may.",
                "The dividends of larger coalitions, or the order profile, show it.",
                right=True,
            ),
            Option("The players are redundant.", "Redundancy would be negative."),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_pair_interaction(function: Callable[..., Any]) -> Verdict:
    """Check ``pair_interaction(by_size)``: second differences by size of the context, to the Shapley interaction."""
    within = "Average inside each size first: two contexts of one size share the weight of their size."
    cases = [
        Case(([[1.0]],), 1.0, "Two players and no others: the only second difference is the index.", "nobody else"),
        Case(([[1.0], [0.0]],), 0.5, "Two sizes of context, weight 1/2 each, as in lesson 03.", "one other player"),
        Case(([[0.0], [0.0, 0.0], [1.0]],), 1 / 3, f"Three sizes, weight 1/3 each. {within}", "AND of four"),
        Case(([[1.0], [0.0, 1.0], [0.5]],), 2 / 3, within, "two others"),
    ]
    return check(function, cases, solved="Means within sizes, then over sizes: the Shapley interaction index.")


@exercise
def check_cancellation(function: Callable[..., Any]) -> Verdict:
    """Check ``cancellation(dividends)``: 1 - |sum| / sum of absolute values."""
    cases = [
        Case(([0.5, 0.25],), 0.0, "One sign: the size of the sum is the sum of the sizes.", "one sign"),
        Case(([1.0, -1.0],), 1.0, "They undo each other: the sum is 0.", "all undone"),
        Case(([-0.5, -0.25],), 0.0, "A sum has a size too: abs(sum(dividends)).", "one sign, negative"),
        Case(([1.0, -0.5, -0.25],), 6 / 7, "The sum is 0.25, the sizes add up to 1.75.", "some undone"),
        Case(([-2.0, -2.0, 4.0],), 1.0, "The mixed dividends of XOR of three: their sum is 0.", "XOR of three"),
    ]
    return check(function, cases, solved="The same number as OrderProfile.cancellation.")


def two_games() -> dict[str, Game]:
    """Two cells and two words in couples: left with first and right with second, or crossed."""
    players = Players.make(("left cell", "right cell"), ("first word", "second word"))
    couples = {"straight": ((0, 2), (1, 3)), "crossed": ((0, 3), (1, 2))}
    return {name: SumOfUnanimityGames(players, dict.fromkeys(found, 1.0)) for name, found in couples.items()}


def three_way_xor() -> Game:
    """One cell and two words: 1 where an odd number of them is there, else 0."""
    players = Players.make(("cell",), ("first word", "second word"))
    return TableGame(players, np.bitwise_count(np.arange(8)) % 2.0)


def first_order(game: Game) -> pd.DataFrame:
    """Three scores of every player: what it earns alone, what is lost without it, its Shapley value."""
    one, n = np.eye(game.players.n, dtype=np.bool_), game.players.n
    nobody, everybody = game(np.array([[False] * n, [True] * n]))
    scores = {"alone": game(one) - nobody, "lost without it": everybody - game(~one), "Shapley": shapley_values(game)}
    return pd.DataFrame(scores, index=list(game.players.labels))


def pair_table(game: Game) -> pd.DataFrame:
    """Exact Shapley interaction index of every cell (row) with every word (column)."""
    values, labels, cells = all_values(game), game.players.labels, game.players.n_image
    words = range(cells, game.players.n)
    indices = [[pair_index(values, i, j) for j in words] for i in range(cells)]
    return pd.DataFrame(indices, index=list(labels[:cells]), columns=list(labels[cells:]))


def pairs_of_cell(found: InteractionAttribution, cell: str) -> dict[str, float]:
    """Pairs of one cell, given by its label, with every word."""
    labels, n_image = found.players.labels, found.players.n_image
    return dict(zip(labels[n_image:], found.pairs[labels.index(cell)].tolist(), strict=True))


def recoveries(vlm: VLM, sample: Sample, explainers: Sequence[ExplainerLike]) -> dict[str, float]:
    """AUC of each explainer's pairs, or of the products of its scores, against the pairs that decide the sample."""
    truth = evidence_pairs(vlm, sample)
    maps = {get_explainer(one).name: explain(one, vlm, sample) for one in explainers}
    return {name: recovery(pairs_of(found), truth)[0] for name, found in maps.items()}


def order_shares(study: OrderStudy, *, together: int = 7) -> pd.DataFrame:
    """Mean share of each number of players in the sum of |mixed dividends|, a column per model; the last together."""
    gross = study.rows.filter(regex=r"^gross \d+$").rename(columns=lambda name: int(name.split()[1]))
    shares = gross.div(gross.sum(axis=1), axis=0).groupby(study.rows["model"], sort=False).mean().T
    rest = shares[shares.index >= together].sum().rename(f"{together} to {shares.index.max()}")
    return pd.concat([shares[shares.index < together], rest.to_frame().T])


def study_table(table: pd.DataFrame) -> Table:
    """A study's table, each mean with its interval in one column."""
    shown = with_intervals(table).rename(columns={"n_samples": "samples", "auc": "AUC"})
    return Table(
        tuple(str(name).replace("_", " ") for name in shown),
        tuple(tuple(map(str, line)) for line in shown.to_numpy(object)),
    )
