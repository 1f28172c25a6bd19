#!/usr/bin/env bash
# The image processors named "Pil" are there for machines without torchvision; some asked for it all the same.
#
# Versions: Python 3.11.7, torch 2.13.0, pillow 13.0.0, numpy 2.4.6, no torchvision; transformers 5.15.0 and 5.23.0.
# transformers 5 has two image processors per model, one that computes with torchvision and one, ...ImageProcessorPil,
# that computes with PIL and numpy. Made with their defaults where torchvision is not installed,
#   * in 5.15.0 six of the 90 raise ImportError ("requires the Torchvision library"): HunYuanVL, Idefics2, Idefics3,
#     Ovis2, Segformer, SmolVLM;
#   * in 5.23.0 none of the 93 does.
# So a checkpoint of Idefics3 or SmolVLM loads on the newer version and not on the older one, with backend="pil" on
# both, and the message points at a library that does no work there.
# Seen: "5.15.0 90 HunYuanVL Idefics2 Idefics3 Ovis2 Segformer SmolVLM" and "5.23.0 93".
#
# Usage: bash findings/pil_image_processors_that_ask_for_torchvision.sh   (network needed; minutes; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 pillow==13.0.0 numpy==2.4.6 transformers==5.15.0
cat > ask.py <<'PY'
import importlib.util
import logging

import transformers

logging.disable(logging.CRITICAL)
assert importlib.util.find_spec("torchvision") is None
names = [name for name in dir(transformers) if name.endswith("ImageProcessorPil")]
asking = []
for name in names:
    try:
        getattr(transformers, name)()
    except ImportError as error:
        if "Torchvision" in str(error):
            asking.append(name.removesuffix("ImageProcessorPil"))
    except Exception:  # one that has no defaults
        continue
print(transformers.__version__, len(names), *asking)
PY
older="$(venv/bin/python ask.py 2>/dev/null | tail -1)"
venv/bin/pip install --quiet transformers==5.23.0
newer="$(venv/bin/python ask.py 2>/dev/null | tail -1)"
echo "$older"
echo "$newer"
[ "$older" = "5.15.0 90 HunYuanVL Idefics2 Idefics3 Ovis2 Segformer SmolVLM" ]
[ "$newer" = "5.23.0 93" ]
