"""Models whose every number is known beforehand, for tests of explainers, metrics and whatever else asks a model.

A :class:`FakeVLM` answers by a game that you write down: no weights, no files, a test takes milliseconds. Where the
game is a sum of unanimity games, its multilinear extension is the differentiable inside (:class:`FakeWhiteBox`), so
gradients and integrals are known in closed form too.

Explainers that read attention or hidden layers need a real architecture: ``tiny-llava-grounded`` and its siblings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from toolkit.datasets.sample import Corners, Sample, Truth
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import CachedGame, Game, Players, check_coalitions
from toolkit.typing import Coalitions, Regions, Values
from toolkit.vlm.adapters.adapter_base import grid_regions
from toolkit.vlm.protocol import VLM, Answer, VLMGame, WhiteBox

GameOf: TypeAlias = Callable[[Sample, str, str], Game]
"""``(sample, target, baseline) -> game``: the game of P(target), where it depends on the sample."""


class Multilinear(nn.Module):
    """f(x) = sum over the terms T of d(T) * product of x_i over T: a sum of unanimity games between 0 and 1.

    x_i is the mean of cell i's four pixels, or the first component of word i's embedding; 1 is present, 0 absent. The
    slope of x_i is the sum of d(T) * product of the other x over the terms that hold i.

    Args:
        game: Its dividends become the parameter ``weights``.

    Reference: Owen, Multilinear extensions of games, 1972.
    """

    terms: Tensor

    def __init__(self, game: SumOfUnanimityGames) -> None:
        super().__init__()
        inside = [[player in term for player in range(game.players.n)] for term in game.dividends]
        self.register_buffer("terms", torch.tensor(inside, dtype=torch.bool).reshape(-1, game.players.n))
        self.weights = nn.Parameter(torch.tensor(list(game.dividends.values()), dtype=torch.float64))
        self.pool = nn.AvgPool2d(2)

    def forward(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Values (B,) of pixels (B, 1, 2 rows, 2 columns) and embeddings (B, n_text, 3)."""
        present = torch.cat([self.pool(pixels).flatten(1), question[..., 0]], dim=1)
        factors = torch.where(self.terms, present[:, None], torch.ones_like(present[:, None]))
        return torch.prod(factors, dim=-1) @ self.weights


@dataclass
class FakeGame(VLMGame):
    """A game that is written down, as a model plays it; each distinct coalition is evaluated once.

    Attributes:
        sample: The sample.
        target: The scored answer.
        baseline: The baseline it was asked for.
        inner: The game itself.
        n_asked: Coalitions asked for so far, repeated ones included; compare ``n_evaluations``.
    """

    sample: Sample
    target: str
    baseline: str
    inner: CachedGame
    n_asked: int = 0

    @property
    def players(self) -> Players:
        """The players of the game."""
        return self.inner.players

    @property
    def n_evaluations(self) -> int:
        """Distinct coalitions evaluated so far."""
        return self.inner.n_evaluations

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values (n_coalitions,) of the coalitions (n_coalitions, n_players)."""
        self.n_asked += len(coalitions)
        return self.inner(coalitions)


class FakeWhiteBox(WhiteBox):
    """The inside of a :class:`FakeVLM`: the logit is P(target) itself, the score its logarithm; removed players are 0.

    It is a game too: its values are those of the module with the absent players set to 0.

    Args:
        players: The players.
        pixels: Shape (1, 1, 2 rows, 2 columns): four pixels per cell, 1 for an ordinary one.
        model: The module; P(target) = offset + slope * its value.
        offset: See ``model``.
        slope: See ``model``.

    Example:
        >>> from toolkit.games.game import Players
        >>> game = SumOfUnanimityGames(Players.make(("c",), ("w",)), {(): 0.5, (0, 1): 0.25})
        >>> box = FakeVLM(game).white_box(fake_sample(grid=(1, 1), question="red", evidence=((0,), (0,))))
        >>> box.logit(box.pixels, box.question).tolist(), box.logit(box.baseline_pixels, box.question).tolist()
        ([0.75], [0.5])
    """

    def __init__(
        self, players: Players, pixels: Tensor, model: nn.Module, *, offset: float = 0.0, slope: float = 1.0
    ) -> None:
        self.players, self.pixels, self.model = players, pixels, model
        self.offset, self.slope = offset, slope
        self.question = torch.zeros(1, players.n_text, 3, dtype=torch.float64)
        self.question[..., 0] = 1
        self.baseline_pixels, self.baseline_question = torch.zeros_like(pixels), torch.zeros_like(self.question)
        self.target_ids = (0,)

    @property
    def grids(self) -> tuple[tuple[int, int]]:
        """Rows and columns of cells."""
        return ((self.pixels.shape[-2] // 2, self.pixels.shape[-1] // 2),)

    def logit(self, pixels: Tensor, question: Tensor) -> Tensor:
        """P(target), shape (B,)."""
        value: Tensor = self.model(pixels, question)
        return self.offset + self.slope * value

    def score(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Log P(target), shape (B,)."""
        return self.logit(pixels, question).log()

    value = logit

    def pixels_to_players(self, attribution: Tensor) -> Tensor:
        """Sum over the four pixels of each cell."""
        return 4 * nn.functional.avg_pool2d(attribution, 2).flatten(1)

    @property
    def image_positions(self) -> Tensor:
        """The first positions of the sequence."""
        return torch.arange(self.players.n_image)

    @property
    def text_positions(self) -> Tensor:
        """The positions behind the image's."""
        return torch.arange(self.players.n_image, self.players.n)

    @property
    def user_positions(self) -> Tensor:
        """The text players: there is no instruction."""
        return self.text_positions

    def __call__(self, coalitions: Coalitions) -> Values:
        """P(target) of each coalition, by masking pixels and embeddings."""
        kept = torch.from_numpy(check_coalitions(coalitions, self.players).astype(np.float64))
        cells = kept[:, : self.players.n_image].reshape(-1, 1, *self.grids[0])
        mask = cells.repeat_interleave(2, 2).repeat_interleave(2, 3)
        with torch.no_grad():
            p = self.logit(self.pixels * mask, self.question * kept[:, self.players.n_image :, None])
        values: Values = p.numpy()
        return values


