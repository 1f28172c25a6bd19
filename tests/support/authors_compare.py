"""Ours beside the stored numbers of the authors' code, and the page that says how far apart they are.

python -m tests.support.authors_compare        # after authors_record.py: how closely they agree, and the page
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tests.support import authors_fixture as fixture
from toolkit.explainers import explain
from toolkit.explainers.banzhaf_interaction import BanzhafInteraction
from toolkit.explainers.base import ExplainerLike
from toolkit.explainers.faith_shapley_interaction import FaithShapleyInteraction
from toolkit.explainers.integrated_gradients import IntegratedGradients
from toolkit.explainers.internals.cam import activation_map
from toolkit.explainers.internals.lrp_rules import lrp_rules
from toolkit.explainers.shapley_interaction import ShapleyInteraction
from toolkit.explainers.smoothgrad import SmoothGrad
from toolkit.explainers.tam import fitted_scale, rank_gaussian
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.games.game import Players
from toolkit.testing import FakeVLM, FakeWhiteBox, fake_sample
from toolkit.typing import Coalitions, Values

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).with_name("authors.json")
PAGE = ROOT / "notebooks" / "site" / "authors_code.md"
START, END = "<!-- made by python -m tests.support.authors_compare -->", "<!-- end of what was made -->"

PLAYERS = Players.make(tuple(f"c{i}" for i in range(fixture.N_CELLS)), tuple(f"w{j}" for j in range(fixture.N_WORDS)))
SAMPLE = fake_sample(grid=(2, 2), question="is it red", evidence=((0,), (0,)))

Stored = dict[str, Any]


class SmoothVLM(FakeVLM):
    """The smooth model; what is removed is 0."""

    def __init__(self) -> None:
        super().__init__(SumOfUnanimityGames(PLAYERS, {(): 0.5}), name="smooth")
        self.model = fixture.Smooth()

    def pixels(self, sample: object) -> torch.Tensor:
        return fixture.picture()

    def white_box(self, sample: object, *, target: str | None = None, baseline: str = "blur") -> FakeWhiteBox:
        box = FakeWhiteBox(PLAYERS, fixture.picture(), self.model)
        box.question = fixture.question()
        return box


class Table:
    """A game whose every value is written down."""

    players = PLAYERS

    def __init__(self, values: Values) -> None:
        self.values = values

    def __call__(self, coalitions: Coalitions) -> Values:
        return self.values[coalitions.astype(int) @ (1 << np.arange(PLAYERS.n))]


class Replayed:
    """A generator that draws the noise which the authors' code drew."""

    def __init__(self, noise: list[Any]) -> None:
        self.noise = iter(noise)

    def standard_normal(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.asarray(next(self.noise)).reshape(shape)


class WithTower(nn.Module):
    """A decoder with a stand-in for a vision tower, which activation maps do not use."""

    def __init__(self, decoder: Any, tower: nn.Module) -> None:
        super().__init__()
        self.decoder, self.tower = decoder, tower

    def get_decoder(self) -> nn.Module:
        return self.decoder.model

    def get_encoder(self, modality: str) -> nn.Module:
        return self.tower

    def get_output_embeddings(self) -> nn.Module:
        return self.decoder.lm_head


def scored(explainer: ExplainerLike) -> NDArray[np.float64]:
    """Scores of the smooth model."""
    return explain(explainer, SmoothVLM(), SAMPLE, target="yes").scores


def played(explainer: ExplainerLike, values: Values | None = None) -> NDArray[np.float64]:
    """Scores, or pairs, of a game of seven players."""
    game = Table(fixture.values() if values is None else values)
    found = explain(explainer, FakeVLM(game), SAMPLE, target="yes")
    return found.pairs if isinstance(found, InteractionAttribution) else found.scores


def smoothgrad(stored: Stored) -> NDArray[np.float64]:
    """With the noise that was drawn."""
    explainer = SmoothGrad(samples=len(stored["noise"][0]), level=0.1)
    found: Attribution = explainer.attribute(SmoothVLM(), SAMPLE, target="yes", rng=Replayed(stored["noise"]))  # type: ignore[arg-type]
    return found.scores


def grad_cam(stored: Stored) -> NDArray[np.float64]:
    """Of the same layer, signed: theirs is rectified after this stage."""
    decoder = fixture.decoder("Llama")
    cells, words = fixture.sequence().split([fixture.N_CELLS, fixture.N_WORDS], dim=1)

    def logit(pixels: torch.Tensor, question: torch.Tensor) -> torch.Tensor:
        embedded = torch.cat([pixels, question], dim=1)
        found: torch.Tensor = decoder(inputs_embeds=embedded).logits[:, -1, fixture.TOKEN]
        return found

    where = torch.arange(fixture.N_PLAYERS).split([fixture.N_CELLS, fixture.N_WORDS])
    box = SimpleNamespace(
        model=WithTower(decoder, fixture.decoder("Qwen2")), pixels=cells, question=words, logit=logit,
        image_positions=where[0], text_positions=where[1],
    )  # fmt: skip
    return activation_map(box, cells, fixture.LAYER / 2)[0].numpy()  # type: ignore[arg-type]


def attn_lrp(stored: Stored) -> NDArray[np.float64]:
    """Of both decoders."""
    maps = []
    for family in ("Llama", "Qwen2"):
        model, embedded = fixture.decoder(family), fixture.sequence().requires_grad_(True)
        with torch.enable_grad(), lrp_rules(model):
            logit = model(inputs_embeds=embedded).logits[0, -1, fixture.TOKEN]
            (slope,) = torch.autograd.grad(logit, embedded)
        maps.append((slope * embedded).sum(-1)[0].detach().numpy())
    return np.stack(maps)


def tam(stored: Stored) -> NDArray[np.float64]:
    """The filter and the scale."""
    activation, interference = fixture.maps()
    return np.append(rank_gaussian(activation).ravel(), fitted_scale(activation.ravel(), interference.ravel()))


@dataclass(frozen=True)
class Compared:
    """An explainer with an entry: ours, what was compared, and where the whole explainer differs on purpose."""

    ours: Callable[[Stored], NDArray[np.float64]]
    what: str
    differs: str


SEVEN = "pairs of a game of seven players, all coalitions"
COMPARED = {
    "integrated-gradients": Compared(
        lambda _: scored(IntegratedGradients(tolerance=1e-9, max_steps=8192)), "scores of a smooth model",
        "halves the intervals that do not add up, where Captum takes a fixed number of nodes",
    ),
    "input-x-gradient": Compared(
        lambda _: scored("input-x-gradient"), "scores of a smooth model, of log P", "summed over each player's inputs"
    ),
    "smoothgrad": Compared(
        smoothgrad, "scores of a smooth model, of log P, with the noise that Captum drew",
        "noise from the explainer's own generator; the gradient times the input",
    ),
    "occlusion": Compared(
        lambda _: scored("occlusion"), "scores of a smooth model", "a removed cell is the baseline's"
    ),
    "kernel-shap": Compared(
        lambda _: played("kernel-shap"), "Shapley values of a game of seven players",
        "draws in pairs above 512 coalitions and measures its error; no L1 selection",
    ),
    "shapley-interaction": Compared(
        lambda _: played(ShapleyInteraction(per_unknown=9)), SEVEN,
        "keeps pairs of a cell and a word; drawn by shapiq's own code",
    ),
    "faith-shapley-interaction": Compared(
        lambda _: played(FaithShapleyInteraction(per_unknown=9)), SEVEN,
        "keeps pairs of a cell and a word; drawn by shapiq's own code",
    ),
    "banzhaf-interaction": Compared(
        lambda _: played(BanzhafInteraction(mirrored=True), fixture.of_pairs()),
        "pairs of a game in which cells and words act two by two",
        "images and questions drawn apart; FIxLIP regresses on all pairs",
    ),
    "grad-cam": Compared(
        grad_cam, "map of one layer of a Llama decoder, before its rectifier",
        "signed unless asked; not scaled to [0, 1] or resized",
    ),
    "attn-lrp": Compared(
        attn_lrp, "relevance of a Llama and a Qwen2 decoder's inputs",
        "rules also cover the vision tower, where theirs are CP-LRP's; hooks of one model, classes stay as they are",
    ),
    "tam": Compared(
        tam, "rank Gaussian filter and fitted scale of two maps of 6 x 6 (not the maps themselves)",
        "the explained token is the answer's; not scaled to [0, 1]; a negative scale is 0",
    ),
}  # fmt: skip

NO_PACKAGE, CONTROL = "authors' code is no package", "a control"
ORDERS = "test_pairs_share_dividends_among_those_who_join_and_agree_with_all_orders"
KNOWN = "test_oracle_marks_the_evidence_and_anti_oracle_is_its_negative"
OTHERWISE = {
    "rollout": (f"{NO_PACKAGE}, for encoders", "test_rollout_equals_the_product_of_full_matrices"),
    "grad-rollout": (NO_PACKAGE, "test_grad_rollout_without_row_normalisation_is_the_rule_of_its_paper"),
    "llava-cam": (NO_PACKAGE, "test_llava_cam_without_noise_is_grad_cam_and_with_noise_is_not"),
    "atman": (f"{NO_PACKAGE}; ours multiplies weights, theirs scores", "check_atman"),
    "optimised-mask": (f"{NO_PACKAGE}; one mask, without the line search", "check_optimised_mask"),
    "eagle": (f"{NO_PACKAGE}; the search over words is ours", "check_eagle"),
    "gradient-interaction": (
        "our own, after integrated Hessians", "test_gradient_pairs_add_up_to_what_each_word_changes",
    ),
    "word-to-cell-interaction": (NO_PACKAGE, ORDERS),
    "cell-to-word-interaction": (NO_PACKAGE, ORDERS),
    "proxyspex-interaction": (
        "shapiq's own code runs",
        "test_it_finds_the_pairs_that_there_are_leaves_the_others_at_zero_and_repeats_itself",
    ),
    "attention-last": (CONTROL, "test_weights_and_their_gradients_equal_the_models_own_eager_attention"),
    "attention-sinks": (CONTROL, "check_attention_sinks"),
    "attention-no-sinks": (CONTROL, "check_attention_no_sinks"),
    "random": (CONTROL, "test_random_differs_between_samples_and_seeds_and_repeats_from_a_seed"),
    "oracle": (CONTROL, KNOWN),
    "anti-oracle": (CONTROL, KNOWN),
}  # fmt: skip
"""Explainers without an entry: why, and the function of ``tests/explainers`` that derives anew what they promise."""


def recorded() -> dict[str, Any]:
    """What ``authors_record.py`` wrote."""
    found: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


def difference(name: str, stored: Stored) -> float:
    """Largest difference between ours and theirs, as a share of their largest number."""
    theirs = np.asarray(stored["scores"], dtype=np.float64)
    ours = COMPARED[name].ours(stored)
    if ours.shape != theirs.shape:
        raise ValueError(f"{name}: ours has shape {ours.shape}, theirs {theirs.shape}")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def table(found: dict[str, Any]) -> str:
    """Both tables of the page."""
    what = ", ".join(f"{name} {version}" for name, version in found["made with"].items())
    lines = [
        START, "", "| explainer | authors' code | what was compared | largest difference | deliberately different |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, one in COMPARED.items():
        stored = found["entries"][name]
        code = f"{stored['package']} {stored['version']}: {stored['code']}"
        lines.append(f"| `{name}` | {code} | {one.what} | below {stored['agree to']:.0e} | {one.differs} |")
    lines += ["", f"Made with {what}. Differences are shares of the largest stored number.", ""]
    lines += ["| explainer without an entry | why | re-derivation, by us |", "|---|---|---|"]
    lines += [f"| `{name}` | {why} | `{test}` |" for name, (why, test) in OTHERWISE.items()]
    return "\n".join([*lines, "", END])


def main() -> None:
    """Say how closely they agree, with room for another machine's rounding, and write the page's tables."""
    found = recorded()
    for name, stored in found["entries"].items():
        apart = difference(name, stored)
        digit = 10.0 ** math.floor(math.log10(max(2 * apart, 1e-12)))
        stored["agree to"] = float(f"{max(1e-12, math.ceil(2 * apart / digit) * digit):.0e}")
        print(f"{name}: {apart:.1e}")  # noqa: T201
    RECORDED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[: page.index(START)], page[page.index(END) + len(END) :]
    PAGE.write_text(before + table(found) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
