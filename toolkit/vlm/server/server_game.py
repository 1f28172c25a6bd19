"""The game of a model behind a server: an image with cells replaced, a question with words deleted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from math import exp, nan
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.games.game import Players, UnscoredError, check_coalitions, pack
from toolkit.typing import Coalitions, Values
from toolkit.vlm.partition import Partition
from toolkit.vlm.server.address import Address
from toolkit.vlm.server.chat_client import TopTokens
from toolkit.vlm.server.chat_request import VERSION

if TYPE_CHECKING:
    from toolkit.vlm.engine.store import CoalitionStore

REPEATS = 3
_CHUNK = 32
"""Requests after which answers are written to the store."""


class Asking(Protocol):
    """What a game needs of its model; see :class:`toolkit.vlm.server.server_vlm.ServerVLM`."""

    address: Address
    max_pixels: int | None
    store: CoalitionStore | None

    def identity(self) -> dict[str, Any]:
        """What values depend on."""
        ...

    def ask(self, game: ServerGame, coalitions: Coalitions) -> Iterator[tuple[int, TopTokens]]:
        """First tokens of coalitions, each with its number."""
        ...


class ServerGame:
    """v(S): the probability that the server's model begins its answer with the target's token, given the players in S.

    Not the operator of models in memory: an absent cell's pixels are the baseline's before any processor sees them, and
    an absent word is deleted, so that the words behind it move up. A coalition whose target is not among the k most
    probable tokens that the server tells has no value.

    Args:
        vlm: The model.
        sample: The sample, with the instruction with which the model is asked.
        partition: The players.
        target: The explained answer.
        token: How the model writes it.
        baseline: Name of the baseline.
    """

    def __init__(
        self, vlm: Asking, sample: Sample, partition: Partition, *, target: str, token: str, baseline: str
    ) -> None:
        self.vlm = vlm
        self.sample = sample
        self.partition = partition
        self.target = target
        self.token = token
        self.baseline = baseline
        self.n_evaluations = 0
        self._values: dict[bytes, float] = {}
        self._noise: float | None = None
        self._is_recalled = False

    @property
    def players(self) -> Players:
        """Cells of the image, then words of the question."""
        return self.partition.players

    def identity(self) -> dict[str, object]:
        """Everything that a value depends on, for the store's key; not the name, which also says how long to wait."""
        sample = self.sample
        known = {what: value for what, value in self.vlm.identity().items() if what != "name"}
        return {
            **known, "version": VERSION, "image": sample.image_digest, "question": sample.question,
            "instruction": sample.instruction, "token": self.token, "operator": self.operator,
            "cells": self.partition.regions.tolist(), "members": self.partition.player_of.tolist(),
        }  # fmt: skip

    @property
    def operator(self) -> str:
        """What it means that a player is absent."""
        bound = "" if self.vlm.max_pixels is None else f" of at most {self.vlm.max_pixels} pixels"
        return f"cells: {self.baseline} in the image{bound} that is sent; words: deleted from the text that is sent"

    def provenance(self) -> dict[str, str | int | float | None]:
        """What every record says of a server's numbers; the noise is measured when it is asked for first.

        The noise is the largest difference between the values of the whole input, asked three times; None where it has
        no value.
        """
        if self._noise is None:
            everybody = np.ones((REPEATS, self.players.n), dtype=np.bool_)
            values = [self._read(top) for _, top in self.vlm.ask(self, everybody)]
            self._noise = max(values) - min(values)
        noise = None if np.isnan(self._noise) else self._noise
        return {"operator": self.operator, "top_logprobs": self.vlm.address.top_logprobs, "repeat_noise": noise}

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values, shape (n_coalitions,), of a bool array (n_coalitions, n_players).

        Raises:
            TypeError: Not an array of bools.
            ValueError: Another shape.
            UnscoredError: The target is not among the tokens that the server tells of a coalition.
            ServerError: The server does not answer; values that have arrived are kept.
            NotConfirmedError: The images would leave this machine.
        """
        keys: list[bytes] = [bytes(key) for key in pack(check_coalitions(coalitions, self.players)).tolist()]
        self._recall()
        new = {key: row for row, key in enumerate(keys) if key not in self._values}
        if new:
            self._ask(list(new), coalitions[list(new.values())])
        values = np.array([self._values[key] for key in keys], dtype=np.float64)
        if missing := int(np.isnan(values).sum()):
            raise UnscoredError(
                f"the target {self.target!r} ({self.token!r}) is not among the "
                f"{self.vlm.address.top_logprobs} most probable tokens that {self.vlm.address.host} tells of {missing} "
                f"of {len(values)} coalitions; ask for more, with ?top_logprobs= in the model's name, if the server "
                "gives more",
                values,
            )
        return values

    def _read(self, top: TopTokens) -> float:
        return exp(top[self.token]) if self.token in top else nan

    def _recall(self) -> None:
        if not self._is_recalled and self.vlm.store is not None:
            self._values.update({key: value for key, (value,) in self.vlm.store.recall(self.identity()).items()})
        self._is_recalled = True

    def _ask(self, keys: list[bytes], coalitions: Coalitions) -> None:
        """Ask the server for new coalitions, and keep what arrives, whatever happens on the way."""
        arrived: dict[bytes, float] = {}
        keep = partial(self._keep, arrived)
        try:
            for number, top in self.vlm.ask(self, coalitions):
                arrived[keys[number]] = self._read(top)
                if len(arrived) == _CHUNK:
                    keep()
        finally:
            keep()

    def _keep(self, arrived: dict[bytes, float]) -> None:
        self._values.update(arrived)
        self.n_evaluations += len(arrived)
        if self.vlm.store is not None and arrived:
            try:
                self.vlm.store.keep(self.identity(), {key: (value,) for key, value in arrived.items()})
            except OSError as error:
                warnings.warn(f"answers are not remembered any more: {error}", RuntimeWarning, stacklevel=2)
                self.vlm.store = None
        arrived.clear()
