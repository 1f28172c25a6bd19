"""Read a model's written answer: which of the choices did it mean?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

_ARTICLE = r"(?<=[Aa])\s+(?!or\b|and\b|is\b|because\b|since\b|as\b)[a-z]"
"""Behind an A: what makes it an article and not a letter."""

_ENDS = "\"'`*_.,;:!?()[]{}<>$\\ \t\r\n"

_NOT = (
    r"(?:\bnot|n't|\bneither|\bnor|\bexcept|\brather than|\binstead of)\s+(?:be\s+|is\s+)?(?:option\s+|choice\s+)?\(?"
)
"""Before a letter: what makes it the one that is not meant."""

_CALLED = (
    r"(?:\b(?:answer|ans|option|choice|boxed|letter)\b|答案|选)\s*"
    r"(?:is|would be|should be|is therefore|是|为|:|=)?\s*(?:option|choice|letter)?"
)
"""Words that announce a letter."""

_SET = r"(?:\\?(?:text|mathrm|mathbf)\{)?"
"""LaTeX around a letter."""

_SYNONYMS = {"yes": ("yeah", "yep", "yup", "true", "correct", "affirmative", "certainly", "indeed"),
             "no": ("nope", "nah", "false", "incorrect", "negative", "none")}  # fmt: skip

_UNSURE = re.compile(
    r"\b(unclear|unsure|uncertain|unable|impossible|maybe|perhaps|not (?:clear|sure|certain|possible|visible enough)|"
    r"hard to|difficult to|(?:cannot|can't|can not|could not|couldn't|do not|don't) "
    r"(?:know|tell|say|determine|be determined|answer|see whether|see if|see clearly))\b",
    re.IGNORECASE,
)
_DENIES = re.compile(r"\b(not|never|without|neither|absent|cannot)\b|n't\b", re.IGNORECASE)
_AFFIRMS = re.compile(
    r"\b(there (?:is|are|appears?|seems?)|there's|i (?:can )?see|(?:shows?|contains?|has|have))\b", re.I
)


def parse_answer(text: str, choices: Sequence[str], options: Mapping[str, str] | None = None) -> str | None:
    """The choice that a written answer means, or None if it does not say or says several.

    Lettered choices are looked for in this order: the whole answer; a letter with a delimiter at its beginning
    (``(A)``, ``A.``, ``a) ...``), unless it begins by repeating several options; the last "answer is ..." or
    "option ..."; the only capital letter that stands alone and is not denied (an A before a lower-case word is the
    article); the only option whose text occurs. Worded choices: the whole answer, its first word, the only choice that
    occurs as a word. Yes and no also: their synonyms, and a sentence that affirms or denies ("there is a dog", "it does
    not show one"); a sentence that says it cannot tell is no answer.

    Args:
        text: What the model wrote; full-width characters count as their ordinary forms.
        choices: The allowed answers, for example ``("yes", "no")`` or ``("A", "B", "C", "D")``.
        options: Text behind each letter, where it is known.
    """
    text = unicodedata.normalize("NFKC", text).replace("’", "'")
    bare = text.strip(_ENDS)
    whole = [choice for choice in choices if choice.lower() == bare.lower()]
    if whole:
        return whole[0]
    if all(len(choice) == 1 and choice.isupper() for choice in choices):
        return _letter(text, choices, options or {})
    word = _word(bare, choices)
    return _yes_or_no(bare) if word is None and set(choices) == {"yes", "no"} else word


def _letter(text: str, choices: Sequence[str], options: Mapping[str, str]) -> str | None:
    capitals = "".join(choices)
    any_letter = f"[{capitals}{capitals.lower()}]"
    start = rf"[\s\"'`*_<\[{{$]*\(?({any_letter})[*_]*\s*(?:[).:,;\]}}>]|[-–—]\s|\n)"
    listed = {found.upper() for found in re.findall(rf"^{start}", text, re.MULTILINE)}
    another = rf"\s*(?:and|or|&|/)?\s*\(?[{capitals}](?![\w'])(?!{_ARTICLE})"
    first = re.match(rf"{start}(?!{another})", text)
    if first and len(listed) == 1:
        return first[1].upper()
    named = re.findall(
        rf"{_CALLED}[\s:*_`\"'>{{]*{_SET}[(\[{{]?\s*({any_letter})(?=[\s).:,;\]}}*_`\"'<。]|$)(?!{_ARTICLE})",
        text,
        re.IGNORECASE,
    )
    if named:
        return str(named[-1]).upper()
    denied = set(re.findall(rf"{_NOT}([{capitals}])(?!\w)", text, re.IGNORECASE))
    alone = set(re.findall(rf"(?<![\w'])([{capitals}])(?![\w'])(?!{_ARTICLE})", text)) - {d.upper() for d in denied}
    if len(alone) == 1:
        return str(alone.pop())
    if alone or denied:
        return None
    meant = [letter for letter, option in options.items() if _occurs(option, text)]
    return meant[0] if len(meant) == 1 else None


def _word(bare: str, choices: Sequence[str]) -> str | None:
    first = re.match(r"[^\s,.;:!?]+", bare)
    for choice in choices:
        if first and first[0].strip(_ENDS).lower() == choice.lower():
            return choice
    found = [choice for choice in choices if _occurs(choice, bare)]
    if set(choices) == {"yes", "no"} and _UNSURE.search(bare):
        return None
    return found[0] if len(found) == 1 else None


def _yes_or_no(bare: str) -> str | None:
    """Yes or no of a sentence that has neither word, or both."""
    if _occurs("yes", bare) or _occurs("no", bare) or _UNSURE.search(bare):
        return None
    first = re.match(r"[A-Za-z]+", bare)
    for answer, words in _SYNONYMS.items():
        if first and first[0].lower() in words:
            return answer
    if _DENIES.search(bare):
        return "no"
    return "yes" if _AFFIRMS.search(bare) else None


def _occurs(words: str, text: str) -> bool:
    return bool(words.strip()) and bool(re.search(rf"(?<!\w){re.escape(words.strip())}(?!\w)", text, re.IGNORECASE))
