"""Write ``authors.json``: what the authors' own code says of the inputs in ``authors_fixture.py``.

    python tests/support/authors_record.py [--tam FOLDER]

Their packages, pinned below, go into a temporary folder and nowhere else; PyTorch, NumPy and what these packages need
beside them are those of the running environment. Nothing of the toolkit is imported. TAM is no package: FOLDER is a
checkout of xmed-lab/TAM, and without one its stored numbers stay.
"""

import argparse
import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import tempfile
import types
import warnings
from importlib.metadata import version
from pathlib import Path

PINNED = (
    "captum==0.9.0", "shap==0.51.0", "slicer==0.0.8", "cloudpickle==3.1.3", "shapiq==1.4.1", "grad-cam==1.5.7",
    "ttach==0.0.3", "opencv-python-headless==5.0.0.93", "lxt==2.1", "transformers==4.52.4", "tokenizers==0.21.4",
    "huggingface_hub==0.34.4",
)  # fmt: skip
HERE = Path(__file__).parent
RECORDED = HERE / "authors.json"
DRAWS, LEVEL = 6, 0.1


def _stand_in_for_torchvision() -> None:
    """Two packages import it for photographs and torchvision's models, which are not used here."""
    import torch

    used = {
        "torchvision": {}, "torchvision.transforms": dict.fromkeys(("Compose", "Normalize", "ToTensor")),
        "torchvision.transforms.functional": {"resize": None}, "torchvision.models": {},
        "torchvision.models.vision_transformer": {"nn": torch.nn},
    }  # fmt: skip
    for name, content in used.items():
        module = sys.modules[name] = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(content)
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own, module)


def gradients(fixture):
    """Captum, on the smooth model; removed inputs are 0."""
    import torch
    from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients, NoiseTunnel, Saliency

    model = fixture.Smooth()
    inputs = fixture.picture(), fixture.question()
    cells = torch.arange(4).view(2, 2).repeat_interleave(2, 0).repeat_interleave(2, 1).view(1, 1, 4, 4)
    words = (4 + torch.arange(3)).view(1, 3, 1).expand(1, 3, 3)

    def summed(by_pixel, by_embedding):
        image = torch.zeros(4, dtype=torch.float64).index_add_(0, cells.flatten(), by_pixel.detach().flatten())
        return [*image.tolist(), *by_embedding.detach().sum(-1).flatten().tolist()]

    def log_p(pixels, question):
        return model(pixels, question).log()

    found = IntegratedGradients(model).attribute(inputs, n_steps=500)
    yield "integrated-gradients", "captum", "IntegratedGradients, 500 Gauss-Legendre nodes", summed(*found), {}
    found = InputXGradient(log_p).attribute(inputs)
    yield "input-x-gradient", "captum", "InputXGradient", summed(*found), {}
    found = FeatureAblation(model).attribute(inputs, feature_mask=(cells, words))
    alone = found[0][0, 0, ::2, ::2].flatten().tolist() + found[1][0, :, 0].tolist()
    yield "occlusion", "captum", "FeatureAblation with a mask of cells and words", alone, {}

    seen = []

    def watched(pixels, question):
        seen.append((pixels.detach().clone(), question.detach().clone()))
        return log_p(pixels, question)

    torch.manual_seed(0)
    spread = tuple(LEVEL * float(x.max() - x.min()) for x in inputs)
    tunnel = NoiseTunnel(Saliency(watched))
    found = tunnel.attribute(inputs, nt_type="smoothgrad", nt_samples=DRAWS, stdevs=spread, abs=False)
    drawn = [torch.cat([rows[i] for rows in seen]) for i in range(2)]
    noise = [((d - x) / s).tolist() for d, x, s in zip(drawn, inputs, spread, strict=True)]
    scores = summed(*(x * g for x, g in zip(inputs, found, strict=True)))
    yield "smoothgrad", "captum", "NoiseTunnel of Saliency, times the input", scores, {"noise": noise}


