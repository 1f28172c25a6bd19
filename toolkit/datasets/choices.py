"""Match a model's written answer to one of the choices."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from toolkit.datasets.letters import INITIALS, NAMED

_ARTICLE = r"(?<=[AaIi])\s+(?!or\b|and\b|is\b|because\b|since\b|as\b)[a-z]"
"""Behind an A or an I: what makes it an article or a pronoun and not a letter."""

_ENDS = "\"'`*_.,;:!?()[]{}<>$\\ \t\r\n"

_NOT = (
    r"(?:\bnot|n't|\bneither|\bnor|\bexcept|\brather than|\binstead of)\s+(?:be\s+|is\s+)?(?:option\s+|choice\s+)?\(?"
)
"""Before a letter: what makes it the one that is not meant."""

_WRONG = (
    r"(?:wrong|incorrect|false|untrue|impossible|excluded|eliminated|out\b|ruled out|not\b(?! only)|"
    r"(?:can|could|may|must) be (?:ruled out|excluded|eliminated|discarded)|(?:can|could)(?:not| not|'t)\b)"
)
"""Behind a letter: what says that it is not meant."""

_IS = r"(?:\s+(?:is|are|was|were|would be|seems?|looks?|does|do|did)(?:n't)?)?"

_RULES_OUT = r"(?:\brul(?:e|es|ed|ing) out|\beliminat\w*|\bexclud\w*|\bdiscard\w*)\s+(?:option\s+|choice\s+)?\(?"

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
    "option ..."; the only capital letter that stands alone (an A before a lower-case word is the article); the only
    option whose text occurs. A letter that is denied ("option A is wrong") or that belongs to a name (vitamin A, J. K.
    Rowling, the text of an option) is none of these. Worded choices: the whole answer, its first word, the only choice
    that occurs as a word. Yes and no also: their synonyms, and a sentence that affirms or denies ("there is a dog", "it
    does not show one"); a sentence that says it cannot tell is no answer.

    Args:
        text: What the model wrote; full-width characters count as their ordinary forms.
        choices: The allowed answers, for example ``("yes", "no")`` or ``("A", "B", "C", "D")``.
        options: Text behind each letter, where it is known.

    Example:
        >>> parse_answer("Option A is wrong, so it must be B.", ("A", "B", "C"))
        'B'
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
    denied = _denied(text, capitals)
    whole, text = text, _without_names(text, capitals, options)
    start = rf"[\s\"'`*_<\[{{$]*\(?({any_letter})[*_]*\s*(?:[).:,;\]}}>]|[-–—]\s|\n)"
    listed = {found.upper() for found in re.findall(rf"^{start}", text, re.MULTILINE)}
    another = rf"\s*(?:and|or|&|/)?\s*\(?[{capitals}](?![\w'])(?!{_ARTICLE})"
    first = re.match(rf"{start}(?!{another})", text)
    if first and len(listed) == 1 and first[1].upper() not in denied:
        return first[1].upper()
    named = re.findall(
        rf"{_CALLED}[\s:*_`\"'>{{]*{_SET}[(\[{{]?\s*({any_letter})(?=[\s).:,;\]}}*_`\"'<。]|$)(?!{_ARTICLE})",
        text,
        re.IGNORECASE,
    )
    named = [letter.upper() for letter in named if letter.upper() not in denied]
    if named:
        return str(named[-1])
    alone = set(re.findall(rf"(?<![\w'])([{capitals}])(?![\w'])(?!{_ARTICLE})", text)) - denied
    if len(alone) == 1:
        return str(alone.pop())
    if alone or denied:
        return None
    meant = [letter for letter, option in options.items() if _occurs(option, whole)]
    return meant[0] if len(meant) == 1 else None


def _denied(text: str, capitals: str) -> set[str]:
    """Letters of which the text says that they are not meant: "not A", "A and C are wrong", "rule out B"."""
    before = re.findall(rf"(?:{_NOT}|{_RULES_OUT})([{capitals}])(?!\w)", text, re.IGNORECASE)
    listed = rf"[{capitals}](?:\)?(?:\s*,\s*|\s*,?\s+(?:and|or)\s+)\(?[{capitals}](?!\w))*"
    adverb = r"(?:\s+(?:both|all|also|clearly|definitely|certainly|obviously|therefore))?"
    after = re.findall(rf"(?<![\w'])({listed})(?!\w)\)?{_IS}{adverb}\s+{_WRONG}", text)
    after += re.findall(rf"(?<![\w'])([{capitals}])\)?[.:]\s*(?:wrong|incorrect|false)[.,;]\s*\S", text, re.IGNORECASE)
    refused = re.findall(rf"(?<![\w'])({listed})(?!\w)\)?\s+(?:isn't|aren't|doesn't|don't|can't|cannot)\b", text)
    return {letter.upper() for letter in before} | set(re.findall(rf"[{capitals}]", " ".join([*after, *refused])))


def _without_names(text: str, capitals: str, options: Mapping[str, str]) -> str:
    """The text with the names that hold lone letters taken out: vitamin A, J. K. Rowling, an option's own text."""
    for option in options.values():
        if re.search(rf"(?<!\w)[{capitals}](?!\w)", option) and len(option.strip()) > 1:
            text = re.sub(rf"(?<!\w){re.escape(option.strip())}(?!\w)", "_", text)
    text = re.sub(rf"{NAMED}[A-Z](?![\w'])", "_", text, flags=re.IGNORECASE)
    return re.sub(INITIALS, lambda found: _initials(found[0], capitals), text)


def _initials(found: str, capitals: str) -> str:
    """Nothing of two initials that might be letters; of other rows of initials the first is a letter and stays."""
    letters = re.findall(r"[A-Z]", found)
    if len(letters) == 2 and all(letter in capitals for letter in letters):
        return "_"
    return f"{letters[0]}. " if letters[0] in capitals else "_"


def _word(bare: str, choices: Sequence[str]) -> str | None:
    first = re.match(r"[^\s,.;:!?]+", bare)
    for choice in choices:
        if first and first[0].strip(_ENDS).lower() == choice.lower():
            return choice
    found = [choice for choice in choices if _occurs(choice, _without_longer(bare, choice, choices))]
    if set(choices) == {"yes", "no"} and _UNSURE.search(bare):
        return None
    return found[0] if len(found) == 1 else None


def _without_longer(text: str, choice: str, choices: Sequence[str]) -> str:
    """The text without the choices that hold this one and more: no "red circle" where "red" is looked for."""
    for longer in choices:
        if choice.strip().lower() != longer.strip().lower() and _occurs(choice, longer):
            text = re.sub(rf"(?<!\w){re.escape(longer.strip())}(?!\w)", "_", text, flags=re.IGNORECASE)
    return text


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
