#!/usr/bin/env bash
# Feature masks of an image and of a text that both count from 0: one feature or two? It depends on method and version.
#
# Versions: Python 3.11.7, torch 2.13.0, scikit-learn 1.7.2, captum 0.8.0 and 0.9.0.
# captum's perturbation methods take a tuple of inputs and a tuple of feature masks. Two masks that each begin at 0 say,
# to a reader, "image part 0" and "text part 0". FeatureAblation removed them one by one until 0.8.0; in 0.9.0 it
# removes both at once, as ShapleyValueSampling and KernelShap do in either version. There is no warning, and results
# have the same shapes. With f = (sum of image) * (sum of text) + 10 * (first of image), image 1 2 | 3 4, text 5 | 6 7:
#     FeatureAblation 0.8.0   image 64, 126   text 50, 130     (each alone)
#     FeatureAblation 0.9.0   image 99, 165   text 99, 165     (part 0 of both, part 1 of both)
# Numbers that go on from the image's (0 1, then 2 3) give 64, 126, 50, 130 in both.
# So an ablation of image and text that ran for years measures another thing after an upgrade: joint removal, in which
# image and text cannot be told apart.
# Seen: "0.8.0 shared 64 126 50 130", "0.9.0 shared 99 165 99 165", "... distinct 64 126 50 130" twice.
#
# Usage: bash findings/captum_masks_of_two_inputs_share_their_numbers.sh    (network needed; minutes; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 captum==0.8.0 scikit-learn==1.7.2
cat > ask.py <<'PY'
import captum
import torch
from captum.attr import FeatureAblation, KernelShap, ShapleyValueSampling


def f(image, text):
    return image.sum(1) * text.sum(1) + 10 * image[:, 0]


inputs = torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([[5.0, 6, 7]])
image, text = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1]])
for name, masks in (("shared", (image, text)), ("distinct", (image, text + 2))):
    scores = FeatureAblation(f).attribute(inputs, feature_mask=masks)
    print(captum.__version__, name, *(round(float(score[0, place])) for score in scores for place in (0, -1)))
for method in (ShapleyValueSampling, KernelShap):
    torch.manual_seed(0)
    scores = method(f).attribute(inputs, feature_mask=(image, text), n_samples=200)
    joint = all(abs(float(scores[0][0, place] - scores[1][0, place])) < 1e-3 for place in (0, -1))
    print(captum.__version__, method.__name__, "joint" if joint else "each alone")
PY
venv/bin/python -W ignore ask.py | tee seen.txt
venv/bin/pip install --quiet captum==0.9.0
venv/bin/python -W ignore ask.py | tee -a seen.txt
diff seen.txt - <<'SEEN'
0.8.0 shared 64 126 50 130
0.8.0 distinct 64 126 50 130
0.8.0 ShapleyValueSampling joint
0.8.0 KernelShap joint
0.9.0 shared 99 165 99 165
0.9.0 distinct 64 126 50 130
0.9.0 ShapleyValueSampling joint
0.9.0 KernelShap joint
SEEN
