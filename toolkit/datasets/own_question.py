"""A sample from your own image and question, checked."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from reprlib import repr as short
from typing import cast

from PIL import Image

from toolkit.datasets.image_file import ImageError, ImageSource, open_image
from toolkit.datasets.instructions import BY_MODEL, YES_NO, make_instruction
from toolkit.datasets.letters import read_letters
from toolkit.datasets.sample import Sample

MAX_WORDS = 500
"""Longest question, in words; scoring needs one forward pass per removed set of words."""

MAX_CHARACTERS = 5_000

PLACEHOLDER = "<image>"
"""What stands for an image in other tools' questions."""

_BE, _DO, _HAVE = ("is", "are", "was", "were"), ("do", "does", "did"), ("has", "have", "had")
_AUXILIARIES = {*_BE, *_DO, *_HAVE, "can", "could", "will", "would", "should", "may", "might", "must"}
_BIDIRECTIONAL = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def load_image_question(
    image: ImageSource | Sequence[ImageSource],
    question: str,
    *,
    choices: Sequence[str] | None = None,
    answer: str | None = None,
    instruction: str | None = None,
) -> Sample:
    """Make a sample from your own picture and question.

    With ``choices=None`` the choices are read off the question (``read_choices``): its lettered options, or yes and no
    where it begins with an auxiliary verb, else none, which means a free answer.

    Args:
        image: A path, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4), uint8 or float in [0, 1]; or a list of
            such, of any sizes, for a question about several images.
        question: One question; options may stand in it. With a list, one ``<image>`` for each may stand before it.
        choices: Allowed answers, at least two; None reads them off the question.
        answer: The right answer where it is known; one of the choices.
        instruction: How to answer, never removed: a style's name or a text of two words and more, see
            ``toolkit.datasets.instructions``. None leaves it to the model that is asked, "" leaves it out.

    Raises:
        ImageError: The picture cannot be used.
        FileNotFoundError: There is no such picture.
        ValueError: The question is empty, too long or has control characters; the answer is not among the choices. Or
            the list is empty, or the question has another number of ``<image>``, or has them elsewhere than before it.
        UnknownNameError: An instruction of one word that names no style.

    Example:
        >>> import numpy as np
        >>> load_image_question(np.zeros((8, 8), np.uint8), "Is it dark?").choices
        ('yes', 'no')
    """
    question = unicodedata.normalize("NFC", question) if isinstance(question, str) else question
    opened = _opened(image)
    if isinstance(image, list | tuple) and isinstance(question, str):
        question = without_placeholders(question, len(opened))
    check_question(question)
    allowed = read_choices(question) if choices is None else _given(choices)
    digest = hashlib.sha256(b"".join(one.tobytes() + repr(one.size).encode() for one in opened)).hexdigest()[:12]
    asked = hashlib.sha256(question.encode()).hexdigest()[:8]
    return Sample(
        id=f"{digest}-{asked}",
        image=opened[0],
        further_images=tuple(opened[1:]),
        question=question.strip(),
        instruction=make_instruction(BY_MODEL if instruction is None else instruction, allowed),
        choices=allowed,
        answer=answer,
        image_id=digest,
        dataset="own",
    )


def _opened(image: ImageSource | Sequence[ImageSource]) -> list[Image.Image]:
    """The images of a list, or the only one; an error names the one that it is about."""
    if not isinstance(image, list | tuple):
        return [open_image(cast(ImageSource, image))]
    if not image:
        raise ValueError("the list of images is empty; give one image at least")
    opened = []
    for number, one in enumerate(image, start=1):
        try:
            opened.append(open_image(one))
        except (ImageError, FileNotFoundError) as error:
            raise type(error)(f"image {number} of {len(image)}: {error}") from error
    return opened


def without_placeholders(question: str, n_images: int) -> str:
    """The question without the ``<image>`` that stand before it, one for each image; without any, as it is.

    Raises:
        ValueError: There is another number of them, or words stand between them or before.

    Example:
        >>> without_placeholders("<image> <image> are they alike ?", 2)
        'are they alike ?'
    """
    n_places = question.count(PLACEHOLDER)
    if not n_places:
        return question
    if n_places != n_images:
        raise ValueError(
            f"the question has {n_places} {PLACEHOLDER} and there are {n_images} images; write one for each, or none"
        )
    *between, rest = question.split(PLACEHOLDER)
    if any(part.strip() for part in between):
        raise ValueError(
            f"words stand between or before the {PLACEHOLDER} of the question; all images stand before the words here: "
            "put them first, and name the images in words, for example 'in the second image'"
        )
    return rest.strip()


def check_question(question: str) -> None:
    """Refuse a question that no model could be asked.

    Raises:
        ValueError: Empty, longer than ``MAX_WORDS`` words, or with control characters (line breaks and tabs are fine).
    """
    if not isinstance(question, str):
        raise ValueError(f"the question must be text, got {type(question).__name__}")
    n_words = len(question.split())
    if n_words == 0:
        raise ValueError("the question is empty; expected at least one word")
    if n_words > MAX_WORDS or len(question) > MAX_CHARACTERS:
        raise ValueError(
            f"the question has {n_words:,} words and {len(question):,} characters; "
            f"at most {MAX_WORDS} words and {MAX_CHARACTERS:,} characters can be scored, shorten it"
        )
    for i, character in enumerate(question):
        control = unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\r\t"
        if control or character in _BIDIRECTIONAL:
            name = unicodedata.name(character, "control character")
            raise ValueError(f"the question has U+{ord(character):04X} ({name}) at position {i}; remove it")


def read_choices(question: str) -> tuple[str, ...] | None:
    """The answers that a question itself allows, or None for a free answer.

    * Lettered options (``read_letters``), A to Z: the letters.
    * A question that begins with an auxiliary verb (is, are, does, ...) and offers no alternative with "or":
      ``("yes", "no")``.

    Example:
        >>> read_choices("What color is it? A. red B. blue")
        ('A', 'B')
    """
    letters = read_letters(question)
    if letters is not None:
        return letters
    words = re.findall(r"[a-z]+", question.lower())
    if words and words[0] in _AUXILIARIES and "or" not in words:
        return YES_NO
    return None


def _given(choices: Sequence[str]) -> tuple[str, ...]:
    if isinstance(choices, str) or not isinstance(choices, Sequence):
        got = f"the text {choices!r}" if isinstance(choices, str) else short(choices)
        raise ValueError(f"choices must be a sequence of answers, got {got}; did you mean a list?")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ValueError(f"every choice must be a text of at least one character, got {list(choices)!r}")
    return tuple(choices)