class FakeVLM(VLM):
    """A vision-language model that answers by a game that you give it.

    Args:
        game: A game whose value is P(right answer) (the first choice, where the sample has no right answer; the other
            choices share the rest), the same for every sample; or ``(sample, target, baseline) -> game`` of P(target).
        name: The model's name.

    Attributes:
        model: The module of :class:`FakeWhiteBox` for a sum of unanimity games, else None.
        n_games: Games asked for so far.

    Example:
        >>> from toolkit import explain
        >>> from toolkit.games.game import Players
        >>> cells, words = tuple(f"cell {i}" for i in range(4)), ("is", "it", "red")
        >>> game = SumOfUnanimityGames(Players.make(cells, words), {(): 0.5, (2,): 0.1, (2, 6): 0.3})
        >>> vlm, sample = FakeVLM(game), fake_sample(grid=(2, 2), question="is it red", evidence=((2,), (2,)))
        >>> explain("occlusion", vlm, sample).scores.round(3)
        array([0. , 0. , 0.4, 0. , 0. , 0. , 0.3])
        >>> explain("integrated-gradients", vlm, sample).scores.round(3)
        array([0.  , 0.  , 0.25, 0.  , 0.  , 0.  , 0.15])
    """

    family = "fake"
    revision: str | None = None

    def __init__(self, game: Game | GameOf, *, name: str = "fake") -> None:
        self.name = name
        self.inner = game
        self.model: nn.Module | None = Multilinear(game) if isinstance(game, SumOfUnanimityGames) else None
        self.n_games = 0

    def pixels(self, sample: Sample) -> Tensor:
        """What enters the module, shape (1, 1, 2 rows, 2 columns): white, so that the values are the game's."""
        rows, columns = self._grid(sample)
        return torch.ones(1, 1, 2 * rows, 2 * columns, dtype=torch.float64)

    def _grid(self, sample: Sample) -> tuple[int, int]:
        """Rows and columns of the cells: as square as their number allows."""
        n = self.players(sample).n_image
        rows = next(rows for rows in range(math.isqrt(n), 0, -1) if n % rows == 0)
        return rows, n // rows

    def _value(self, sample: Sample, target: str, baseline: str) -> Game:
        if self.model is not None:
            return self.white_box(sample, target=target, baseline=baseline)
        if isinstance(self.inner, Game):
            return _Probability(self.inner, *_share(sample, target))
        return self.inner(sample, target, baseline)

    def players(self, sample: Sample) -> Players:
        """The players of the sample's game."""
        if isinstance(self.inner, Game):
            return self.inner.players
        return self.inner(sample, _right(sample), "blur").players

    def regions(self, sample: Sample) -> Regions:
        """A grid, as square as the number of cells allows."""
        return grid_regions(*self._grid(sample))

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        """The words of the question.

        Raises:
            ValueError: They are not as many as the game's text players.
        """
        spans = tuple(match.span() for match in re.finditer(r"\S+", sample.question))
        expected = self.players(sample).n_text
        if len(spans) != expected:
            raise ValueError(
                f"{sample.question!r} has {len(spans)} words, the game {expected} text players; ask as many"
            )
        return spans

    def answer(self, sample: Sample) -> Answer:
        """The most probable choice when everybody is present."""
        choices = sample.choices or (_right(sample),)
        games = {choice: self._value(sample, choice, "blur") for choice in choices}
        p = {choice: float(game(np.ones((1, game.players.n), dtype=np.bool_))[0]) for choice, game in games.items()}
        best = max(p, key=lambda choice: p[choice])
        return Answer(best, p[best], (choices.index(best),), p)

    def game(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> FakeGame:
        """The sample's game."""
        self.n_games += 1
        target = self.answer(sample).text if target is None else target
        return FakeGame(sample, target, baseline, CachedGame(self._value(sample, target, baseline)))

    def white_box(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> FakeWhiteBox:
        """The same game between 0 and 1.

        Raises:
            TypeError: The game is not a sum of unanimity games.
        """
        if self.model is None:
            raise TypeError(f"{self.name!r} has no inside; give FakeVLM a SumOfUnanimityGames to differentiate")
        offset, slope = _share(sample, _right(sample) if target is None else target)
        return FakeWhiteBox(self.players(sample), self.pixels(sample), self.model, offset=offset, slope=slope)

    def masked_image(self, sample: Sample, coalition: Coalitions, *, baseline: str = "blur") -> Image.Image:
        """The image with absent cells in black."""
        pixels = np.array(sample.image.convert("RGB"))
        edges = np.rint(self.regions(sample) * np.tile(pixels.shape[1::-1], 2)).astype(int)
        for (x0, y0, x1, y1), kept in zip(edges, np.asarray(coalition).ravel(), strict=False):
            pixels[y0:y1, x0:x1] *= kept
        return Image.fromarray(pixels)


class _Probability:
    """Offset + slope * a game."""

    def __init__(self, game: Game, offset: float, slope: float) -> None:
        self.game, self.players, self.offset, self.slope = game, game.players, offset, slope

    def __call__(self, coalitions: Coalitions) -> Values:
        return self.offset + self.slope * self.game(coalitions)


def _right(sample: Sample) -> str:
    """The answer that a game's value is the probability of."""
    return sample.answer or (sample.choices or ("yes",))[0]


def _share(sample: Sample, target: str) -> tuple[float, float]:
    """P(target) = offset + slope * P(right answer): itself, or an equal share of the rest."""
    if target == _right(sample):
        return 0.0, 1.0
    others = max(1, len(sample.choices or ()) - 1)
    return 1 / others, -1 / others


def fake_sample(
    number: int = 0, *, grid: tuple[int, int] = (6, 6), question: str = "is there a red square ?",
    evidence: tuple[tuple[int, ...], tuple[int, ...]] = ((8,), (3, 4)), answer: str = "yes",
    choices: tuple[str, ...] = ("yes", "no"),
) -> Sample:  # fmt: skip
    """A grey image with a red square in each cell of evidence, 16 pixels wide, and its truth.

    Args:
        number: Number of the sample; another number is another id, and another shade of one corner.
        grid: Rows and columns of the cells.
        question: The question.
        evidence: The cells, and the words of the question, that decide the answer.
        answer: The right answer.
        choices: The allowed answers.

    Example:
        >>> sample = fake_sample(3, grid=(2, 2), evidence=((1,), (3, 4)))
        >>> sample.id, sample.image.size, sample.truth.evidence_boxes
        ('fake-3', (32, 32), ((0.5, 0.0, 1.0, 0.5),))
    """
    rows, columns = grid
    cells, words = evidence
    pixels = np.full((16 * rows, 16 * columns, 3), 200, dtype=np.uint8)
    for cell in cells:
        row, column = divmod(cell, columns)
        pixels[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = (220, 40, 40)
    pixels[:4, :4] = number % 256
    boxes = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in grid_regions(rows, columns)[list(cells)])
    truth = Truth("synergy", boxes, words, Corners(1.0, 0.5, 0.5, 0.5), family="existence")
    return Sample(
        id=f"fake-{number}", image=Image.fromarray(pixels), question=question, choices=choices, answer=answer,
        image_id=f"fake-{number}", dataset="fake", category="existence", truth=truth,
    )  # fmt: skip
