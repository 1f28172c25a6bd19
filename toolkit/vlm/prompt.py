"""The prompt of a sample: token ids, where the picture's tokens stand, and which tokens are players."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.datasets.sample import Sample
from toolkit.vlm.base import Adapter, Geometry
from toolkit.vlm.checkpoint import CheckpointError

_MARK = "\u241f"


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt up to the place where the answer begins.

    Attributes:
        text: The prompt with its image placeholders expanded.
        ids: Token ids of ``text``.
        image_positions: Index of each image token, in prompt order.
        text_positions: Index of each text player.
        spans: Character span in the question of each text player.
    """

    text: str
    ids: tuple[int, ...]
    image_positions: tuple[int, ...]
    text_positions: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def prefix_length(self) -> int:
        """Number of tokens before the first text player: template and image tokens, the same in every coalition."""
        return self.text_positions[0]

    @cached_property
    def players_after_prefix(self) -> NDArray[np.int64]:
        """Index of each text player among the tokens after the prefix."""
        return np.array(self.text_positions) - self.prefix_length


def render(adapter: Adapter, sample: Sample) -> tuple[str, int]:
    """The chat-template text of a sample and the index at which its question starts.

    Raises:
        ValueError: The chat template changes the question.
    """
    words = sample.question if not sample.instruction else f"{sample.question}\n{sample.instruction}"
    start = apply_template(adapter.processor, _MARK).index(_MARK)
    text = apply_template(adapter.processor, words)
    if text[start : start + len(words)] != words:
        raise ValueError("the chat template changes the question's text, so its tokens cannot be located in the prompt")
    return text, start


def apply_template(processor: Any, words: str) -> str:
    """The chat-template text of one picture and some words, up to the place where the answer begins."""
    content = [{"type": "image"}, {"type": "text", "text": words}]
    return str(processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True))


def check_template(processor: Any, where: str) -> None:
    """Give the processor the template that its tokenizer carries where it has none, as in older checkpoints.

    Raises:
        CheckpointError: There is none, or it is damaged: the model would be asked in a form that it never saw.
    """
    if not processor.chat_template:
        processor.chat_template = processor.tokenizer.chat_template
    try:
        if "?" not in apply_template(processor, "?"):
            raise ValueError("it leaves the question out")
    except (ValueError, TypeError, jinja2.TemplateError) as error:
        raise CheckpointError(
            f"{where}: its chat template (chat_template.jinja, chat_template.json or in tokenizer_config.json) is "
            f"missing or damaged: {error}; copy it again"
        ) from error


def build_prompt(adapter: Adapter, sample: Sample, inputs: Mapping[str, Tensor], geometry: Geometry) -> Prompt:
    """Tokenise a sample's prompt and find its players.

    Text players are the tokens that overlap the question's characters; template, special and instruction tokens are
    never players.

    Args:
        adapter: The model's family.
        sample: The sample.
        inputs: The processor's own output for the sample's text and picture; its ids must be ours.
        geometry: The picture's geometry.

    Raises:
        ValueError: The processor tokenised the prompt differently, or no token overlaps the question.
    """
    text, start = render(adapter, sample)
    expansion = adapter.expansion(geometry)
    text = text.replace(adapter.placeholder(), expansion, 1)
    start += len(expansion) - len(adapter.placeholder())
    encoded = adapter.processor.tokenizer(text, return_offsets_mapping=True)
    ids = tuple(encoded["input_ids"])
    if ids != tuple(inputs["input_ids"][0].tolist()):
        raise ValueError(
            f"the processor of {adapter.family} gave {inputs['input_ids'].shape[1]} tokens and the expanded prompt "
            f"{len(ids)}, or different ones; the adapter does not describe this checkpoint's processor"
        )
    image_id = adapter.processor.tokenizer.convert_tokens_to_ids(adapter.placeholder())
    end = start + len(sample.question)
    positions = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < end and b > start and a < b]
    if not positions:
        raise ValueError(f"no token of the prompt overlaps the question {sample.question!r}")
    spans = [encoded["offset_mapping"][i] for i in positions]
    image_positions = tuple(i for i, token in enumerate(ids) if token == image_id)
    if image_positions[-1] > positions[0]:
        raise ValueError(f"the chat template of {adapter.family} puts the picture after the question")
    return Prompt(
        text=text,
        ids=ids,
        image_positions=image_positions,
        text_positions=tuple(positions),
        spans=tuple((max(a, start) - start, min(b, end) - start) for a, b in spans),
    )


def check_words(tokenizer: Any, sample: Sample) -> None:
    """Refuse a question or an instruction that the tokenizer cannot represent.

    Raises:
        ValueError: Control characters, special tokens, or words that are not in a closed vocabulary; all are named.
    """
    for kind, words in (("question", sample.question), ("instruction", sample.instruction)):
        control = {repr(c) for c in words if unicodedata.category(c) == "Cc" and c not in "\n\t\r"}
        if control:
            raise ValueError(f"the {kind} contains control characters: {', '.join(sorted(control))}; remove them")
        added = [token for token in tokenizer.get_added_vocab() if token in words]
        if added:
            raise ValueError(f"the {kind} contains special tokens of the model: {', '.join(added)}; rephrase it")
        unknown = unknown_words(tokenizer, words)
        if unknown:
            listed = ", ".join(repr(word) for word in unknown[:10]) + (", ..." if len(unknown) > 10 else "")
            raise ValueError(
                f"the {kind} has words that the model's vocabulary of {len(tokenizer)} words lacks: {listed}; "
                "this model reads lower-case words, with every punctuation mark set off by spaces"
                f"{_hint(tokenizer, words)}"
            )


def _hint(tokenizer: Any, words: str) -> str:
    """The same words as the model would read them, if it can; else known words that look like the unknown ones."""
    spelt = " ".join(re.sub(r"([^\w\s'-])", r" \1 ", words.lower()).split())
    unknown = unknown_words(tokenizer, spelt)
    if not unknown:
        return f"; try {spelt[:200]!r}"
    known = [word for word in tokenizer.get_vocab() if word.isalpha()]
    near = {word: difflib.get_close_matches(word, known, n=1, cutoff=0.7) for word in unknown[:10]}
    return "".join(f"; did you mean {found[0]!r} by {word!r}?" for word, found in near.items() if found)


def unknown_words(tokenizer: Any, words: str) -> list[str]:
    """Pieces of ``words`` that become the unknown token, each once, in order; empty for an open vocabulary."""
    unknown = tokenizer.unk_token_id
    if unknown is None or not words:
        return []
    encoded = tokenizer(words, add_special_tokens=False, return_offsets_mapping=True)
    pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return list(dict.fromkeys(words[a:b] for token, (a, b) in pairs if token == unknown))
