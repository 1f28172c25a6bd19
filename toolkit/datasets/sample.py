"""A sample of any dataset: an image, a question, its right answer and, if generated, its ground truth."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, field, replace
from reprlib import repr as short
from typing import Any, Literal, TypeAlias

from PIL import Image

from toolkit.arguments import check_text
from toolkit.datasets.sheet import sheet_of

Gate: TypeAlias = Literal["synergy", "redundancy", "text-only", "image-only", "interference", "neither"]


@dataclass(frozen=True)
class Corners:
    """Values of the four corner coalitions of the two-player game {image, text}.

    Each is a probability of the right answer in [0, 1]. ``empty`` has neither modality, ``both`` has all.
    """

    both: float
    image: float
    text: float
    empty: float

    @property
    def total_interaction(self) -> float:
        """D = both - image - text + empty, in [-2, 2]: the Harsanyi dividend of {image, text}."""
        return self.both - self.image - self.text + self.empty


CORNERS = ("both", "image", "text", "empty")
"""The fields of ``Corners``, in the order in which the coalitions are asked and written down."""


@dataclass(frozen=True)
class Truth:
    """Ground truth that only a generated sample has.

    Attributes:
        gate: How the answer depends on the modalities, by construction.
        evidence_boxes: (x0, y0, x1, y1) as fractions of the picture, one per region that decides the answer.
        evidence_words: Indices into ``question.split()`` of the words that decide the answer.
        bayes: Probability of ``answer`` under the generating distribution, for each corner coalition.
        bayes_se: Standard error of the Bayes values; 0 where they are computed in closed form or by enumeration.
        prior_answer: The answer that the language prior of the generating world favours, or None.
        family: Question family, for example ``"colour"``.
        is_control: Whether the evidence serves oracle controls: models are known to answer such questions by it.
    """

    gate: Gate
    evidence_boxes: tuple[tuple[float, float, float, float], ...]
    evidence_words: tuple[int, ...]
    bayes: Corners
    bayes_se: float = 0.0
    prior_answer: str | None = None
    family: str = ""
    is_control: bool = True


@dataclass(frozen=True)
class Sample:
    """A picture, or several, and a question about it.

    Question, choices and answer are kept in Unicode's composed form (NFC) and without blanks at their ends, which is
    what tokenizers and templates make of them, so that every character that is kept can belong to a player.

    Attributes:
        id: Unique within its dataset.
        image: RGB picture.
        question: The removable text, options included.
        instruction: How to answer, never removed: a text behind the question, or around it where it says
            ``{question}``; "" for none, None for the wording with which the model that is asked is asked.
        choices: Allowed answers in order (``("yes", "no")``, ``("A", "B")``), or None for a free answer.
        answer: The right answer, or None where unknown. One of ``choices`` when there are choices.
        image_id: Identifies the picture, for clustering.
        dataset: Registry name of the dataset.
        category: Sub-task or subset, for stratified tables.
        truth: What is known of a generated sample; None where there are several images.
        further_images: RGB pictures that stand behind ``image`` in the prompt, in this order and all of them before the
            question. Each has cells of its own, whose players are called ``image 2: row 1, column 3``.

    Example:
        >>> from PIL import Image
        >>> red, blue = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))
        >>> sample = Sample("pair", red, "are they alike ?", choices=("yes", "no"), further_images=(blue,))
        >>> [image.getpixel((0, 0)) for image in sample.images]
        [(255, 0, 0), (0, 0, 255)]
    """

    id: str
    image: Image.Image = field(repr=False, compare=False)
    question: str
    instruction: str | None = ""
    choices: tuple[str, ...] | None = None
    answer: str | None = None
    image_id: str = ""
    dataset: str = ""
    category: str = ""
    truth: Truth | None = None
    further_images: tuple[Image.Image, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        for what in ("id", "image_id", "dataset", "category"):
            check_text(f"the sample's {what}", getattr(self, what))
        if not isinstance(self.image, Image.Image):
            raise ValueError(
                f"the image must be a PIL image, got {short(self.image)}; toolkit.load_image_question opens others"
            )
        if not (self.truth is None or isinstance(self.truth, Truth)):
            raise ValueError(f"the truth must be a Truth or None, got {short(self.truth)}")
        object.__setattr__(self, "further_images", _images(self.further_images))
        if self.truth is not None and self.further_images:
            raise ValueError("a truth is about one image; leave it out, or further_images")
        object.__setattr__(self, "question", _text("question", self.question))
        if self.instruction is not None and not isinstance(self.instruction, str):
            raise ValueError(f"the instruction must be text or None, got {self.instruction!r}")
        if not self.question:
            raise ValueError("the question is empty; expected at least one word")
        if self.answer is not None:
            object.__setattr__(self, "answer", _text("answer", self.answer))
        if self.choices is None:
            return
        object.__setattr__(self, "choices", _texts(self.choices))
        if len(set(self.choices)) < max(2, len(self.choices)) or "" in self.choices:
            raise ValueError(f"choices must be at least two different strings, got {self.choices!r}")
        if self.answer is not None and self.answer not in self.choices:
            raise ValueError(
                f"the answer {self.answer!r} is not among the choices {self.choices!r}; give one of them, or None"
            )

    @property
    def images(self) -> tuple[Image.Image, ...]:
        """All images, in the order of the prompt."""
        return (self.image, *self.further_images)

    @property
    def sheet(self) -> Image.Image:
        """All images side by side, each under its number, to draw on; the image itself where it is the only one."""
        return sheet_of(self.images)

    @property
    def image_digest(self) -> str:
        """SHA-256 of the image's mode, size and pixels, computed once; of several images, of all their digests.

        The sample then holds a copy of its own, so that whoever draws on the image that it was made of does not change
        what was asked; one that is drawn on itself is read again each time.
        """
        known = vars(self).get("_hashed", ())
        found = [_hashed(image, *known[i : i + 1]) for i, image in enumerate(self.images)]
        vars(self)["_hashed"] = found
        own, digests = zip(*found, strict=True)
        if self.image is not own[0]:
            object.__setattr__(self, "image", own[0])
        object.__setattr__(self, "further_images", own[1:])
        return str(digests[0]) if len(digests) == 1 else hashlib.sha256(repr(digests).encode()).hexdigest()

    def with_instruction(self, instruction: str | None) -> Sample:
        """The same sample, asked with another instruction."""
        other = replace(self, instruction=instruction)
        vars(other)["_hashed"] = vars(self).get("_hashed", ())
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_hashed"}


def _images(images: Any) -> tuple[Image.Image, ...]:
    """Further images as a tuple; one alone would be no list."""
    is_list = isinstance(images, list | tuple)
    if not is_list or not all(isinstance(image, Image.Image) for image in images):
        raise ValueError(
            f"further_images must be a list or a tuple of PIL images, got {short(images)}; "
            "toolkit.load_image_question opens others"
        )
    return tuple(images)


def _hashed(image: Image.Image, known: tuple[Image.Image, str] | None = None) -> tuple[Image.Image, str]:
    """A copy of one's own of the image, and its digest; where both are known and unchanged, these."""
    if known is None or known[0] is not image:
        image = image.copy()
        image.readonly = 1  # Pillow copies such pixels before it changes them in place, and says so here
    elif image.readonly:
        return known
    return image, hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def _texts(choices: object) -> tuple[str, ...]:
    """Choices in the same form; one text would be taken apart into its letters."""
    if not isinstance(choices, list | tuple):
        raise ValueError(f"choices must be a list or a tuple of answers, got {choices!r}")
    return tuple(_text("choice", choice) for choice in choices)


def _text(what: str, value: Any) -> str:
    """A text in composed form, without blanks at its ends."""
    check_text(f"the {what}", value)
    return unicodedata.normalize("NFC", str(value)).strip()
