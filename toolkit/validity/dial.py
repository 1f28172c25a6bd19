"""The bias dial: redundancy, rank agreement and F_syn as functions of prior strength, from grounded to biased.

The in-between models are blends of the twins: with probability s the answer comes from the biased twin and with
1 - s from the grounded one, so every value is

    v_s(S) = (1 - s) v_grounded(S) + s v_biased(S).

Nothing is trained and nothing is interpolated in weight space; at both ends the blend *is* the twin. v_s is linear in
s, and so are the corners, the dividend, signed F_syn and SRG of a fixed map and a fixed answer; what may bend are the
model's own answers, the gates, the clipped score and the rankings. A blend has no gradients, so the ranked methods are
those that need forward passes only. ``tuned`` trains an in-between model instead, which takes minutes.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from toolkit.datasets.sample import Sample
from toolkit.games import CachedGame, Players
from toolkit.plots.drawing import Drawing
from toolkit.plots.style import FAINT, MARKERS, PALETTE, new_figure, styled
from toolkit.redundancy import diagnose
from toolkit.scenes.recipes import RECIPES
from toolkit.synergy.metrics import METRICS
from toolkit.typing import Coalitions, Regions, Values
from toolkit.validity.collapse import collapse_table
from toolkit.validity.study import Plan, eligible, frame, study_methods
from toolkit.vlm.protocol import VLM, Answer, WhiteBox

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
BLACK_BOX = ("occlusion", "kernel-shap", "shapley-interaction", "random", "oracle", "anti-oracle")
QUANTITIES = ("total interaction", "text share", "language-prior rate", "gate, synergy", "gate, redundancy",
              "gate, text-only")  # fmt: skip
_UNITS = {"Redundancy": "share, or probability", "Agreement of rankings": "Kendall's tau", "Mean score": "probability"}
_METRICS = ("srg-image", "srg-text", "f-syn-paper", "f-syn", "f-syn-recovered")


class TwinGames:
    """Games of both twins, each coalition asked once for all strengths."""

    def __init__(self, grounded: VLM, biased: VLM) -> None:
        self._vlms = (grounded, biased)
        self._found: dict[tuple[str, str, str], tuple[CachedGame, CachedGame]] = {}

    def of(self, sample: Sample, target: str, baseline: str) -> tuple[CachedGame, CachedGame]:
        """The grounded and the biased twin's game of one answer."""
        key = (f"{sample.dataset}/{sample.id}", target, baseline)
        if key not in self._found:
            first, second = (CachedGame(vlm.game(sample, target=target, baseline=baseline)) for vlm in self._vlms)
            self._found[key] = (first, second)
        return self._found[key]


class BlendedGame:
    """The blend of two games of the same sample and the same target."""

    def __init__(
        self, games: tuple[CachedGame, CachedGame], strength: float, sample: Sample, target: str, baseline: str
    ) -> None:
        self._first, self._second = games
        self._strength = strength
        self.sample, self.target, self.baseline = sample, target, baseline

    @property
    def players(self) -> Players:
        """The players of both games."""
        return self._first.players

    @property
    def n_evaluations(self) -> int:
        """Distinct coalitions evaluated so far, over both models and all strengths that share them."""
        return self._first.n_evaluations + self._second.n_evaluations

    def __call__(self, coalitions: Coalitions) -> Values:
        """Blended values (n_coalitions,); a twin without weight is not asked."""
        values = np.zeros(len(coalitions))
        for game, weight in ((self._first, 1 - self._strength), (self._second, self._strength)):
            if weight > 0:
                values += weight * game(coalitions)
        return values


