"""Log-probabilities of forced answer tokens by coalition, which all games about the same answer share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.games.coalition_plan import plan_coalitions
from toolkit.typing import Coalitions
from toolkit.vlm.answers import Form
from toolkit.vlm.engine.fingerprint import State
from toolkit.vlm.engine.request import Query, Request
from toolkit.vlm.engine.store import code_identity
from toolkit.vlm.scorable import Scorable
from toolkit.vlm.view import View


class ForcedAnswer:
    """log P(token | the forced tokens before it, players in S) of every token, by coalition of image and text tokens.

    One row behind a masked prompt gives all of them, so a second target of the same answer costs nothing. Values belong
    to one state of the model.

    Args:
        vlm: The model.
        sample: The sample.
        view: The sample as the model sees it.
        forms: The forced answers.
        baseline: Name of the baseline.
    """

    def __init__(self, vlm: Scorable, sample: Sample, view: View, forms: tuple[Form, ...], baseline: str) -> None:
        self.vlm = vlm
        self.sample = sample
        self.view = view
        self.forms = forms
        self.baseline = baseline
        self.logs: dict[bytes, tuple[float, ...]] = {}
        self._state = vlm.current_state()
        self._is_recalled = False

    def follow(self, state: State) -> None:
        """Drop the values of another state of the model.

        In another precision or place, or with other settings of its processor, the sample is seen anew.
        """
        if state == self._state:
            return
        is_prepared_anew = state.processing != self._state.processing
        self._state = state
        self.logs.clear()
        self._is_recalled = False
        model = self.vlm.model
        if is_prepared_anew or (self.view.pixels.dtype, self.view.pixels.device) != (model.dtype, model.device):
            self.view = self.vlm.view(self.sample)

    def recall(self) -> None:
        """Take what the model's store remembers, when this is asked for the first time."""
        if not self._is_recalled and self.vlm.store is not None:
            self.logs.update(self.vlm.store.recall(self.identity()))
        self._is_recalled = True

    def identity(self) -> dict[str, object]:
        """Everything that the values depend on, for the store's key."""
        return {
            **self.vlm.identity(),
            **code_identity(),
            "view": self.view.digest(self.vlm.adapter, self.baseline),
            "forced": [list(form) for form in self.forms],
            "baseline": self.baseline,
            "n_players": self.view.players.n,
        }

    def learn(self, new: Mapping[bytes, tuple[float, ...]], *, remember: bool) -> None:
        """Keep freshly evaluated values, in the store too if ``remember``; one that cannot be written is let go."""
        self.logs.update(new)
        if self.vlm.store is None or not remember:
            return
        try:
            self.vlm.store.keep(self.identity(), new)
        except OSError as error:
            warnings.warn(f"values are not remembered any more: {error}", RuntimeWarning, stacklevel=2)
            self.vlm.store = None

    def logs_of(self, keys: Sequence[bytes]) -> NDArray[np.float64]:
        """Known log-probabilities (n, n_tokens) by key."""
        found = [self.logs[key] for key in keys]
        return np.array(found, dtype=np.float64).reshape(len(keys), sum(map(len, self.forms)))

    def request(self, coalitions: Coalitions) -> tuple[Request, NDArray[np.int64]]:
        """The engine's request for distinct coalitions, and where the values of each stand, (n, n_tokens)."""
        plan = plan_coalitions(coalitions, self.view.players)
        queries = [
            Query(image, kept, form[:-1], form[-1:], by_token=True)
            for image in range(plan.n_images)
            for kept in plan.texts(image)
            for form in self.forms
        ]
        n = sum(map(len, self.forms))
        return Request(self.view, self.baseline, plan.images, queries), plan.inverse[:, None] * n + np.arange(n)