def games(fixture):
    """shap and shapiq, on games of seven players."""
    import numpy as np
    import shap
    from shapiq import ExactComputer

    def game(table):
        return lambda asked: table[np.asarray(np.atleast_2d(asked)).astype(int) @ (1 << np.arange(7))]

    kernel = shap.KernelExplainer(game(fixture.values()), np.zeros((1, 7)))
    found = kernel.shap_values(np.ones((1, 7)), nsamples=2**7, l1_reg=False, silent=True)
    yield "kernel-shap", "shap", "KernelExplainer with all coalitions", np.ravel(found).tolist(), {}
    kinds = {
        "shapley-interaction": ("SII", fixture.values()), "faith-shapley-interaction": ("FSII", fixture.values()),
        "banzhaf-interaction": ("BII", fixture.of_pairs()),
    }  # fmt: skip
    for name, (index, table) in kinds.items():
        exact = ExactComputer(game=game(table), n_players=7)(index, order=2)
        pairs = [[float(exact[(i, j)]) for j in range(4, 7)] for i in range(4)]
        yield name, "shapiq", f"ExactComputer, {index} of order 2", pairs, {}


def decoders(fixture):
    """pytorch-grad-cam and lxt, on decoders; the latter last, since it changes transformers' classes."""
    import numpy as np
    import torch
    from pytorch_grad_cam import GradCAM
    from transformers.models.llama import modeling_llama
    from transformers.models.qwen2 import modeling_qwen2

    class Answer(torch.nn.Module):
        def __init__(self, decoder):
            super().__init__()
            self.decoder = decoder

        def forward(self, embedded):
            return self.decoder(inputs_embeds=embedded).logits[:, -1]

    model = Answer(fixture.decoder("Llama"))
    layer = model.decoder.model.layers[fixture.LAYER].post_attention_layernorm
    as_image = lambda tokens: tokens.transpose(1, 2)[..., None]  # noqa: E731
    with GradCAM(model=model, target_layers=[layer], reshape_transform=as_image) as cam:
        logits = cam.activations_and_grads(fixture.sequence().requires_grad_(True))
        logits[0, fixture.TOKEN].backward()
        activations, slopes = (
            kept[0].detach().numpy()
            for kept in (cam.activations_and_grads.activations, cam.activations_and_grads.gradients)
        )
        found = cam.get_cam_image(None, layer, None, activations, slopes, False)
    yield "grad-cam", "grad-cam", "GradCAM.get_cam_image", np.ravel(found).tolist(), {}

    from lxt.efficient import monkey_patch

    maps = {}
    for family, module in (("Llama", modeling_llama), ("Qwen2", modeling_qwen2)):
        monkey_patch(module)
        embedded = fixture.sequence().requires_grad_(True)
        logit = Answer(fixture.decoder(family))(embedded)[0, fixture.TOKEN]
        (slope,) = torch.autograd.grad(logit, embedded)
        maps[family] = (slope * embedded).sum(-1)[0].tolist()
    yield "attn-lrp", "lxt", "efficient.monkey_patch of Llama and Qwen2", list(maps.values()), {}


def stages_of_tam(fixture, folder: Path):
    """TAM's filter and its fitted scale, from its file; PyMuPDF, which it imports to draw words, is not needed."""
    sys.modules["fitz"] = types.ModuleType("fitz")
    spec = importlib.util.spec_from_file_location("authors_tam", folder / "tam.py")
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    head = ["git", "-C", str(folder), "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    activation, interference = fixture.maps()
    scores = [*theirs.rank_guassian_filter(activation).ravel(), theirs.least_squares(activation, interference)]
    what = {"package": "xmed-lab/TAM", "version": commit, "code": "rank_guassian_filter and least_squares"}
    return what | {"scores": [float(score) for score in scores]}


def record(tam: Path | None) -> None:
    """Run all of it."""
    _stand_in_for_torchvision()
    sys.path.insert(0, str(HERE))
    import authors_fixture as fixture

    before = json.loads(RECORDED.read_text(encoding="utf-8"))["entries"] if RECORDED.exists() else {}
    entries = {"tam": stages_of_tam(fixture, tam) if tam else before["tam"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in (gradients, games, decoders):
            for name, package, code, scores, beside in part(fixture):
                entries[name] = {"package": package, "version": version(package), "code": code, "scores": scores}
                entries[name] |= beside
    with_what = {name: version(name).partition("+")[0] for name in ("torch", "numpy", "transformers")}
    what = {"python": ".".join(map(str, sys.version_info[:2]))} | with_what
    RECORDED.write_text(json.dumps({"made with": what, "entries": entries}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tam", type=Path)
    parser.add_argument("--installed", type=Path, help="Folder that holds the pinned packages already.")
    given = parser.parse_args()
    if given.installed:
        sys.path.insert(0, str(given.installed))
        record(given.tam)
    else:
        with tempfile.TemporaryDirectory() as folder:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
            subprocess.run([*pip, *PINNED], check=True)
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--installed", folder], check=True)
