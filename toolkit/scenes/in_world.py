"""What the embedded models can be asked: pictures like scenes, and questions in their spelling."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from toolkit.datasets.letters import read_letters
from toolkit.scenes.vocabulary import LETTERS

_SHARE, _DARKEST, _NEAR = 0.8, 150, 40


def looks_like_a_scene(image: Image.Image) -> bool:
    """Whether most of a picture is one light background, as in every scene; a photograph seldom is.

    In 800 scenes at least .89 of the pixels are within 40 levels of the median colour, whose darkest channel is 173.

    Example:
        >>> [looks_like_a_scene(Image.new("RGB", (9, 9), colour)) for colour in ("white", "navy")]
        [True, False]
    """
    pixels = np.asarray(image.convert("RGB").resize((96, 96)), dtype=np.float64).reshape(-1, 3)
    middle = np.median(pixels, axis=0)
    share = (np.abs(pixels - middle).max(axis=1) < _NEAR).mean()
    return bool(share >= _SHARE and middle.min() >= _DARKEST)


def in_world_spelling(question: str) -> str:
    """A question in the spelling of the embedded models: small letters, blanks around every sign, option letters bare.

    Example:
        >>> in_world_spelling("Is there a red circle?")
        'is there a red circle ?'
        >>> in_world_spelling("What colour is the circle? A. red B. blue")
        'what colour is the circle ? A red B blue'
    """
    stem, sign, options = question.partition("?") if read_letters(question) is not None else (question, "", "")
    words = re.findall(r"\w+|[^\w\s]", (stem + sign).lower())
    return " ".join([*words, *(w if w in LETTERS else w.lower() for w in re.findall(r"\w+", options))])
