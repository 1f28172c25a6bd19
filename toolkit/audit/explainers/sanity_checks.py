"""Sanity checks of explainers: does a map depend on what it claims to explain?

Each check is a function that returns one table, with the mean over samples, its standard error and the number of
samples behind it. A map that survives the destruction of the model, or of the question, explains neither.

Reference: Adebayo et al., 2018, arXiv 1810.03292.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, draws, explain, get_explainer, resolve_target
from toolkit.explainers.tam import grid_shape
from toolkit.stats.rank_agreement import mean_and_error, rank_correlation, structural_similarity, text_share
from toolkit.vlm.protocol import VLM, forget


def with_model(vlm: VLM, model: nn.Module) -> VLM:
    """The same adapter around other weights, with empty caches.

    Raises:
        TypeError: The model was not made by ``load_vlm``; pass ``rebuild`` to the check instead.
    """
    from toolkit.vlm.model import LoadedVLM

    if not isinstance(vlm, LoadedVLM):
        raise TypeError(f"cannot rebuild {type(vlm).__name__} around other weights; pass rebuild=(vlm, model) -> vlm")
    return LoadedVLM(f"{vlm.name} (randomised)", vlm.adapter, model, players=vlm.players_as)  # type: ignore[arg-type]


def cascade(model: nn.Module) -> list[tuple[str, list[nn.Module]]]:
    """Parts of a model from the answer down to the pixels, each with the modules whose own weights belong to it.

    The output head and final norm, the decoder's blocks from last to first, what lies between the towers, the vision
    tower's blocks from last to first, and the rest (embeddings). A model without such parts is one stage.
    """
    from toolkit.explainers.internals.anatomy import anatomy

    if not hasattr(model, "get_decoder"):
        return [("model", list(model.modules()))]
    parts = anatomy(model)
    norm = getattr(parts.decoder, "norm", None)
    stages = [("head", [*parts.head.modules(), *([] if norm is None else norm.modules())])]
    for index in reversed(range(len(parts.decoder_layers))):
        stages.append((f"decoder {index + 1}", list(parts.decoder_layers[index].modules())))
    names = {module: name for name, module in model.named_modules()}
    taken = {module for _, modules in stages for module in modules}
    between = [m for m, n in names.items() if m not in taken and ("projector" in n or "merger" in n)]
    stages.append(("projector", between))
    for index in reversed(range(len(parts.vision_layers))):
        stages.append((f"vision {index + 1}", list(parts.vision_layers[index].modules())))
    taken = {module for _, modules in stages for module in modules}
    stages.append(("embeddings", [module for module in names if module not in taken]))
    return stages


def redraw(modules: Sequence[nn.Module], rng: np.random.Generator) -> int:
    """Replace the modules' own weights by a normal draw of the same mean and spread; returns how many numbers."""
    count = 0
    with torch.no_grad():
        for module in modules:
            for weight in module.parameters(recurse=False):
                spread = float(weight.detach().std()) if weight.numel() > 1 else 0.0
                drawn = float(weight.detach().mean()) + spread * rng.standard_normal(tuple(weight.shape))
                weight.copy_(torch.from_numpy(drawn).to(weight.dtype))
                count += weight.numel()
    return count


