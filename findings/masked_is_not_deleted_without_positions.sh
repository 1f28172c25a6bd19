#!/usr/bin/env bash
# A model without positions: masking a word is still not deleting it, and two families read the masked word.
#
# Versions: Python 3.11.7, torch 2.13.0, transformers 5.23.0.
# In a transformer, masking a word differs from deleting it because the words behind keep their positions. State-space
# models have no positions, and padding on the left is exact for them, so one expects that masking is deleting. It is
# not: the mask puts zeros into the layer, but the state still decays, and the convolution still moves by one step.
# Largest difference of a logit of the last position (small random models, float32, the 7th of 14 words masked):
#                    full - masked   masked - deleted   three pads on the left - none
#     mamba               2.2             2.3                 0
#     mamba2              1.7             1.9                 2e-6
#     falcon_mamba        4.9             3.5                 0
# The masked prompt is about as far from the prompt without the word as from the one with it.
# recurrent_gemma and rwkv take the mask and read the masked word: replacing it by another one moves a logit by 0.34 and
# 1.7 (0 for the three above); for rwkv masking changes nothing at all.
# Seen: the lines "mamba ..." and "recurrent_gemma ..." with these numbers.
#
# Usage: bash findings/masked_is_not_deleted_without_positions.sh    (network needed; minutes; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==5.23.0
cat > ask.py <<'PY'
import logging
import warnings

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
COMMON = dict(vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4)
COMMON |= dict(num_key_value_heads=2, head_dim=16, max_position_embeddings=256, pad_token_id=0)
OWN = {
    "mamba": dict(state_size=8),
    "mamba2": dict(num_heads=8, head_dim=16, state_size=16, n_groups=1, expand=2),
    "falcon_mamba": dict(state_size=8),
    "recurrent_gemma": dict(block_types=["recurrent", "recurrent", "attention"], num_hidden_layers=3, lru_width=64),
    "rwkv": {},
}
for family, own in OWN.items():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**{**COMMON, **own})).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.2)

    def logits(words, mask):
        with torch.no_grad():
            return model(input_ids=words, attention_mask=mask, use_cache=False).logits[0, -1]

    def gap(one, two):
        return float((one - two).abs().max())

    words = torch.randint(3, 96, (1, 14))
    other = words.clone()
    other[0, 6] = 3 + (words[0, 6] - 3 + 40) % 93
    mask = torch.ones_like(words)
    mask[0, 6] = 0
    without = torch.cat([words[:, :6], words[:, 7:]], 1)
    pads = torch.zeros(1, 3, dtype=torch.long)
    masked, deleted = logits(words, mask), logits(without, torch.ones_like(without))
    padded = logits(torch.cat([pads, without], 1), torch.cat([pads, torch.ones_like(without)], 1))
    measured = (gap(logits(words, torch.ones_like(words)), masked), gap(masked, deleted), gap(padded, deleted),
                gap(masked, logits(other, mask)))
    print(family, *(f"{value:.2g}" for value in measured))
PY
venv/bin/python ask.py 2>/dev/null | tee seen.txt
python3 - <<'PY'
rows = {line.split()[0]: [float(value) for value in line.split()[1:]] for line in open("seen.txt")}
for family in ("mamba", "mamba2", "falcon_mamba"):
    effect, distance, left, reads = rows[family]
    assert effect > 1 and distance > 1, (family, "masking came close to deleting")
    assert left < 1e-4 and reads < 1e-4, (family, "padding is not exact, or the masked word is read")
assert rows["recurrent_gemma"][3] > 0.1 and rows["rwkv"][3] > 0.5, "the masked word is hidden now"
assert rows["rwkv"][0] == 0.0, "rwkv sees the mask now"
PY
