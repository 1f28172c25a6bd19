"""A small tokenizer in the manner of the released models."""

from __future__ import annotations

import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TURNS = (
    "{{% for m in messages %}}<|im_start|>{{{{ m['role'] }}}}\n{{% for c in m['content'] %}}"
    "{{% if c['type'] == 'image' %}}{image}{{% else %}}{{{{ c['text'] }}}}{{% endif %}}{{% endfor %}}"
    "<|im_end|>\n{{% endfor %}}"
    "{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
)
USER = (
    "{% for m in messages %}{{ m['role'].upper() }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
    "{% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)

_CORPUS = ("is there a red circle? answer yes or no. what is the colour of the blue square? " * 3,)


def bpe(special: dict[str, str], *, bos: str | None = None) -> hf.PreTrainedTokenizerFast:
    """A byte-level tokenizer whose words are several tokens, with the released models' special tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(_CORPUS, trainer)
    named = {"pad_token": "<pad>", "eos_token": "<|im_end|>"} | ({"bos_token": bos} if bos else {})
    return hf.PreTrainedTokenizerFast(tokenizer_object=backend, extra_special_tokens=special, **named)
