#!/usr/bin/env bash
# output[0] in a forward hook: the whole batch in one family, the first sample in another, and it moved with 5.
#
# Versions: Python 3.11.7, torch 2.13.0, transformers 4.57.6 and 5.23.0 (5.15.0 behaves as 5.23.0 does).
# Grad-CAM, activation patching and logit lens read a decoder layer by a forward hook, many with output[0], from the time
# when layers gave tuples. In 4.57.6 layers were mixed: gemma2, gemma3_text, phi, granite, gpt2, gpt_neox, opt,
# persimmon, stablelm, nemotron and the vision towers of CLIP and Pixtral gave a tuple of one; llama, mistral, qwen2, qwen3, gemma,
# phi3, olmo2, cohere, starcoder2, mixtral, qwen3_moe, glm4, helium and SigLIP, InternVL, DINOv2, ViT gave a tensor, of
# which [0] is the first *sample*. In 5.23.0 all of these give tensors; bloom and mpt still give a tuple of two.
# So output[0] is right for LLaVA's tower and wrong for its decoder in 4.57.6, and wrong for both in 5.23.0. At batch
# size 1 nothing raises: (tokens, width) broadcasts where (1, tokens, width) was meant.
# Seen: "4.57.6 tuple: clip_vision_model gemma2 ..." and the other lines below.
#
# Usage: bash findings/first_element_of_a_layers_output.sh    (network needed; minutes; nothing is kept)
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
from transformers import CONFIG_MAPPING, AutoModel

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
DECODERS = """bloom cohere gemma gemma2 gemma3_text glm4 gpt2 gpt_neox granite helium llama mistral mixtral mpt nemotron
olmo2 opt persimmon phi phi3 qwen2 qwen3 qwen3_moe stablelm starcoder2""".split()
TOWERS = "clip_vision_model dinov2 internvl_vision pixtral siglip_vision_model vit".split()
TEXT = dict(vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
TEXT |= dict(num_key_value_heads=2, head_dim=16, max_position_embeddings=256, pad_token_id=0, n_embd=64, n_layer=2)
TEXT |= dict(n_head=4, n_positions=128, ffn_dim=96, word_embed_proj_dim=64, d_model=64, n_heads=4, n_layers=2)
IMAGE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=32)
IMAGE |= dict(patch_size=8, num_channels=3)
found = {"tuple": [], "tensor": []}
for family in sorted(DECODERS + TOWERS):
    model = AutoModel.from_config(CONFIG_MAPPING[family](**(IMAGE if family in TOWERS else TEXT))).eval()
    layers = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList) and len(module) == 2)
    seen = []
    layers[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        if family in TOWERS:
            model(pixel_values=torch.randn(3, 3, 32, 32))
        else:
            model(input_ids=torch.randint(3, 96, (3, 5)))
    found["tuple" if isinstance(seen[0], tuple) else "tensor"].append(family)
for kind, families in found.items():
    print(f"{transformers.__version__} {kind}:", *families)
PY
venv/bin/python ask.py 2>/dev/null | tee seen.txt
venv/bin/pip install --quiet transformers==5.23.0
venv/bin/python ask.py 2>/dev/null | tee -a seen.txt
diff seen.txt - <<'SEEN'
4.57.6 tuple: bloom clip_vision_model gemma2 gemma3_text gpt2 gpt_neox granite mpt nemotron opt persimmon phi pixtral stablelm
4.57.6 tensor: cohere dinov2 gemma glm4 helium internvl_vision llama mistral mixtral olmo2 phi3 qwen2 qwen3 qwen3_moe siglip_vision_model starcoder2 vit
5.23.0 tuple: bloom mpt
5.23.0 tensor: clip_vision_model cohere dinov2 gemma gemma2 gemma3_text glm4 gpt2 gpt_neox granite helium internvl_vision llama mistral mixtral nemotron olmo2 opt persimmon phi phi3 pixtral qwen2 qwen3 qwen3_moe siglip_vision_model stablelm starcoder2 vit
SEEN
