"""The scores of arXiv 2605.22168 as its authors' code computes them, and what each difference from ours does.

Their loop removes *units* of the processed pixel tensor: single pixels of LLaVA and InternVL, patches of Qwen2.5-VL. A
unit takes the score of its cell. With k = 0, 1/K, ..., 1, the round(k n) best units (half to even) and question tokens
make I_k and T_k; removed units are those of the image blurred with radius 30, removed tokens are padding that attention
does not see. With v = P(target tokens), M = max(|v(I, T) - v(B, 0)|, .05) and clip(x) = min(max(x, 0), 1):

    f-syn         mean of the areas under clip(ins_k / M) and clip(del_k / M), as in ``toolkit.synergy.f_syn``
    image areas   areas under clip((v(I_k, T) - v(B, T)) / M_I) and clip((v(I - I_k, T) - v(B, T)) / M_I) with
                  M_I = max(|v(I, T) - v(B, T)|, .05); both curves are clipped from the second point on
    text areas    likewise with v(I, T_k), v(I, T - T_k) and v(I, 0)

Two things are mistakes, and can be switched off: Qwen2.5-VL's positions are counted anew without the padded tokens
(``renumber``), and the pixel tensor is reshaped to (features, units) where it should be transposed, which on Qwen2.5-VL
and on InternVL with several tiles scatters a unit over the image (``reshape``). What still differs from them: ours are
the question's tokens (their turn of the user includes the instruction), and units of one cell are taken in reading
order (theirs is left to ``torch.topk``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import ImageFilter
from torch import Tensor

from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.load import load_samples
from toolkit.datasets.sample import Sample
from toolkit.explainers import explain
from toolkit.games.attribution import Attribution
from toolkit.synergy.f_syn import NORMALISER_FLOOR, second_difference
from toolkit.synergy.ordering import curve_fractions, top_counts
from toolkit.synergy.srg import auc
from toolkit.typing import Values
from toolkit.vlm import load_vlm
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import last_logits
from toolkit.vlm.view import View

RADIUS = 30
"""Standard deviation of their blur, in pixels of the image as it came."""
_BATCH = 16

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Convention:
    """Where the authors' code and ours differ; every field is True for theirs.

    Attributes:
        pixels: Units are pixels (patches of Qwen2.5-VL), else cells.
        half_to_even: A half unit is rounded to the even number, else up.
        radius: The image is blurred with radius 30, else with a quarter of its short side.
        renumber: Positions are the model's own, which on Qwen2.5-VL skip padded tokens, else each token keeps its own.
        reshape: Pixels are reshaped to (features, units) without a transpose, else each unit is one place.
    """

    pixels: bool = True
    half_to_even: bool = True
    radius: bool = True
    renumber: bool = True
    reshape: bool = True


THEIRS = Convention()
OURS = Convention(pixels=False, half_to_even=False, radius=False, renumber=False, reshape=False)


@dataclass(frozen=True)
class AuthorsScores:
    """What their loop returns for one attribution.

    Attributes:
        f_syn: The published number, in [0, 1].
        f_syn_signed: The same curves neither normalised nor clipped, in [-2, 2].
        image_insertion, image_deletion, text_insertion, text_deletion: Normalised and clipped areas.
    """

    f_syn: float
    f_syn_signed: float
    image_insertion: float
    image_deletion: float
    text_insertion: float
    text_deletion: float


def _place(view: View) -> NDArray[np.int64]:
    """The place (patch, or pixel of a tile) of each entry of the pixel tensor, in its shape."""
    shape = view.pixels.shape
    if len(shape) == 2:
        return np.broadcast_to(np.arange(shape[0])[:, None], shape)
    tiles = shape[:-3] or (1,)
    area = shape[-2] * shape[-1]
    places = np.arange(tiles[0] * area).reshape(tiles[0], 1, *shape[-2:])
    return np.broadcast_to(places, (tiles[0], *shape[-3:])).reshape(shape)


def _units(view: View, convention: Convention) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The unit of each entry of the pixel tensor, in its shape, and the cell of each unit (n_units,)."""
    owner = np.broadcast_to(view.player_of_pixel.cpu().numpy(), view.pixels.shape)
    if not convention.pixels:
        return owner, np.arange(view.players.n_image)
    place = _place(view)
    cell = np.empty(place.max() + 1, dtype=np.int64)
    cell[place.ravel()] = owner.ravel()
    return (np.arange(place.size) % len(cell)).reshape(place.shape) if convention.reshape else place, cell


