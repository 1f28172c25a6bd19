"""The game that a model plays on one sample: v(S) = P(target tokens | players in S)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.games.coalition_plan import plan_coalitions
from toolkit.games.game import Players, check_coalitions
from toolkit.typing import Coalitions, Values
from toolkit.vlm.engine.fingerprint import State
from toolkit.vlm.engine.request import Query, Request
from toolkit.vlm.engine.store import code_identity
from toolkit.vlm.partition import Partition
from toolkit.vlm.scorable import Scorable
from toolkit.vlm.view import View


class SampleGame:
    """v(S): the probability of the target's tokens given the players in S; raw, in [0, 1].

    An absent image player's pixels are the baseline's; an absent word is masked from attention while every other token
    keeps its position. Each distinct coalition is evaluated once and kept, as long as the model is not changed: values
    belong to one state of it, and a game that outlives a change of weights, hooks or code computes all of them anew,
    for the same target.

    Args:
        vlm: The model.
        sample: The sample.
        view: The sample as the model sees it.
        target: The explained answer.
        token_ids: Its tokens.
        baseline: Name of the baseline.
        players_as: How tokens are grouped into players. Values are those of coalitions of tokens, whatever the groups,
            so that games of the same sample with other players share what a store keeps.
    """

    def __init__(
        self,
        vlm: Scorable,
        sample: Sample,
        view: View,
        *,
        target: str,
        token_ids: tuple[int, ...],
        baseline: str,
        players_as: str = "tokens",
    ) -> None:
        self.vlm = vlm
        self.sample = sample
        self.view = view
        self.target = target
        self.token_ids = token_ids
        self.baseline = baseline
        self.players_as = players_as
        self._state = vlm.current_state()
        self._values: dict[bytes, float] = {}
        self._is_recalled = False
        self._n_evaluations = 0

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
        """Distinct coalitions that the model has evaluated for this game so far."""
        return self._n_evaluations

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values, shape (n_coalitions,), of a bool array (n_coalitions, n_players).

        Raises:
            TypeError: Not an array of bools.
            ValueError: Another shape.
        """
        return score_games([(self, coalitions)])[0]

    def missing(self, coalitions: Coalitions) -> tuple[list[bytes], Coalitions]:
        """Keys of all coalitions, and the distinct ones that have no value yet."""
        keys = [row.tobytes() for row in np.packbits(coalitions, axis=1)]
        fresh: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            if key not in self._values:
                fresh.setdefault(key, i)
        return keys, coalitions[list(fresh.values())]

    def follow(self, state: State) -> None:
        """Drop the values of another state of the model.

        In another precision or place, or with other settings of its processor, the sample is seen anew.
        """
        if state == self._state:
            return
        is_prepared_anew = state.processing != self._state.processing
        self._state = state
        self._values.clear()
        self._is_recalled = False
        model = self.vlm.model
        if is_prepared_anew or (self.view.pixels.dtype, self.view.pixels.device) != (model.dtype, model.device):
            self.view = self.vlm.view(self.sample)

    def recall(self) -> None:
        """Take what the model's store remembers, when the game is asked for the first time."""
        if not self._is_recalled and self.vlm.store is not None:
            self._values.update(self.vlm.store.recall(self.identity()))
        self._is_recalled = True

    def identity(self) -> dict[str, object]:
        """Everything that the values depend on, for the store's key."""
        return {
            **self.vlm.identity(),
            **code_identity(),
            "view": self.view.digest(self.vlm.adapter, self.baseline),
            "target": list(self.token_ids),
            "baseline": self.baseline,
            "n_players": self.view.players.n,
        }

    def learn(self, coalitions: Coalitions, values: Values, *, remember: bool) -> None:
        """Keep freshly evaluated values, in the store too if ``remember``; one that cannot be written is let go."""
        keys = [row.tobytes() for row in np.packbits(coalitions, axis=1)]
        new = {key: float(value) for key, value in zip(keys, values, strict=True)}
        self._values.update(new)
        self._n_evaluations += len(new)
        if self.vlm.store is None or not remember:
            return
        try:
            self.vlm.store.keep(self.identity(), new)
        except OSError as error:
            warnings.warn(f"values are not remembered any more: {error}", RuntimeWarning, stacklevel=2)
            self.vlm.store = None

    def values_of(self, keys: Sequence[bytes]) -> Values:
        """Known values by key."""
        return np.array([self._values[key] for key in keys], dtype=np.float64)

    def request(self, coalitions: Coalitions) -> tuple[Request, NDArray[np.int64]]:
        """The engine's request for distinct coalitions, and the value index of each."""
        plan = plan_coalitions(coalitions, self.view.players)
        context, final = self.token_ids[:-1], self.token_ids[-1:]
        queries = [Query(image, kept, context, final) for image in range(plan.n_images) for kept in plan.texts(image)]
        return Request(self.view, self.baseline, plan.images, queries), plan.inverse


def score_games(requests: Sequence[tuple[SampleGame, Coalitions]]) -> list[Values]:
    """Values of several games of one model, batched over games and samples; each game keeps its own.

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
    vlm = requests[0][0].vlm if requests else None
    is_trusted = vlm is not None and vlm.store is not None and vlm.is_as_loaded()
    now = None if vlm is None else vlm.current_state()
    keys: list[list[bytes]] = []
    work: dict[int, tuple[SampleGame, list[Coalitions]]] = {}
    for game, coalitions in requests:
        if now is not None:
            game.follow(now)
        checked = game.of_tokens(coalitions)
        if is_trusted:
            game.recall()
        known, fresh = game.missing(checked)
        keys.append(known)
        if len(fresh):
            work.setdefault(id(game), (game, []))[1].append(fresh)
    wanted = [(game, np.unique(np.concatenate(fresh), axis=0)) for game, fresh in work.values()]
    asked = [game.request(fresh) for game, fresh in wanted]
    if vlm is not None and wanted:
        batches = vlm.batch_class
        found = vlm.engine.log_probabilities([request for request, _ in asked])
        is_of_one_class = vlm.batch_class == batches  # else memory ran out, and some came from larger batches
        for (game, fresh), (_, cell_of), logs in zip(wanted, asked, found, strict=True):
            game.learn(fresh, np.exp(logs)[cell_of], remember=is_trusted and is_of_one_class)
    return [game.values_of(known) for (game, _), known in zip(requests, keys, strict=True)]
