"""How a model is told to answer: named styles, each wording with the place that it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from toolkit.datasets.letters import LETTERS
from toolkit.registry import UnknownNameError

Kind: TypeAlias = Literal["yes or no", "letters", "other"]
"""What the choices of a sample are; ``other`` is words of any sort, or a free answer."""

YES_NO = ("yes", "no")
QUESTION = "{question}"
"""In an instruction: the place of the question. Without it the instruction stands on a line of its own behind it."""

_CHOICES = "{choices}"

BY_MODEL = "by-model"
"""The style that leaves the choice to the model that is asked."""


@dataclass(frozen=True)
class Wording:
    """One instruction.

    Attributes:
        style: Its style's name.
        kind: The choices that it is for; None is for all.
        text: The instruction; ``{choices}`` is replaced by the choices, ``{question}`` is where the question stands.
        source: Where it was read.
    """

    style: str
    kind: Kind | None
    text: str
    source: str


_LLAVA = "LLaVA-1.5 (arXiv 2310.03744), haotian-liu/LLaVA: docs/Evaluation.md"
_HARNESS = "EvolvingLMMs-Lab/lmms-eval: lmms_eval/tasks/"
_SCENES = "the embedded world"
EXISTENCE_INSTRUCTION = "answer yes or no"
CHOICE_INSTRUCTION = "answer with the letter"
OPEN_INSTRUCTION = "answer with one word"
_SHORT = "Answer the question using a single word or phrase."
_LETTER = "Answer with the option's letter from the given choices directly"
_NOTE = "Note: You only need to respond with {choices} without providing any additional information.\n\n{question}"

WORDINGS: tuple[Wording, ...] = (
    Wording("llava", "yes or no", _SHORT, _LLAVA),
    Wording("llava", "letters", f"{_LETTER}.", _LLAVA),
    Wording("llava", "other", _SHORT, _LLAVA),
    Wording("pope", None, _SHORT, f"{_HARNESS}pope/pope.yaml"),
    Wording("cv-bench", None, _NOTE, f"{_HARNESS}cv_bench/_default_template_yaml"),
    Wording("mmstar", None, _LETTER, f"{_HARNESS}mmstar/_default_template_yaml"),
    Wording("scenes", "yes or no", EXISTENCE_INSTRUCTION, _SCENES),
    Wording("scenes", "letters", CHOICE_INSTRUCTION, _SCENES),
    Wording("scenes", "other", OPEN_INSTRUCTION, _SCENES),
)
"""Every wording of the toolkit. MMStar's in the harness ends without a full stop."""

STYLES: tuple[str, ...] = (BY_MODEL, *dict.fromkeys(wording.style for wording in WORDINGS))
"""Names that ``load_samples(..., instruction=)`` takes besides a text of one's own."""


def kind_of(choices: Sequence[str] | None) -> Kind:
    """What a sample's choices are.

    Example:
        >>> kind_of(("A", "B", "C"))
        'letters'
    """
    if choices is not None and tuple(choices) == YES_NO:
        return "yes or no"
    if choices is not None and 0 < len(choices) <= len(LETTERS) and "".join(choices) == LETTERS[: len(choices)]:
        return "letters"
    return "other"


def check_instruction(instruction: str) -> str:
    """Return an instruction that is a style's name or a text: nothing, or two words and more.

    Raises:
        UnknownNameError: One word that names no style; the message suggests the nearest one.
        ValueError: Not a text, or one that has the question in two places.
    """
    if not isinstance(instruction, str):
        raise ValueError(f"the instruction must be text, got {type(instruction).__name__}")
    if len(instruction.split()) == 1 and instruction not in STYLES and QUESTION not in instruction:
        raise UnknownNameError("style of instruction (a text of your own has two words)", instruction, STYLES)
    if instruction.count(QUESTION) > 1:
        raise ValueError(f"the instruction has the question in {instruction.count(QUESTION)} places: {instruction!r}")
    return instruction


def make_instruction(instruction: str, choices: Sequence[str] | None) -> str | None:
    """The text of a style for these choices; a text stays as it is; None where the model is to choose.

    Args:
        instruction: A style's name, or a text.
        choices: The sample's choices, or None for a free answer.

    Raises:
        UnknownNameError: No such style.
        ValueError: As in ``check_instruction``, or a style that lists the choices where there are none.

    Example:
        >>> make_instruction("llava", ("yes", "no"))
        'Answer the question using a single word or phrase.'
    """
    if check_instruction(instruction) == BY_MODEL:
        return None
    if instruction not in STYLES:
        return instruction
    kind = kind_of(choices)
    (text,) = (w.text for w in WORDINGS if w.style == instruction and w.kind in (None, kind))
    if _CHOICES in text and choices is None:
        raise ValueError(f"the style {instruction!r} lists the choices, and this question has none; choose another")
    return text.replace(_CHOICES, ", ".join(choices or ()))


def put_together(question: str, instruction: str) -> tuple[str, int]:
    r"""The question with its instruction, as the model reads them, and the index at which the question starts.

    Example:
        >>> put_together("Is it red?", "Say yes or no.")
        ('Is it red?\nSay yes or no.', 0)
    """
    if QUESTION in instruction:
        start = instruction.index(QUESTION)
        return instruction.replace(QUESTION, question, 1), start
    return (f"{question}\n{instruction}", 0) if instruction else (question, 0)


def wordings_table() -> str:
    """All wordings as a Markdown table: style, choices, wording, source."""
    rows = ["| style | choices | wording | source |", "|---|---|---|---|"]
    for wording in WORDINGS:
        text = wording.text.replace("\n", "⏎")
        rows.append(f"| `{wording.style}` | {wording.kind or 'all'} | `{text}` | {wording.source} |")
    return "\n".join(rows)