def _nested(scores: Floats, fractions: Floats, *, half_to_even: bool) -> Bools:
    """Which units belong to each top fraction, (n_fractions, n_units); equal scores in reading order."""
    n = len(scores)
    counts = np.rint(fractions * n).astype(np.int64) if half_to_even else top_counts(n, fractions)
    chosen = np.zeros((len(counts), n), dtype=np.bool_)
    chosen[:, np.argsort(-scores, kind="stable")] = np.arange(n) < counts[:, None]
    return chosen


class _Passes:
    """v of units and tokens, by ordinary passes of the transformers model, each distinct one once."""

    def __init__(self, vlm: LoadedVLM, sample: Sample, target: str, convention: Convention) -> None:
        self.vlm, self.convention = vlm, convention
        game = vlm.with_players("tokens").game(sample, target=target)
        self.view, self.target = game.view, game.token_ids
        self.unit, self.cell = _units(self.view, convention)
        image = self.view.only.image
        blurred = image.filter(ImageFilter.GaussianBlur(RADIUS)) if convention.radius else BASELINES["blur"](image)
        adapter = vlm.adapter
        inputs = adapter.processor.image_processor(blurred, return_tensors="pt", **adapter.image_settings())
        self.removed = adapter.pixels(inputs).to(self.view.pixels)

    def __call__(self, units: Bools, tokens: Bools) -> Values:
        """Values (n,) of units (n, n_units) and question tokens (n, n_text)."""
        asked, inverse = np.unique(np.concatenate([units, tokens], axis=1), axis=0, return_inverse=True)
        n = units.shape[1]
        parts = [self._ask(asked[i : i + _BATCH, :n], asked[i : i + _BATCH, n:]) for i in range(0, len(asked), _BATCH)]
        return np.asarray(np.concatenate(parts)[inverse.reshape(-1)])

    @torch.inference_mode()
    def _ask(self, units: Bools, tokens: Bools) -> Values:
        view, model, adapter = self.view, self.vlm.model, self.vlm.adapter
        nobody = np.ones((len(units), 1), dtype=np.bool_)  # what shows no cell stays
        shown = torch.from_numpy(np.concatenate([units, nobody], axis=1)[:, self.unit]).to(view.pixels.device)
        ids = torch.tensor([[*view.prompt.ids, *self.target[:-1]]], device=model.device).repeat(len(units), 1)
        attention = torch.ones_like(ids)
        attention[:, list(view.prompt.text_positions)] = torch.from_numpy(tokens).to(attention)
        logits = model(
            input_ids=ids,
            attention_mask=attention,
            position_ids=self._positions(ids, attention),
            use_cache=False,
            **last_logits(model, len(self.target)),
            **adapter.pixel_inputs(torch.where(shown, view.pixels, self.removed), view.geometry),
            **adapter.text_inputs(ids),
        ).logits[:, -len(self.target) :]
        logs = logits.float().log_softmax(dim=-1)[:, torch.arange(len(self.target)), list(self.target)]
        return np.asarray(logs.double().sum(dim=1).exp().cpu().numpy())

    def _positions(self, ids: Tensor, attention: Tensor) -> Tensor:
        """Position ids (rows, length) or (3, rows, length)."""
        view = self.view
        following = view.next_position + np.arange(len(self.target) - 1)
        kept = np.concatenate([view.positions, np.broadcast_to(following, (len(view.positions), len(following)))], 1)
        own = torch.from_numpy(kept).to(ids.device)[:, None].expand(-1, len(ids), -1)
        if len(kept) == 1:
            return own[0]
        return _renumbered(own, attention) if self.convention.renumber else own


