#!/usr/bin/env bash
# The same prompt with one masked word: alone, the masked word was read; twice in a batch, it was not.
#
# Versions: Python 3.11.7, torch 2.13.0, transformers 4.57.6 and 5.23.0 (5.15.0 behaves as 5.23.0 does).
# A zero in the middle of attention_mask is how many explainers remove a word. Families whose layers are convolutions or
# state spaces beside attention have to erase the word themselves, since such a layer sees no attention mask. In 4.57.6
# five of them did so only if the batch had more than one row. Measured on small random models, in float32: the largest
# change of a logit of the last position when the masked word is replaced by another word (0: it is really hidden).
#     4.57.6, one row:   mamba2 1.61, falcon_h1 0.38, bamba 1.83, qwen3_next 1.84, granitemoehybrid 2.94
#     4.57.6, two rows:  0 for all of these
#     5.23.0:            0 for all of these, one row or two
# lfm2 read the word in both in 4.57.6 (1.07) and reads it in neither in 5.23.0; llama, the control, never does.
# So a removal score computed one sample at a time on the older version had the word in it, and none of the tests that
# compare batches of equal size could tell.
# Seen: the table above, as "4.57.6 one row: ..." and so on.
#
# Usage: bash findings/hybrid_models_and_a_masked_word_at_batch_one.sh    (network needed; minutes; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==4.57.6
cat > ask.py <<'PY'
import logging
import warnings

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
COMMON = dict(vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4)
COMMON |= dict(num_key_value_heads=2, head_dim=16, max_position_embeddings=256, pad_token_id=0)
STATE = dict(mamba_d_head=16, mamba_d_state=16, mamba_n_groups=1)
OWN = {
    "llama": {},
    "mamba2": dict(num_heads=8, head_dim=16, state_size=16, n_groups=1, expand=2),
    "falcon_h1": dict(mamba_d_ssm=64, mamba_n_heads=4, **STATE),
    "bamba": dict(mamba_n_heads=8, attn_layer_indices=[1, 3], **STATE),
    "qwen3_next": dict(
        layer_types=["linear_attention", "full_attention"] * 2, linear_num_key_heads=2, linear_num_value_heads=4,
        linear_key_head_dim=16, linear_value_head_dim=16, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=32, shared_expert_intermediate_size=32,
    ),
    "granitemoehybrid": dict(
        layer_types=["mamba", "attention"] * 2, mamba_n_heads=8, num_local_experts=0, num_experts_per_tok=0,
        shared_intermediate_size=64, **STATE,
    ),
    "lfm2": dict(layer_types=["conv", "full_attention"] * 2, block_auto_adjust_ff_dim=False),
}


def small(family):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**{**COMMON, **OWN[family]})).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.2)
    return model


def read(model, rows):
    """By how much the answer depends on a word that the mask hides."""
    words = torch.randint(3, 96, (1, 14))
    other = words.clone()
    other[0, 6] = 3 + (words[0, 6] - 3 + 40) % 93
    mask = torch.ones_like(words)
    mask[0, 6] = 0
    with torch.no_grad():
        one, two = (
            model(input_ids=ids.repeat(rows, 1), attention_mask=mask.repeat(rows, 1), use_cache=False).logits[0, -1]
            for ids in (words, other)
        )
    return float((one - two).abs().max())


for rows, label in ((1, "one row"), (2, "two rows")):
    found = {family: read(small(family), rows) for family in OWN}
    print(f"{transformers.__version__} {label}:", *(f"{family}={gap:.2f}" for family, gap in found.items()))
PY
venv/bin/python ask.py 2>/dev/null | tee seen.txt
venv/bin/pip install --quiet transformers==5.23.0
venv/bin/python ask.py 2>/dev/null | tee -a seen.txt
python3 - <<'PY'
rows = {line.split(":")[0]: dict(pair.split("=") for pair in line.split(":")[1].split()) for line in open("seen.txt")}
reads = {name: {family for family, gap in row.items() if float(gap) > 0.1} for name, row in rows.items()}
five = {"mamba2", "falcon_h1", "bamba", "qwen3_next", "granitemoehybrid"}
assert reads == {
    "4.57.6 one row": five | {"lfm2"}, "4.57.6 two rows": {"lfm2"}, "5.23.0 one row": set(), "5.23.0 two rows": set(),
}, reads
PY