class BlendedVLM:
    """A model that answers like the biased twin with probability ``strength``, and else like the grounded one.

    Args:
        grounded: One twin.
        biased: The other one.
        strength: In [0, 1].
        games: The twins' games; blends that share them ask every coalition once.

    Raises:
        ValueError: The strength lies outside [0, 1].
    """

    def __init__(self, grounded: VLM, biased: VLM, strength: float, games: TwinGames | None = None) -> None:
        if not 0 <= strength <= 1:
            raise ValueError(f"the strength of a blend must lie in [0, 1], got {strength}")
        self.grounded, self.biased, self.strength = grounded, biased, strength
        self._games = TwinGames(grounded, biased) if games is None else games
        self.name = f"{grounded.name} + {strength:g} bias"
        self.family = "blend"
        self.revision: str | None = None

    def answer(self, sample: Sample) -> Answer:
        """The most probable choice of the blend.

        Raises:
            ValueError: The sample has no choices.
        """
        if sample.choices is None:
            raise ValueError(f"sample {sample.id!r} has no choices; only distributions over choices can be blended")
        first, second = self.grounded.answer(sample), self.biased.answer(sample)
        by_choice = {
            choice: (1 - self.strength) * first.by_choice[choice] + self.strength * second.by_choice[choice]
            for choice in sample.choices
        }
        text = max(by_choice, key=lambda choice: by_choice[choice])
        ids = self.grounded.game(sample, target=text)
        return Answer(text, by_choice[text], tuple(getattr(ids, "token_ids", ())), by_choice)

    def players(self, sample: Sample) -> Players:
        """The players, equal for both twins."""
        return self.grounded.players(sample)

    def regions(self, sample: Sample) -> Regions:
        """Where the image players lie."""
        return self.grounded.regions(sample)

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        """Character spans of the text players."""
        return self.grounded.text_spans(sample)

    def game(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> BlendedGame:
        """The blended game."""
        target = self.answer(sample).text if target is None else target
        return BlendedGame(self._games.of(sample, target, baseline), self.strength, sample, target, baseline)

    def white_box(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> WhiteBox:
        """A blend has no gradients.

        Raises:
            TypeError: Always; ask one of the twins.
        """
        raise TypeError("a blend of two models has no differentiable inside; explain it with forward passes, or a twin")

    def picture(self, sample: Sample, coalition: Coalitions, *, baseline: str = "blur") -> Image.Image:
        """The masked picture."""
        return self.grounded.picture(sample, coalition, baseline=baseline)


@dataclass(frozen=True)
class BiasDial:
    """What changes when the prior grows.

    Attributes:
        table: One row per strength and quantity: value, low, high.
        source: Where the in-between models come from.
    """

    table: pd.DataFrame = field(repr=False)
    source: str

    def drawing(self) -> Drawing:
        """Redundancy quantities, tau, and F_syn of the evidence, each against the prior strength."""
        panels = {
            "Redundancy": [q for q in QUANTITIES if q in set(self.table["quantity"])],
            "Agreement of rankings": [q for q in self.table["quantity"].unique() if q.startswith("tau")],
            "Mean score": [q for q in self.table["quantity"].unique() if q.startswith("score")],
        }
        with styled():
            figure = new_figure(11.0, 4.6)
            for axes, (title, names) in zip(figure.subplots(1, 3), panels.items(), strict=True):
                for i, name in enumerate(names):
                    rows = self.table[self.table["quantity"] == name].sort_values("strength")
                    x, y = rows["strength"].to_numpy(dtype=float), rows["value"].to_numpy(dtype=float)
                    axes.plot(x, y, marker=MARKERS[i], color=PALETTE[i % len(PALETTE)], label=name)
                    low, high = rows["low"].to_numpy(dtype=float), rows["high"].to_numpy(dtype=float)
                    axes.fill_between(x, low, high, color=PALETTE[i % len(PALETTE)], alpha=0.12)
                axes.axhline(0, color=FAINT, linewidth=0.8)
                axes.set_title(title, loc="left")
                axes.set_xlabel("prior strength")
                axes.set_ylabel(_UNITS[title])
                axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.18))
        ends = self.table[self.table["strength"].isin([0.0, 1.0])]
        told = "; ".join(f"{r['quantity']} {r['value']:+.2f} at {r['strength']:g}" for r in ends.to_dict("records"))
        return Drawing(figure, f"Bias dial ({self.source}). {told}.")

    def figure(self) -> Figure:
        """The drawing's matplotlib figure."""
        return self.drawing().figure

    def write(self, out: Path, name: str) -> Path:
        """Write ``dial-<name>.html``, ``.csv`` and ``.png`` into a folder, which is made; returns the page's path."""
        out.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(out / f"dial-{name}.csv", index=False)
        drawing = self.drawing()
        drawing.save(out / f"dial-{name}.png")
        wide = self.table.pivot_table(index="quantity", columns="strength", values="value", sort=False)
        page = out / f"dial-{name}.html"
        page.write_text(
            _PAGE.format(
                name=html.escape(name),
                source=html.escape(self.source),
                figure=drawing.html("Bands: 95 % intervals over samples."),
                table=wide.rename_axis(index=None, columns=None).to_html(border=0, float_format="{:+.3f}".format),
            ),
            encoding="utf-8",
        )
        return page


