"""What the rest of the toolkit may ask of a vision-language model; each family implements it in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from toolkit.datasets.sample import Sample
from toolkit.games.game import Players
from toolkit.typing import Coalitions, Regions, Values

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Answer:
    """The model's answer to a sample.

    Attributes:
        text: One of the sample's choices, or the decoded greedy answer where there are none.
        probability: Probability of the answer's tokens, in [0, 1], from a float32 log-softmax; by the rule ``sum`` that
            of all its forms.
        token_ids: The answer tokens that games score, with the end of the answer where one choice begins another.
        by_choice: Probability of each choice; empty without choices.
        decoding: ``"choice"``, the most probable one, or ``"greedy"``, token by token.
        is_cut: Whether a free answer was cut before the model ended it.
    """

    text: str
    probability: float
    token_ids: tuple[int, ...]
    by_choice: dict[str, float]
    decoding: str = "choice"
    is_cut: bool = False

    @property
    def n_tokens(self) -> int:
        """Length of the answer in tokens."""
        return len(self.token_ids)


class VLMGame(Protocol):
    """The game that a model plays on one sample: v(S) = P(target tokens | players in S), in [0, 1].

    Of a sentence or a contrast v is a log-probability or the log-odds, in nats; see ``toolkit.games.target``.
    """

    sample: Sample
    target: str
    baseline: str

    @property
    def players(self) -> Players: ...
    @property
    def n_evaluations(self) -> int:
        """Distinct coalitions evaluated so far (forward rows); a coalition is never evaluated twice."""
        ...

    def __call__(self, coalitions: Coalitions) -> Values: ...


class WhiteBox(Protocol):
    """The differentiable inside of a game, for explainers that need gradients, attention or activations.

    ``pixels`` and ``question`` are what enters the model; explainers perturb them and call ``score``.

    Attributes:
        pixels: Shape (1, *pixel_shape), as it enters the vision tower, float.
        baseline_pixels: Same shape, all image players removed.
        question: Shape (1, n_text, dim): input embeddings of the text players.
        baseline_question: Same shape: the padding token's embedding at every text player.
        target_ids: The scored answer tokens; the first is predicted at position ``-len(target_ids)``.
        model: The transformers model, for hooks; never modified.
    """

    players: Players
    pixels: Tensor
    baseline_pixels: Tensor
    question: Tensor
    baseline_question: Tensor
    target_ids: tuple[int, ...]
    model: torch.nn.Module

    @property
    def grids(self) -> Sequence[tuple[int, int]]:
        """Rows and columns of the image tokens, for each image."""
        ...

    def score(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Differentiable log-probability (B,) of the target, of pixels (B, ...) and question (B, n_text, dim).

        Of a sentence the sum or the mean over its tokens, of a contrast the log-odds.
        """
        ...

    def value(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Differentiable v (B,): the probability of the target, or ``score`` where the game is about logarithms."""
        ...

    def logit(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Differentiable raw logit (B,) of the first target token at the predicting position.

        Of a sentence the sum or the mean over its tokens; of a contrast the difference where the answers part.
        """
        ...

    def pixels_to_players(self, attribution: Tensor) -> Tensor:
        """Sum (B, *pixel_shape) over each image player's pixels: (B, n_image)."""
        ...

    @property
    def image_positions(self) -> Tensor:
        """Sequence positions (n_image,) in the decoder input, in player order."""
        ...

    @property
    def text_positions(self) -> Tensor:
        """Sequence positions (n_text,) of the text players in the decoder input."""
        ...

    @property
    def user_positions(self) -> Tensor:
        """Sequence positions of the tokens of the user's text: the question and its instruction."""
        ...


class VLM(Protocol):
    """A loaded vision-language model."""

    name: str
    family: str
    revision: str | None

    def answer(self, sample: Sample) -> Answer:
        """Answer a sample; with choices, the most probable one."""
        ...

    def players(self, sample: Sample) -> Players:
        """Image players, then text players: groups of image tokens and of removable question tokens, or those alone."""
        ...

    def regions(self, sample: Sample) -> Regions:
        """Where each image player lies in the original picture."""
        ...

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        """Character span in ``sample.question`` of each text player."""
        ...

    def game(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> VLMGame:
        """The sample's game; ``target=None`` scores the model's own answer."""
        ...

    def white_box(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> WhiteBox:
        """The same game's differentiable inside."""
        ...

    def masked_image(self, sample: Sample, coalition: Coalitions, *, baseline: str = "blur") -> Image.Image:
        """The masked picture as the model sees it, for one coalition (n_players,)."""
        ...


def forget(vlm: VLM) -> None:
    """Have a model let go of the games that it keeps, so that what is asked next is computed, and can be timed."""
    getattr(vlm, "forget", lambda: None)()


def check_asked(vlm: object, sample: object) -> None:
    """Check that a model is asked about a sample.

    Raises:
        TypeError: One of the two is something else.
    """
    if not all(hasattr(vlm, part) for part in ("name", "answer", "game")) or isinstance(vlm, type):
        raise TypeError(f"expected a loaded model, got {vlm!r}; load it first: toolkit.load_vlm(name)")
    if not isinstance(sample, Sample):
        raise TypeError(f"expected a Sample, got {sample!r}; make one: toolkit.load_image_question(image, question)")
