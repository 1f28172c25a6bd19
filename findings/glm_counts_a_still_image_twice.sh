#!/usr/bin/env bash
# GLM-4V's image processors bound a still image at half the pixels that the same two numbers allow on Qwen2-VL.
#
# Versions: Python 3.11.7, torch 2.13.0, pillow 13.0.0, numpy 2.4.6; transformers 5.24.0.
# Both families cut an image into patches of 14 pixels, write each patch twice (temporal_patch_size 2) and take the
# bounds size={"shortest_edge": fewest, "longest_edge": most}, which count pixels of the resized image, not its sides.
# Qwen2-VL counts a still image once. GLM-4.1V and GLM-4.6V multiply by the two equal frames before they compare, so
# with the same bounds a large image becomes half as many patches, and a small one is enlarged to half as many.
# Whoever sets the same number of pixels for both ("the same budget of image tokens") gives GLM half of it; the bounds
# have to be doubled for GLM. get_number_of_image_patches says the same numbers as the images have.
# Seen: with 448 * 448 pixels at most an image of 896 x 896 has 32 x 32 patches on Qwen2-VL and 22 x 22 on GLM; with
# 112 * 112 pixels at least an image of 56 x 56 has 8 x 8 and 6 x 6; with doubled bounds GLM has what Qwen2-VL has.
#
# Usage: bash findings/glm_counts_a_still_image_twice.sh   (network needed; minutes; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 pillow==13.0.0 numpy==2.4.6 transformers==5.24.0
cat > ask.py <<'PY'
import numpy as np
import transformers
from PIL import Image

noise = np.random.default_rng(0).integers(0, 256, (896, 896, 3), dtype=np.uint8)
for name, times in (("Qwen2VL", 1), ("Glm4v", 1), ("Glm46V", 1), ("Glm4v", 2)):
    seen = []
    for side, fewest in ((896, 56 * 56), (56, 112 * 112)):
        bounds = {"shortest_edge": times * fewest, "longest_edge": times * 448 * 448}
        images = getattr(transformers, f"{name}ImageProcessorPil")(size=bounds)
        made = images(images=[Image.fromarray(noise[:side, :side])], return_tensors="np")
        _, rows, columns = made["image_grid_thw"][0]
        assert rows * columns == images.get_number_of_image_patches(side, side)
        seen.append(f"{rows}x{columns}")
    print(name, times, *seen)
PY
found="$(venv/bin/python ask.py 2>/dev/null)"
echo "$found"
[ "$found" = "Qwen2VL 1 32x32 8x8
Glm4v 1 22x22 6x6
Glm46V 1 22x22 6x6
Glm4v 2 32x32 8x8" ]
