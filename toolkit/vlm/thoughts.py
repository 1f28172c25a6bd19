"""Models that think first: an answer is scored behind empty thoughts, not in their place.

Between ``<think>`` and ``</think>`` a reasoning model talks to itself. The probability of "yes" at a place where it
would write "Okay, let me see" says nothing about its answer, and its own thoughts about the whole sample cannot stand
before the answer either, since they tell every coalition what was removed. So thoughts are switched off where the chat
template has a switch (``enable_thinking``: Qwen3, Qwen3.5, GLM-4.6V), and closed at once where the template opens them
all the same (Qwen3-VL-Thinking). Answers behind empty thoughts: Ma et al. 2025, arXiv 2504.09858.

A checkpoint that was trained to think and nothing else answers there as it never did; loading it warns.
"""

from __future__ import annotations

import warnings
from typing import Any

OPEN, CLOSE = "<think>", "</think>"
LIKELY = 0.5
"""A model that thinks with at least this probability, where it was to answer, is warned of."""


class ThinkingWarning(RuntimeWarning):
    """A model was trained to think where its answers are scored."""


def as_written(processor: Any, words: str, n_images: int = 1) -> str:
    """What a processor's chat template writes of images and words, thoughts left out where it has a switch for them."""
    content = [*({"type": "image"} for _ in range(n_images)), {"type": "text", "text": words}]
    messages = [{"role": "user", "content": content}]
    switch = {"enable_thinking": False} if "enable_thinking" in str(processor.chat_template) else {}
    return str(processor.apply_chat_template(messages, add_generation_prompt=True, **switch))


def behind_thoughts(text: str) -> str:
    r"""A prompt whose last words open thoughts, with these closed; any other as it is.

    Example:
        >>> behind_thoughts("Assistant: <think>")
        'Assistant: <think>\n\n</think>\n\n'
        >>> behind_thoughts("Assistant:")
        'Assistant:'
    """
    end = text.rstrip()
    return f"{end}\n\n{CLOSE}\n\n" if end.endswith(OPEN) else text


def warn_of_open_thoughts(name: str, written: str) -> None:
    """Warn of a template that opens thoughts, switched off or not: its model never learnt to answer without them."""
    if behind_thoughts(written) != written:
        _warn(f"the chat template of {name} opens thoughts ({OPEN}) that cannot be switched off; they are closed empty")


def warn_of_thoughts(name: str, probability: float) -> None:
    """Warn of a model that opens thoughts with such a probability at the place where its answers are scored."""
    if probability >= LIKELY:
        _warn(f"{name} opens thoughts ({OPEN}) with probability {probability:.2f} where its answers are scored")


def _warn(what: str) -> None:
    cure = "take the family's checkpoint that answers at once, for values of answers that it was trained to give"
    warnings.warn(f"{what}: {cure}", ThinkingWarning, stacklevel=4)
