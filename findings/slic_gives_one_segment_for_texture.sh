#!/usr/bin/env bash
# SLIC asked for 50 segments: 31 to 42 on photographs, one on texture; slic_zero: 49 to 54, and 2 on a chequerboard.
#
# Versions: Python 3.11.7, scikit-image 0.26.0, numpy 2.4.6.
# Perturbation explainers (LIME, segment players) take n_segments for the number of features. skimage.segmentation.slic
# with its defaults gives, for the three photographs of the library: astronaut 31, coffee 35, chelsea 42. On an even grey
# image or a gradient 48. On noise or on a fine chequerboard it gives *one* segment: the colour distance outweighs the
# spatial one everywhere, and enforce_connectivity then merges the crumbs, without a warning. compactness=100 gives 30
# and 34 there. slic_zero=True gives 49, 54, 54, 48, 48, noise 48, chequerboard 2.
# So the number of players depends on the texture of the picture, down to a game with nothing to play.
# Seen: "default astronaut=31 coffee=35 chelsea=42 grey=48 gradient=48 noise=1 chequerboard=1" and a line for slic_zero.
#
# Usage: bash findings/slic_gives_one_segment_for_texture.sh    (network needed; a minute; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet scikit-image==0.26.0 numpy==2.4.6
venv/bin/python - <<'PY' | tee seen.txt
import numpy as np
from skimage import data
from skimage.segmentation import slic

chequers = np.kron(np.indices((30, 40)).sum(0) % 2, np.ones((10, 10)))[..., None].repeat(3, 2)
images = {
    "astronaut": data.astronaut(),
    "coffee": data.coffee(),
    "chelsea": data.chelsea(),
    "grey": np.full((300, 400, 3), 128, np.uint8),
    "gradient": np.tile(np.linspace(0, 255, 400).astype(np.uint8)[None, :, None], (300, 1, 3)),
    "noise": np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8),
    "chequerboard": (255 * chequers).astype(np.uint8),
}
for name, zero in (("default", False), ("slic_zero", True)):
    counts = {key: len(np.unique(slic(image, n_segments=50, slic_zero=zero))) for key, image in images.items()}
    print(name, *(f"{key}={count}" for key, count in counts.items()))
PY
diff seen.txt - <<'SEEN'
default astronaut=31 coffee=35 chelsea=42 grey=48 gradient=48 noise=1 chequerboard=1
slic_zero astronaut=49 coffee=54 chelsea=54 grey=48 gradient=48 noise=48 chequerboard=2
SEEN
