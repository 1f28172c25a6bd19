"""The game that a model plays on one sample: v(S) = P(target tokens | players in S), or its logarithm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.games.game import Players, check_coalitions
from toolkit.games.target import Unit
from toolkit.typing import Coalitions, Values
from toolkit.vlm.answer_scoring import Scoring
from toolkit.vlm.engine.request import Request
from toolkit.vlm.forced_answer import ForcedAnswer
from toolkit.vlm.partition import Partition
from toolkit.vlm.view import View


class SampleGame:
    """v(S): the probability of the target's tokens given the players in S; raw, in [0, 1].

    Of a sentence or a contrast v is the log-probability or the log-odds, in nats.

    An absent image player's pixels are the baseline's; an absent word is masked from attention while every other token
    keeps its position. Each distinct coalition is evaluated once and kept, as long as the model is not changed: values
    belong to one state of it, and a game that outlives a change of weights, hooks or code computes all of them anew,
    for the same target.

    Args:
        forced: The answer's tokens under every coalition, shared with the games of other targets of this answer.
        target: The explained answer, or a target as it is written.
        scoring: How v is read from the tokens.
        players_as: How tokens are grouped into players. Values are those of coalitions of tokens, whatever the groups,
            so that games of the same sample with other players share what is known and what a store keeps.
    """

    def __init__(self, forced: ForcedAnswer, *, target: str, scoring: Scoring, players_as: str = "tokens") -> None:
        self.forced = forced
        self.vlm, self.sample, self.baseline = forced.vlm, forced.sample, forced.baseline
        self.target = target
        self.scoring = scoring
        self.players_as = players_as
        self.n_asked_first = 0

    @property
    def view(self) -> View:
        """The sample as the model sees it."""
        return self.forced.view

    @property
    def unit(self) -> Unit:
        """Unit of v: ``"probability"`` or ``"nats"``."""
        return self.scoring.unit

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The forced tokens; of a contrast those of the first answer."""
        return self.scoring.forms[0]

    @property
    def players(self) -> Players:
        """Image players, then text players."""
        return self.partition.players

    @property
    def partition(self) -> Partition:
        """The players as groups of image and question tokens."""
        return self.view.partition(self.players_as)

    def of_tokens(self, coalitions: Coalitions) -> Coalitions:
        """Coalitions of tokens (n_coalitions, n_tokens) of coalitions of players.

        Raises:
            TypeError: Not an array of bools.
            ValueError: Another shape.
        """
        checked = check_coalitions(coalitions, self.players)
        return checked if self.partition.is_trivial else self.partition.expand(checked)

    @property
    def n_evaluations(self) -> int:
        """Distinct coalitions that the model has evaluated because this game asked for them."""
        return self.n_asked_first

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values, shape (n_coalitions,), of a bool array (n_coalitions, n_players).

        Raises:
            TypeError: Not an array of bools.
            ValueError: Another shape.
        """
        return score_games([(self, coalitions)])[0]

    def identity(self) -> dict[str, object]:
        """Everything that the values depend on, for the store's key."""
        return self.forced.identity()

    def request(self, coalitions: Coalitions) -> tuple[Request, NDArray[np.int64]]:
        """The engine's request for distinct coalitions, and where the values of each stand, (n, n_tokens)."""
        return self.forced.request(coalitions)


def score_games(requests: Sequence[tuple[SampleGame, Coalitions]]) -> list[Values]:
    """Values of several games of one model, batched over games and samples; games about one answer share its rows.

    Args:
        requests: Games and the coalitions (n_coalitions, n_players) wanted of each.

    Returns:
        One array (n_coalitions,) per request.

    Raises:
        TypeError: Coalitions that are no array of bools.
        ValueError: Coalitions of the wrong shape, or games of different models.
    """
    if len({id(game.vlm.engine) for game, _ in requests}) > 1:
        raise ValueError("games of different models cannot be scored in one batch; group them by model")
    if not requests:
        return []
    with requests[0][0].vlm.turn:
        return _score_games(requests)


def _score_games(requests: Sequence[tuple[SampleGame, Coalitions]]) -> list[Values]:
    vlm = requests[0][0].vlm
    is_trusted = vlm.store is not None and vlm.is_as_loaded()
    now = vlm.current_state()
    keys: list[list[bytes]] = []
    work: dict[int, tuple[ForcedAnswer, dict[bytes, NDArray[np.bool_]]]] = {}
    first: list[int] = []
    for game, coalitions in requests:
        game.forced.follow(now)
        checked = game.of_tokens(coalitions)
        if is_trusted:
            game.forced.recall()
        keys.append([row.tobytes() for row in np.packbits(checked, axis=1)])
        wanted = work.setdefault(id(game.forced), (game.forced, {}))[1]
        known, before = game.forced.logs, len(wanted)
        for key, row in zip(keys[-1], checked, strict=True):
            if key not in known:
                wanted.setdefault(key, row)
        first.append(len(wanted) - before)
    todo = [(forced, rows) for forced, rows in work.values() if rows]
    asked = [forced.request(np.stack(list(rows.values()))) for forced, rows in todo]
    if todo:
        batches = vlm.batch_class
        found = vlm.engine.log_probabilities([request for request, _ in asked])
        is_of_one_class = vlm.batch_class == batches  # else memory ran out, and some came from larger batches
        for (forced, rows), (_, places), logs in zip(todo, asked, found, strict=True):
            new = dict(zip(rows, map(tuple, logs[places].tolist()), strict=True))
            forced.learn(new, remember=is_trusted and is_of_one_class)
    for (game, _), n in zip(requests, first, strict=True):
        game.n_asked_first += n
    return [game.scoring.read(game.forced.logs_of(some)) for (game, _), some in zip(requests, keys, strict=True)]