def _renumbered(positions: Tensor, attention: Tensor) -> Tensor:
    """M-RoPE positions counted without padded tokens, which themselves get position 1, as transformers does it.

    The padded tokens stand behind the image and count one each, so that each token moves back by those before it.
    """
    absent = (1 - attention).cumsum(dim=1)
    return torch.where(attention.bool(), positions - absent, 1)


def authors_scores(
    vlm: LoadedVLM, sample: Sample, attribution: Attribution, *, steps: int = 10, convention: Convention = THEIRS
) -> AuthorsScores:
    """The scores of an attribution by the authors' loop, re-derived; see the module.

    Args:
        vlm: The model; its players must be tokens.
        sample: The sample.
        attribution: Scores of cells and question tokens.
        steps: K.
        convention: Which of the differences are theirs.

    Raises:
        ValueError: The attribution has other players than the sample's cells and tokens.
    """
    ask = _Passes(vlm, sample, attribution.target, convention)
    n_image = ask.view.players.n_image
    if attribution.players.n != ask.view.players.n:
        raise ValueError(
            f"the attribution of {attribution.explainer!r} has {attribution.players.n} players, the sample "
            f"{ask.view.players.n} cells and tokens; load the model with players='tokens'"
        )
    fractions = curve_fractions(steps)
    by_cell = np.append(attribution.scores[:n_image], -np.inf)  # what shows no cell comes last
    units = _nested(by_cell[ask.cell], fractions, half_to_even=convention.half_to_even)
    tokens = _nested(attribution.scores[n_image:], fractions, half_to_even=convention.half_to_even)
    none, no_words = np.zeros_like(units), np.zeros_like(tokens)
    pairs = [
        (units, tokens), (units, no_words), (none, tokens), (none, no_words),
        (~none, ~no_words), (~units, ~no_words), (~none, ~tokens), (~units, ~tokens),
        (units, ~no_words), (none, ~no_words), (~none, tokens), (~none, no_words),
    ]  # fmt: skip
    values = ask(np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs]))
    v = values.reshape(len(pairs), -1)
    insertion, deletion = second_difference(*v[:4]), second_difference(*v[4:8])
    contrast = max(abs(float(v[4, 0] - v[3, 0])), NORMALISER_FLOOR)
    clipped = np.clip(np.stack([insertion, deletion]) / contrast, 0, 1)
    whole = v[4, 0]
    return AuthorsScores(
        auc(clipped.mean(axis=0), fractions),
        auc((insertion + deletion) / 2, fractions),
        *(_share(curve, whole, v[9, 0], fractions) for curve in (v[8], v[5])),
        *(_share(curve, whole, v[11, 0], fractions) for curve in (v[10], v[6])),
    )


def _share(curve: Values, whole: float, nothing: float, fractions: Floats) -> float:
    """Area under a normalised curve, clipped to [0, 1] from the second point on."""
    share = (curve - nothing) / max(abs(whole - nothing), NORMALISER_FLOOR)
    share[1:] = np.clip(share[1:], 0, 1)
    return auc(share, fractions)


