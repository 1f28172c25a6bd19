#!/usr/bin/env bash
# One folder, one call, two models: whether peft is installed decides which, and nothing is said.
#
# Versions: Python 3.11.7, torch 2.13.0, transformers 5.23.0, peft 0.21.2.
# A folder holds a base model (config.json, model.safetensors) and, beside it, a LoRA adapter (adapter_config.json,
# adapter_model.safetensors), as peft's save_pretrained leaves it in a folder that has the base already.
# transformers' from_pretrained on that folder
#   * without peft: gives the base; no warning, no error, at the default verbosity;
#   * with peft:    gives base and adapter, not merged: a LlamaForCausalLM that has parameters called lora_A and lora_B.
# So a requirement that something else installs changes the answers of a checkpoint whose files did not change, and a
# digest of the folder cannot tell which of the two was measured.
# Seen: "without peft: lora=False said=[]", "with peft: lora=True said=[]", and logits that differ.
#
# Usage: bash findings/adapter_beside_its_base.sh        (network needed; a few minutes; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==5.23.0
cat > make.py <<'PY'
import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
settings = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, eos_token_id=1
)
LlamaForCausalLM(settings).save_pretrained("folder")
PY
cat > adapt.py <<'PY'
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

torch.manual_seed(1)
settings = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
get_peft_model(AutoModelForCausalLM.from_pretrained("folder"), settings).save_pretrained("folder")
PY
cat > load.py <<'PY'
import json
import logging
import sys
import warnings

import torch
import transformers

said = []


class Listener(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


logging.getLogger("transformers").addHandler(Listener(logging.WARNING))
logging.getLogger("transformers.probe").warning("heard")
assert said.pop() == "heard"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", UserWarning)
    model = transformers.AutoModelForCausalLM.from_pretrained("folder")
said += [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
with torch.no_grad():
    logits = model(torch.arange(8)[None]).logits[0, -1].tolist()
lora = any("lora_A" in name for name, _ in model.named_parameters())
json.dump({"lora": lora, "said": said, "class": type(model).__name__, "logits": logits}, open(sys.argv[1], "w"))
PY
export HF_HUB_OFFLINE=1
venv/bin/python make.py
venv/bin/pip install --quiet --no-deps peft==0.21.2 && venv/bin/pip install --quiet accelerate psutil
venv/bin/python adapt.py 2>/dev/null
venv/bin/python load.py with.json 2>/dev/null
venv/bin/pip uninstall --quiet --yes peft
venv/bin/python load.py without.json 2>/dev/null
venv/bin/python - <<'PY'
import json

without, present = (json.load(open(f"{name}.json")) for name in ("without", "with"))
for name, found in (("without peft", without), ("with peft", present)):
    print(f"{name}: class={found['class']} lora={found['lora']} said={found['said']}")
gap = max(abs(a - b) for a, b in zip(without["logits"], present["logits"]))
print(f"largest difference of a logit: {gap:.3f}")
assert not without["lora"] and present["lora"], "the same folder no longer gives two models"
assert without["said"] == present["said"] == [], "one of the two is announced now"
assert without["class"] == present["class"] == "LlamaForCausalLM"
assert gap > 1e-3
PY
