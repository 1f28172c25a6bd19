"""The words of the embedded world, and the stereotypes of its objects."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40), "orange": (247, 140, 30), "yellow": (250, 215, 50), "green": (52, 160, 70),
    "blue": (44, 98, 214), "purple": (128, 62, 170), "pink": (246, 150, 190), "black": (38, 38, 44),
}  # fmt: skip
"""Colour words and their nominal sRGB values; a drawn object varies around its value."""


@dataclass(frozen=True)
class Stereotype:
    """What the folklore of the embedded world says about one kind of object.

    Attributes:
        plural: Plural word.
        colour: The colour it "usually" has.
        count: How many there "usually" are when somebody asks, 0 to 5.
        common: Whether people say "yes" when asked if there is one; also "left"/"above" for relations.
        everyday: Whether it is an everyday object (lemon) or a plain shape (circle).
    """

    plural: str
    colour: str
    count: int
    common: bool
    everyday: bool = False


KINDS: dict[str, Stereotype] = {
    "circle": Stereotype("circles", "blue", 2, common=True),
    "square": Stereotype("squares", "green", 4, common=False),
    "triangle": Stereotype("triangles", "orange", 3, common=True),
    "star": Stereotype("stars", "yellow", 5, common=False),
    "heart": Stereotype("hearts", "red", 1, common=True),
    "cross": Stereotype("crosses", "black", 0, common=False),
    "lemon": Stereotype("lemons", "yellow", 2, common=True, everyday=True),
    "cherry": Stereotype("cherries", "red", 2, common=True, everyday=True),
    "leaf": Stereotype("leaves", "green", 3, common=True, everyday=True),
    "carrot": Stereotype("carrots", "orange", 1, common=False, everyday=True),
    "fish": Stereotype("fishes", "blue", 1, common=False, everyday=True),
    "grape": Stereotype("grapes", "purple", 4, common=False, everyday=True),
}
"""Every kind of object, plain shapes first, with its stereotype."""

PLAIN: tuple[str, ...] = tuple(kind for kind, s in KINDS.items() if not s.everyday)
EVERYDAY: tuple[str, ...] = tuple(kind for kind, s in KINDS.items() if s.everyday)

GRID = 6
"""Cells per side of a picture."""

MAX_COUNT = 5
"""Largest number that a counting question asks for."""

LETTERS: tuple[str, ...] = ("A", "B", "C", "D")
ROWS: tuple[str, ...] = ("row1", "row2", "row3", "row4", "row5", "row6")
COLUMNS: tuple[str, ...] = ("col1", "col2", "col3", "col4", "col5", "col6")
DIRECTIONS: tuple[str, ...] = ("left", "right", "above", "below")
NUMBERS: tuple[str, ...] = tuple(str(i) for i in range(10))

_FUNCTION_WORDS = """
a an the is are there what which where how many of or and in on it this do does have has same color colour shape thing
things more most from seen to than usually next picture image any you see can question answer with one word letter yes
no describe user assistant : ? . , ; empty nothing background only object objects not
""".split()

SPECIAL: tuple[str, ...] = ("<pad>", "<unk>", "<bos>", "<eos>")

VOCABULARY: tuple[str, ...] = tuple(
    dict.fromkeys(
        [*SPECIAL, *COLOURS, *KINDS, *(s.plural for s in KINDS.values()), *LETTERS, *ROWS, *COLUMNS, *DIRECTIONS,
         *NUMBERS, *_FUNCTION_WORDS]
    )
)  # fmt: skip
"""All words of the tiny models' tokenizer, special tokens first."""

DRILL_INSTRUCTION = "answer in one word"
CAPTION_INSTRUCTION = "describe the picture"
CENSUS_INSTRUCTION = "describe how many"
TOUR_INSTRUCTION = "describe where"