def weight_randomisation(
    explainers: Sequence[ExplainerLike],
    vlm: VLM,
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    rebuild: Callable[[VLM, nn.Module], VLM] = with_model,
) -> pd.DataFrame:
    """Destroy the model from the top down and see whether the maps change.

    After each stage the maps of the damaged model, for the answer of the intact one, are compared with the original
    maps. A map that describes the model loses its rank correlation; one that copies the picture keeps it.

    Args:
        explainers: Explainers.
        vlm: The model; it is copied and not changed.
        samples: Samples.
        seed: Seed of the drawn weights and of the explainers.
        rebuild: Puts damaged weights into a VLM; only needed for models that ``load_vlm`` did not make.

    Returns:
        One row per explainer, stage and modality: ``explainer, stage, position, modality, rho, rho_se, n_samples``.
    """
    targets = [resolve_target(vlm, sample, None) for sample in samples]
    names = [get_explainer(explainer).name for explainer in explainers]
    original = {
        name: [explain(explainer, vlm, s, target=t, seed=seed) for s, t in zip(samples, targets, strict=True)]
        for name, explainer in zip(names, explainers, strict=True)
    }
    model = copy.deepcopy(vlm.white_box(samples[0], target=targets[0]).model)
    rng = np.random.default_rng(seed)
    rows = []
    for position, (stage, modules) in enumerate(cascade(model), start=1):
        redraw(modules, rng)
        damaged = rebuild(vlm, model)
        for name, explainer in zip(names, explainers, strict=True):
            maps = [explain(explainer, damaged, s, target=t, seed=seed) for s, t in zip(samples, targets, strict=True)]
            for modality in ("image", "text"):
                pairs = zip(original[name], maps, strict=True)
                rhos = [rank_correlation(a.of(modality), b.of(modality)) for a, b in pairs]
                rows.append((name, stage, position, modality, *mean_and_error(rhos)))
    return pd.DataFrame(rows, columns=["explainer", "stage", "position", "modality", "rho", "rho_se", "n_samples"])


def label_randomisation(
    explainers: Sequence[ExplainerLike], vlm: VLM, shuffled: VLM, samples: Sequence[Sample], *, seed: int = 0
) -> pd.DataFrame:
    """Compare the maps of a model with those of one that was trained on permuted answers.

    The maps explain the same answer, the trained model's own. A map of what the model learnt loses its rank
    correlation; one of the picture, or of features that need no answer, keeps it.

    Args:
        explainers: Explainers.
        vlm: The model.
        shuffled: The same model after it unlearnt its answers; ``shuffled_twin(vlm, probe).vlm``.
        samples: Samples.
        seed: Seed of the explainers.

    Returns:
        One row per explainer and modality: ``explainer, modality, rho, rho_se, ssim, ssim_se, n_samples``; SSIM for the
        image only.
    """
    targets = [resolve_target(vlm, sample, None) for sample in samples]
    rows = []
    for explainer in explainers:
        pairs = [
            tuple(explain(explainer, model, sample, target=target, seed=seed) for model in (vlm, shuffled))
            for sample, target in zip(samples, targets, strict=True)
        ]
        shapes = [grid_shape(vlm.regions(sample)) for sample in samples]
        for modality in ("image", "text"):
            rhos = [rank_correlation(a.of(modality), b.of(modality)) for a, b in pairs]
            ssims = [
                structural_similarity(a.of("image"), b.of("image"), shape) if modality == "image" else math.nan
                for (a, b), shape in zip(pairs, shapes, strict=True)
            ]
            rho, error, n = mean_and_error(rhos)
            rows.append((get_explainer(explainer).name, modality, rho, error, *mean_and_error(ssims)[:2], n))
    columns = ["explainer", "modality", "rho", "rho_se", "ssim", "ssim_se", "n_samples"]
    return pd.DataFrame(rows, columns=columns)


def _rho_table(explainers: Sequence[ExplainerLike], rhos_of: Callable[[ExplainerLike], list[float]]) -> pd.DataFrame:
    """Mean over samples of one correlation each, by explainer."""
    rows = [(get_explainer(explainer).name, *mean_and_error(rhos_of(explainer))) for explainer in explainers]
    return pd.DataFrame(rows, columns=["explainer", "rho", "rho_se", "n_samples"])


def seed_stability(
    explainers: Sequence[ExplainerLike], vlm: VLM, samples: Sequence[Sample], *, n: int = 3
) -> pd.DataFrame:
    """Rank correlation between maps of different seeds: 1 for a deterministic explainer, about 0 for noise.

    Returns:
        One row per explainer: ``explainer, rho, rho_se, n_samples``.
    """

    def rho(explainer: ExplainerLike, sample: Sample) -> float:
        pairs = itertools.combinations(draws(explainer, vlm, sample, n=n), 2)
        return mean_and_error([rank_correlation(a.scores, b.scores) for a, b in pairs])[0]

    return _rho_table(explainers, lambda explainer: [rho(explainer, sample) for sample in samples])


