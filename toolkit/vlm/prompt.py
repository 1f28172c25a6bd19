"""The prompt of a sample: token ids, where the picture's tokens stand, and which tokens are players."""

from __future__ import annotations

import difflib
import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.datasets.instructions import QUESTION, make_instruction, put_together
from toolkit.datasets.sample import Sample
from toolkit.vlm.adapters.adapter_base import Adapter, Geometry
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.thoughts import as_written, behind_thoughts, warn_of_open_thoughts

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
        user_positions: Index of each token of the user's text, which is the question and its instruction.
    """

    text: str
    ids: tuple[int, ...]
    image_positions: tuple[int, ...]
    text_positions: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    user_positions: tuple[int, ...] = ()

    @property
    def prefix_length(self) -> int:
        """Number of tokens before the first text player: template and image tokens, the same in every coalition."""
        return self.text_positions[0]

    @cached_property
    def players_after_prefix(self) -> NDArray[np.int64]:
        """Index of each text player among the tokens after the prefix."""
        return np.array(self.text_positions) - self.prefix_length


def as_asked(adapter: Adapter, sample: Sample) -> Sample:
    """The sample with an instruction: its own, or where it leaves that to the model, the one with which this is asked.

    A model with a closed vocabulary that lacks words of the released wording (style ``llava``) is asked as the scenes
    ask, every other one as LLaVA was trained and the common harness asks.
    """
    if sample.instruction is not None:
        return sample
    released = make_instruction("llava", sample.choices)
    is_closed = bool(unknown_words(adapter.processor.tokenizer, released or ""))
    _ = sample.image_digest  # hashed once, for every later request
    return sample.with_instruction(make_instruction("scenes", sample.choices) if is_closed else released)


def render(adapter: Adapter, sample: Sample) -> tuple[str, int]:
    """The chat-template text of a sample and the index at which its question starts.

    Raises:
        ValueError: The chat template changes the words, leaves them out or writes them more than once; it says which.
            Or it has not one place for each of several images.
    """
    sample = as_asked(adapter, sample)
    whole, start = put_together(sample.question, sample.instruction or "")
    words = whole.strip()  # templates do so too
    start -= len(whole) - len(whole.lstrip())
    n_images = len(sample.images)
    marked = apply_template(adapter.processor, _MARK, n_images)
    if marked.count(_MARK) != 1:
        n = marked.count(_MARK)
        what = f"writes the question {n} times" if n else "leaves the question out"
    else:
        before, after = marked.split(_MARK)
        text = apply_template(adapter.processor, words, n_images)
        if n_images > 1 and marked.count(adapter.mark()) != n_images:
            raise ValueError(
                f"the chat template of {adapter.family} has {marked.count(adapter.mark())} places for the sample's "
                f"{n_images} images; give the checkpoint a template that writes one for each"
            )
        if text == before + words + after:
            return text, len(before) + start
        is_around = text.startswith(before) and text.endswith(after)
        what = _change(words, text[len(before) : len(text) - len(after)] if is_around else "")
    raise ValueError(
        f"the chat template of {adapter.family} {what}, so the question's tokens cannot be located in the prompt; give "
        "the checkpoint a template that writes the user's text once and as it is"
    )


def _change(words: str, written: str) -> str:
    """What a template did to the words that it was given."""
    changes = {
        words.upper(): "writes the question in capitals",
        words.lower(): "writes the question in lower case",
        words[::-1]: "turns the question round",
        " ".join(reversed(words.split())): "turns the question's words round",
        " ".join(words.split()): "joins the question's lines and blanks",
        html.escape(words): "escapes characters of the question",
    }
    if words and written.count(words) > 1:
        return f"writes the question {written.count(words)} times"
    return changes.get(written, "changes the question's text")


def apply_template(processor: Any, words: str, n_images: int = 1) -> str:
    """The chat-template text of some images and some words, up to the place where the answer begins.

    That is behind the thoughts of a model that thinks first: see :mod:`toolkit.vlm.thoughts`. A first token that the
    template writes and the tokenizer adds too is left to the tokenizer, as in transformers.
    """
    text = behind_thoughts(as_written(processor, words, n_images))
    first = processor.tokenizer.bos_token
    is_added = first and processor.tokenizer("")["input_ids"][:1] == [processor.tokenizer.bos_token_id]
    return text.removeprefix(first) if is_added else text


def check_template(processor: Any, where: str) -> None:
    """Give the processor the template that its tokenizer carries where it has none, as in older checkpoints.

    Raises:
        CheckpointError: There is none, or it is damaged: the model would be asked in a form that it never saw.
    """
    if not processor.chat_template:
        processor.chat_template = processor.tokenizer.chat_template
    try:
        written = as_written(processor, "?")
        if "?" not in written:
            raise ValueError("it leaves the question out")
    except Exception as error:
        if not isinstance(error, ValueError | TypeError) and type(error).__module__.partition(".")[0] != "jinja2":
            raise
        raise CheckpointError(
            f"{where}: its chat template (chat_template.jinja, chat_template.json or in tokenizer_config.json) is "
            f"missing or damaged: {error}; copy it again"
        ) from error
    warn_of_open_thoughts(where, written)


def build_prompt(
    adapter: Adapter, sample: Sample, inputs: Mapping[str, Tensor], geometries: Sequence[Geometry]
) -> Prompt:
    """Tokenise a sample's prompt and find its players.

    Text players are the tokens that overlap the question's characters; template, special and instruction tokens are
    never players.

    Args:
        adapter: The model's family.
        sample: The sample.
        inputs: The processor's own output for the sample's text and images; its ids must be ours.
        geometries: The images' geometries, in the order of the prompt.

    Raises:
        ValueError: The processor tokenised the prompt differently, or no token overlaps the question.
    """
    text, start = render(adapter, sample)
    expansions = [adapter.expansion(geometry) for geometry in geometries]
    before, *after = text.split(adapter.mark(), len(geometries))
    text = before + "".join(expansion + rest for expansion, rest in zip(expansions, after, strict=False))
    start += sum(map(len, expansions)) - len(expansions) * len(adapter.mark())
    encoded = _with_offsets(adapter.processor.tokenizer, text)
    ids = tuple(encoded["input_ids"])
    if ids != tuple(inputs["input_ids"][0].tolist()):
        raise ValueError(
            f"the processor of {adapter.family} gave {inputs['input_ids'].shape[1]} tokens and the expanded prompt "
            f"{len(ids)}, or different ones; the adapter does not describe this checkpoint's processor"
        )
    image_id = adapter.processor.tokenizer.convert_tokens_to_ids(adapter.placeholder())
    whole, offset = put_together(sample.question, as_asked(adapter, sample).instruction or "")
    first = start - offset + len(whole) - len(whole.lstrip())

    def between(start: int, end: int) -> tuple[int, ...]:
        return tuple(i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < end and b > start and a < b)

    positions = between(start, start + len(sample.question))
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
        text_positions=positions,
        spans=tuple((max(a, start) - start, min(b, start + len(sample.question)) - start) for a, b in spans),
        user_positions=between(first, first + len(whole.strip())),
    )


def check_words(adapter: Adapter, sample: Sample) -> None:
    """Refuse a question or an instruction that the tokenizer cannot represent.

    Raises:
        ValueError: Control characters, special tokens, or words that are not in a closed vocabulary; all are named.
            Or a tokenizer that does not say where its tokens stand.
    """
    tokenizer = adapter.processor.tokenizer
    structure = _special_tokens(adapter)
    for kind, words in (("question", sample.question), ("instruction", sample.instruction or "")):
        words = words.replace(QUESTION, " ") if kind == "instruction" else words
        control = {repr(c) for c in words if unicodedata.category(c) == "Cc" and c not in "\n\t\r"}
        if control:
            raise ValueError(f"the {kind} contains control characters: {', '.join(sorted(control))}; remove them")
        special = [token for token in structure if token in words]
        if special:
            raise ValueError(f"the {kind} contains special tokens of the model: {', '.join(special)}; rephrase it")
        unknown = unknown_words(tokenizer, words)
        if unknown:
            listed = ", ".join(repr(word) for word in unknown[:10]) + (", ..." if len(unknown) > 10 else "")
            raise ValueError(
                f"the {kind} has words that the model's vocabulary of {len(tokenizer)} words lacks: {listed}; "
                "this model reads lower-case words, with every punctuation mark set off by spaces"
                f"{_hint(tokenizer, words)}"
            )


def _special_tokens(adapter: Adapter) -> list[str]:
    """Tokens that build a prompt and may not stand in a text: special ones, placeholders, and those of the template.

    An added token is not special for being added: Gemma's tokenizer adds line breaks and runs of blanks.
    """
    processor = adapter.processor
    tokenizer = processor.tokenizer
    template = apply_template(processor, _MARK)
    added = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content.strip() and token.content in template)
    ]
    named = [getattr(processor, name, None) for name in ("image_token", "video_token")]
    placeholders = [
        token for token in (adapter.placeholder(), adapter.mark(), *named) if isinstance(token, str) and token
    ]
    return list(dict.fromkeys([*added, *tokenizer.all_special_tokens, *placeholders]))


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
    encoded = _with_offsets(tokenizer, words, add_special_tokens=False)
    pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return list(dict.fromkeys(words[a:b] for token, (a, b) in pairs if token == unknown))


def _with_offsets(tokenizer: Any, text: str, *, add_special_tokens: bool = True) -> Any:
    """Token ids of a text and the characters that each stands for.

    Raises:
        ValueError: The tokenizer does not say the latter.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"the tokenizer {type(tokenizer).__name__} does not say which characters its tokens stand for; load the "
            "checkpoint's fast tokenizer, which lies in tokenizer.json"
        )
    return tokenizer(text, add_special_tokens=add_special_tokens, return_offsets_mapping=True)
