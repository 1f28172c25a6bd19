#!/usr/bin/env bash
# A transparent pixel had its hidden colour for LLaVA and Qwen-VL; since transformers 5 it is white.
#
# Versions: Python 3.11.7, torch 2.13.0, pillow 13.0.0, numpy 2.4.6; transformers 4.57.6 and 5.23.0, no torchvision.
# An image of 96 x 96 pixels, mode RGBA, red and wholly transparent, is given to image processors made with their
# defaults, beside a red and a white one without transparency. In 4.57.6 the picture equals the *red* one for CLIP (the
# processor of LLaVA-1.5), LLaVA-NeXT, LLaVA-OneVision, Qwen2-VL, GOT-OCR2 (InternVL), Gemma 3 and BLIP, and the *white*
# one for Idefics2, Idefics3, Pixtral and Mllama. In 5.23.0 it equals the white one for all eleven.
# So a logo, a screenshot or a chart with transparency is another picture on the two versions, for some families only;
# and Pillow's own convert("RGB"), which datasets.Image(mode="RGB") calls, still gives the hidden colour on both.
# Seen: "4.57.6 red: CLIP ..." and "4.57.6 white: ...", "5.23.0 red:" (none) and "5.23.0 white: ..." (all).
#
# Usage: bash findings/transparent_pixels_changed_colour.sh    (network needed; minutes; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==4.57.6 pillow==13.0.0 numpy==2.4.6
cat > ask.py <<'PY'
import logging
import warnings

import numpy as np
import transformers
from PIL import Image

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
FAMILIES = "CLIP LlavaNext LlavaOnevision Qwen2VL GotOcr2 Gemma3 Blip Idefics2 Idefics3 Pixtral Mllama".split()
five = transformers.__version__.startswith("5")
found = {"red": [], "white": []}
for family in FAMILIES:
    prepare = getattr(transformers, family + ("ImageProcessorPil" if five else "ImageProcessor"))()

    def pixels(mode, colour):
        image = Image.new(mode, (96, 96), colour)
        return np.asarray(prepare(images=image, return_tensors="np")["pixel_values"], dtype=float)

    clear = pixels("RGBA", (255, 0, 0, 0))
    for name, colour in (("red", (255, 0, 0)), ("white", (255, 255, 255))):
        if np.allclose(clear, pixels("RGB", colour), atol=1e-3):
            found[name].append(family)
for name, families in found.items():
    print(f"{transformers.__version__} {name}:", *families)
assert Image.new("RGBA", (1, 1), (255, 0, 0, 0)).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
PY
venv/bin/python ask.py 2>/dev/null | tee seen.txt
venv/bin/pip install --quiet transformers==5.23.0
venv/bin/python ask.py 2>/dev/null | tee -a seen.txt
diff seen.txt - <<'SEEN'
4.57.6 red: CLIP LlavaNext LlavaOnevision Qwen2VL GotOcr2 Gemma3 Blip
4.57.6 white: Idefics2 Idefics3 Pixtral Mllama
5.23.0 red:
5.23.0 white: CLIP LlavaNext LlavaOnevision Qwen2VL GotOcr2 Gemma3 Blip Idefics2 Idefics3 Pixtral Mllama
SEEN