def partners(samples: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Each sample with the next one, in a circle, that has the same choices and asks something else."""
    pairs = []
    for index, sample in enumerate(samples):
        circle = (*samples[index + 1 :], *samples[:index])
        fitting = (o for o in circle if o.choices == sample.choices and o.question != sample.question)
        pairs += [(sample, other) for other in itertools.islice(fitting, 1)]
    return pairs


def question_randomisation(
    explainers: Sequence[ExplainerLike], vlm: VLM, samples: Sequence[Sample], *, seed: int = 0
) -> pd.DataFrame:
    """Ask another sample's question about the same picture: a map of the answer must move, a map of salience stays.

    Each sample is asked the question of the next one, in a circle, that has the same choices and asks something else;
    one without such a partner is left out. The compared maps are those of the image, each for the model's own answer
    to its own question.

    Returns:
        One row per explainer: ``explainer, rho, rho_se, n_samples``.

    Raises:
        ValueError: Fewer than two samples.
    """
    if len(samples) < 2:
        raise ValueError(f"questions are exchanged between samples; expected at least 2, got {len(samples)}")
    asked = [
        (
            own,
            dataclasses.replace(
                other,
                id=f"{own.id} asked {other.id}",
                image=own.image,
                answer=None,
                truth=None,
                further_images=own.further_images,
            ),
        )
        for own, other in partners(samples)
    ]

    def rho(explainer: ExplainerLike, pair: Sequence[Sample]) -> float:
        own, moved = (explain(explainer, vlm, sample, seed=seed).of("image") for sample in pair)
        return rank_correlation(own, moved)

    return _rho_table(explainers, lambda explainer: [rho(explainer, pair) for pair in asked])


def twins(
    explainers: Sequence[ExplainerLike], grounded: VLM, biased: VLM, samples: Sequence[Sample], *, seed: int = 0
) -> pd.DataFrame:
    """A twin that answers from the words: does its map move to the words?

    Returns:
        One row per explainer: the text's share of the absolute attribution on both twins, ``shift`` = biased - grounded
        (positive: the map moved to the words), its standard error over samples, the rank correlation of the two
        image maps, and ``n_samples``.
    """
    rows = []
    for explainer in explainers:
        shares, rhos = [], []
        for sample in samples:
            one, two = (explain(explainer, vlm, sample, seed=seed) for vlm in (grounded, biased))
            shares.append((text_share(one), text_share(two)))
            rhos.append(rank_correlation(one.of("image"), two.of("image")))
        shift, shift_se, n = mean_and_error([two - one for one, two in shares])
        means = [mean_and_error([pair[side] for pair in shares])[0] for side in (0, 1)]
        rows.append((get_explainer(explainer).name, *means, shift, shift_se, mean_and_error(rhos)[0], n))
    columns = ["explainer", "text_share_grounded", "text_share_biased", "shift", "shift_se", "image_rho", "n_samples"]
    return pd.DataFrame(rows, columns=columns)


def cost(explainers: Sequence[ExplainerLike], vlm: VLM, samples: Sequence[Sample], *, seed: int = 0) -> pd.DataFrame:
    """Mean cost per sample, nothing remembered: ``explainer, seconds, n_evaluations, n_gradients, n_samples``."""
    counted = ("seconds", "n_evaluations", "n_gradients")
    rows = []
    for explainer in explainers:
        maps = []
        for sample in samples:
            forget(vlm)
            target = vlm.answer(sample).text
            maps.append(explain(explainer, vlm, sample, target=target, seed=seed))
        means = [float(np.mean([getattr(one, name) for one in maps])) for name in counted]
        rows.append((get_explainer(explainer).name, *means, len(samples)))
    return pd.DataFrame(rows, columns=["explainer", *counted, "n_samples"])