def differences(
    vlms: Sequence[LoadedVLM], samples: Sequence[Sample], explainers: Sequence[str], *, steps: int = 10
) -> pd.DataFrame:
    """What each difference does to the published number, one at a time and all together.

    Args:
        vlms: The models.
        samples: The samples; the explained answer is the model's.
        explainers: Their maps are scored.
        steps: K.

    Returns:
        One row per difference (``ours``, the fields of :class:`Convention`, ``all``): per model the mean of f-syn and
        the largest change of one score against ours.
    """
    changes: Mapping[str, Convention] = {
        "ours": OURS,
        **{f.name: replace(OURS, **{f.name: True}) for f in fields(Convention) if f.name != "reshape"},
        "pixels, reshape": replace(OURS, pixels=True, reshape=True),
        "all but the mistakes": replace(THEIRS, renumber=False, reshape=False),
        "all": THEIRS,
    }
    rows: list[dict[str, Any]] = [{"difference": name} for name in changes]
    for vlm in vlms:
        maps = [(s, explain(name, vlm, s)) for s in samples for name in explainers]
        found = np.array(
            [[authors_scores(vlm, s, a, steps=steps, convention=c).f_syn for s, a in maps] for c in changes.values()]
        )
        for row, scores in zip(rows, found, strict=True):
            row[vlm.name] = float(scores.mean())
            row[f"{vlm.name}, largest change"] = float(np.abs(scores - found[0]).max())
    return pd.DataFrame(rows).set_index("difference")


PAGE = Path(__file__).with_name("PUBLISHED_VIEW.md")
SIZE = {"scenes-existence": 3, "scenes-choice": 3}
"""Samples of the page's table, per dataset."""
EXPLAINERS = ("grad-cam", "attn-lrp", "random")

_PAGE = """# The published number, and what differs between the authors' code and ours

`score.paper` is the published *formula* on our game. The numbers printed in arXiv 2605.22168 come from its authors'
code, which differs in the five places below. `toolkit.audit.paper.authors_convention.authors_scores` computes theirs; a
test holds it to a second writing of their loop, to 1e-5, on the three families. Two of the five are mistakes (the
reshape and the renumbered positions), and can be switched off alone.

| difference | theirs | ours |
|---|---|---|
| `pixels` | single pixels (LLaVA, InternVL) or patches (Qwen2.5-VL) are removed | cells, one per image token |
| `half_to_even` | k n is rounded half to even | half up |
| `radius` | blur with a standard deviation of 30 pixels | a quarter of the short side |
| `renumber` | Qwen2.5-VL counts positions anew without the removed words | each token keeps its position |
| `reshape` | the pixel tensor is reshaped, not transposed: a removed patch is scattered | a unit is one place |

Their image and text areas are normalised and clipped too (`image_insertion`, ...); ours are raw. What still differs:
their players are all tokens of the user's turn, the instruction included, ours are the question's; their pixels of one
cell are in an order that `torch.topk` leaves open, ours are in reading order. The first versions of their code scored
one keyword of the answer; the newest, which is followed here, can score the whole answer.

## What each one does

Mean published F_syn on {n} samples ({datasets}) of the maps of {explainers}, and in brackets the largest change of
one score against ours. One difference at a time, then together. Written by
`python -m toolkit.audit.paper.authors_convention`.

{table}
"""


def table_of(found: pd.DataFrame) -> str:
    """The differences as a Markdown table, a mean and a largest change in each entry."""
    models = [name for name in found.columns if not name.endswith("largest change")]
    rows = [f"| difference | {' | '.join(models)} |", f"|{'---|' * (len(models) + 1)}"]
    for name, row in found.iterrows():
        entries = (f"{row[model]:.3f} ({row[f'{model}, largest change']:.3f})" for model in models)
        rows.append(f"| {name} | {' | '.join(entries)} |")
    return "\n".join(rows)


def page_samples() -> list[Sample]:
    """The samples of the page's table."""
    return [sample for name, n in SIZE.items() for sample in load_samples(name, n=n)]


def _write() -> None:
    """Measure the table on the three grounded models and write the page."""
    vlms = [load_vlm(f"tiny-{family}-grounded", device="cpu") for family in ("llava", "internvl", "qwen2.5-vl")]
    samples = page_samples()
    PAGE.write_text(
        _PAGE.format(
            n=len(samples), datasets=", ".join(SIZE), explainers=", ".join(EXPLAINERS),
            table=table_of(differences(vlms, samples, EXPLAINERS)),
        ),
        encoding="utf-8",
    )  # fmt: skip


if __name__ == "__main__":
    _write()
