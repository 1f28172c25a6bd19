"""Measure the four corner coalitions of a sample: both modalities, the image alone, the text alone, neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import CORNERS, Corners, Sample
from toolkit.games.game import Game, corner_coalitions
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.protocol import VLM
from toolkit.vlm.sample_game import SampleGame, score_games

BASELINES = ("blur", "mean", "noise")
"""What a removed picture is replaced by; how far the corners differ between them is the noise of a corner."""

FAILURES = (ValueError, RuntimeError, OSError)
TOGETHER, VIEW_BYTES = 8, 64 << 20
"""Samples about which a model is asked at once, at most, and the memory of its views of them."""

_T = TypeVar("_T")


def corners_of(game: Game) -> Corners:
    """Values of the four corner coalitions of a game."""
    return Corners(*game(corner_coalitions(game.players)).tolist())


@dataclass(frozen=True)
class CornerRecord:
    """The corners of one sample on one model.

    Attributes:
        sample: The sample; its truth, if any, is only compared with.
        target: The model's own answer to the whole input, which the corners score.
        by_baseline: Corners of the target for each baseline, the main one first.
        beliefs: Shape (4, n_choices): probability of every choice at each corner, main baseline, in the order of
            ``CORNERS``; as the model gives it, so that rows need not add up to 1. One column without choices.
    """

    sample: Sample
    target: str
    by_baseline: dict[str, Corners]
    beliefs: NDArray[np.float64] = field(repr=False)

    @property
    def cluster(self) -> str:
        """What the sample shares with the samples that are not independent of it."""
        return self.sample.image_id or self.sample.id

    @property
    def corners(self) -> Corners:
        """Corners of the target at the main baseline."""
        return next(iter(self.by_baseline.values()))

    @property
    def normalised(self) -> NDArray[np.float64]:
        """Beliefs that add up to 1 at each corner, (4, n_choices)."""
        total = self.beliefs.sum(axis=1, keepdims=True)
        uniform = np.full_like(self.beliefs, 1 / self.beliefs.shape[1])
        shares: NDArray[np.float64] = np.divide(self.beliefs, total, out=uniform, where=total > 0)
        return shares

    def predicted_choice(self, corner: str) -> str | None:
        """The most probable choice at a corner; None without choices."""
        if self.sample.choices is None:
            return None
        return self.sample.choices[int(self.beliefs[CORNERS.index(corner)].argmax())]


def _all_corners(games: Sequence[Game]) -> list[Corners]:
    """Corners of several games; a model that is loaded here is asked about all of them at once."""
    loaded = [game for game in games if isinstance(game, SampleGame)]
    if len(loaded) < len(games):
        return [corners_of(game) for game in games]
    found = score_games([(game, corner_coalitions(game.players)) for game in loaded])
    return [Corners(*values.tolist()) for values in found]


@dataclass(frozen=True)
class _Question:
    """A sample's target, the baselines in their order, and a game for each (choice, baseline) that is wanted."""

    sample: Sample
    target: str
    baselines: Sequence[str]
    choices: Sequence[str]
    games: Mapping[tuple[str, str], Game]


def _question(vlm: VLM, sample: Sample, baseline: str, baselines: Sequence[str]) -> _Question:
    target = vlm.answer(sample).text
    order = [baseline, *(name for name in baselines if name != baseline)]
    choices = sample.choices if sample.choices is not None else (target,)
    games = {(choice, baseline): vlm.game(sample, target=choice, baseline=baseline) for choice in choices}
    games |= {(target, name): vlm.game(sample, target=target, baseline=name) for name in order}
    return _Question(sample, target, order, choices, games)


def _record(asked: _Question) -> CornerRecord:
    sample, target, main = asked.sample, asked.target, asked.baselines[0]
    found = dict(zip(asked.games, _all_corners(list(asked.games.values())), strict=True))
    by_baseline = {name: found[target, name] for name in asked.baselines}
    columns = [found[choice, main] for choice in asked.choices]
    beliefs = np.array([[getattr(column, corner) for column in columns] for corner in CORNERS], dtype=np.float64)
    values = [getattr(c, name) for c in by_baseline.values() for name in CORNERS]
    if not (np.isfinite(values).all() and np.isfinite(beliefs).all()):
        raise ValueError(f"the model's values of sample {sample.id!r} are not all finite; check its precision")
    return CornerRecord(sample, target, by_baseline, beliefs)


def measure(
    vlm: VLM, samples: Sequence[Sample], *, baseline: str = "blur", baselines: Sequence[str] = BASELINES
) -> Iterator[CornerRecord | Exception]:
    """Measure the corners of samples: the target under every baseline, every choice under the main one.

    Costs 4 coalitions per choice and 4 per further baseline. A model that is loaded here is asked about several samples
    at once.

    Yields:
        A record of each sample, or why there is none, as where a corner is not finite.
    """
    waiting = list(samples)
    while waiting:
        n = _at_once(vlm, waiting[0], len({baseline, *baselines}))
        yield from _measured(vlm, waiting[:n], baseline, baselines)
        del waiting[:n]


def _at_once(vlm: VLM, sample: Sample, n_baselines: int) -> int:
    """About how many samples like this one a model is asked at once: its views of them are kept as long."""
    if not isinstance(vlm, LoadedVLM):
        return 1
    view = _tried(vlm.view, sample)
    return 1 if isinstance(view, Exception) else max(1, min(TOGETHER, VIEW_BYTES // (view.nbytes * (1 + n_baselines))))


def _measured(
    vlm: VLM, samples: Sequence[Sample], baseline: str, baselines: Sequence[str]
) -> list[CornerRecord | Exception]:
    if isinstance(vlm, LoadedVLM):
        with suppress(*FAILURES):  # whose sample it is shows below, where each is asked for itself
            vlm.answers(samples)
    asked = [_tried(_question, vlm, sample, baseline, baselines) for sample in samples]
    games = [game for one in asked if isinstance(one, _Question) for game in one.games.values()]
    if all(isinstance(game, SampleGame) for game in games):
        with suppress(*FAILURES):
            _all_corners(games)  # which the games remember
    return [_tried(_record, one) if isinstance(one, _Question) else one for one in asked]


def _tried(action: Callable[..., _T], *arguments: Any) -> _T | Exception:
    try:
        return action(*arguments)
    except FAILURES as error:
        return error