def bias_dial(
    models: Mapping[float, VLM],
    samples: Sequence[Sample],
    *,
    source: str,
    explainers: Sequence[str] = BLACK_BOX,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> BiasDial:
    """Measure models of growing prior strength on the same samples.

    Args:
        models: Model by prior strength.
        samples: What all of them are asked.
        source: Where the in-between models come from, for the figure.
        explainers: The methods that are ranked, and whose scores are averaged.
        seed: Seed of the bootstrap.
        progress: Called with a message per model.

    Raises:
        ValueError: No samples with localised evidence.
    """
    plan = replace(Plan(), methods=len(samples), settings=0, explainers=tuple(explainers))
    rows: list[dict[str, Any]] = []
    for strength, vlm in sorted(models.items()):
        if progress is not None:
            progress(vlm.name)
        report = diagnose(vlm, samples, seed=seed)
        rows += [_row(strength, name, report[name].value, report[name].low, report[name].high) for name in QUANTITIES]
        localised = eligible(vlm, samples, len(samples))
        if not localised:
            raise ValueError("no sample has localised evidence; the dial needs generated samples with their truth")
        metrics = {name: METRICS[name] for name in _METRICS}
        table = frame(study_methods(vlm, localised, metrics, plan, lambda message: None))
        taus = collapse_table({vlm.name: table}, ("srg-image", "srg-text", "f-syn"), seed=seed)
        for tau in taus[taus["dataset"] == "all"].to_dict("records"):
            rows.append(_row(strength, f"tau {tau['first']} / {tau['second']}", tau["tau"], tau["low"], tau["high"]))
        for metric in ("f-syn-paper", "f-syn", "f-syn-recovered"):
            for method in ("oracle", "random"):
                found = table[(table["metric"] == metric) & (table["method"] == method)]["value"].dropna()
                error = 1.96 * float(found.std() / np.sqrt(len(found))) if len(found) > 1 else float("nan")
                mean = float(found.mean())
                rows.append(_row(strength, f"score {metric}, {method}", mean, mean - error, mean + error))
    return BiasDial(pd.DataFrame(rows), source)


def _row(strength: float, quantity: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {"strength": strength, "quantity": quantity, "value": value, "low": low, "high": high}


def blends(grounded: VLM, biased: VLM, strengths: Sequence[float] = STRENGTHS) -> dict[float, VLM]:
    """Blends of two twins by strength, which share what the twins are asked."""
    games = TwinGames(grounded, biased)
    return {strength: BlendedVLM(grounded, biased, strength, games) for strength in strengths}


def tuned(base: str, strength: float, out: Path, *, work: Path, steps: int = 300) -> Path:
    """Train an in-between model: the recipe of a grounded model in a world of this prior strength, with fewer steps.

    Takes minutes on two cores. Returns the model's folder, which ``load_vlm`` reads.
    """
    from toolkit.scenes.training import train

    recipe = RECIPES[base]
    name = f"{base}@{strength:g}"
    train(replace(recipe, name=name, strength=strength, steps=steps), out, work=work)
    return out


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Bias dial: {name}</title>
<style>body{{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1f2430}}
td,th{{border-bottom:1px solid #e5e7eb;padding:.2em .7em;text-align:right}}th{{text-align:left}}
figure{{margin:1em 0}}</style></head>
<body>
<h1>Bias dial: {name}</h1>
<p>{source}</p>
{figure}
{table}
</body></html>
"""
