"""Read a model's written answer: which of the choices did it mean?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_ARTICLE = r"(?<=[Aa])\s+(?!or\b|and\b|is\b)[a-z]"
"""Behind an A: what makes it an article and not a letter."""

_ENDS = "\"'`*_.,;:!?()[]{}<>$ \t\r\n"


def parse_answer(text: str, choices: Sequence[str], options: Mapping[str, str] | None = None) -> str | None:
    """The choice that a written answer means, or None if it does not say or says several.

    Lettered choices are looked for in this order: the whole answer; a letter with a delimiter at its beginning
    (``(A)``, ``A.``, ``a) ...``); the last "answer is ..." or "option ..."; the only capital letter that stands alone
    (an A before a lower-case word is the article); the only option whose text occurs. Worded choices: the whole answer,
    its first word, the only choice that occurs as a word.

    Args:
        text: What the model wrote.
        choices: The allowed answers, for example ``("yes", "no")`` or ``("A", "B", "C", "D")``.
        options: Text behind each letter, where it is known.
    """
    bare = text.strip(_ENDS)
    whole = [choice for choice in choices if choice.lower() == bare.lower()]
    if whole:
        return whole[0]
    if all(len(choice) == 1 and choice.isupper() for choice in choices):
        return _letter(text, choices, options or {})
    return _word(bare, choices)


def _letter(text: str, choices: Sequence[str], options: Mapping[str, str]) -> str | None:
    any_letter = f"[{''.join(choices)}{''.join(choices).lower()}]"
    start = re.match(rf"[\s\"'`*_<\[{{$]*\(?({any_letter})[*_]*\s*[).:,;\]}}]", text)
    if start:
        return start[1].upper()
    named = re.findall(
        rf"(?:answer|option|choice|boxed|letter)\b\s*(?:is|would be|:|=)?\s*(?:option|choice|letter)?[\s:*_`\"']*"
        rf"[(\[{{]?\s*({any_letter})(?=[\s).:,;\]}}*_`\"']|$)(?!{_ARTICLE})",
        text,
        re.IGNORECASE,
    )
    if named:
        return str(named[-1]).upper()
    alone = set(re.findall(rf"(?<![\w'])([{''.join(choices)}])(?![\w'])(?!{_ARTICLE})", text))
    if len(alone) == 1:
        return str(alone.pop())
    if alone:
        return None
    meant = [letter for letter, option in options.items() if _occurs(option, text)]
    return meant[0] if len(meant) == 1 else None


def _word(bare: str, choices: Sequence[str]) -> str | None:
    first = re.match(r"[^\s,.;:!?]+", bare)
    for choice in choices:
        if first and first[0].strip(_ENDS).lower() == choice.lower():
            return choice
    found = [choice for choice in choices if _occurs(choice, bare)]
    return found[0] if len(found) == 1 else None


def _occurs(words: str, text: str) -> bool:
    return bool(words.strip()) and bool(re.search(rf"(?<!\w){re.escape(words.strip())}(?!\w)", text, re.IGNORECASE))
