"""The picture of the front page: one question, where the answer came from, and whether the explanation holds."""

from __future__ import annotations

from pathlib import Path

import typer

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import explain
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.maps import centred, overlay
from toolkit.reporting.plots.style import DIVERGING, FAINT, draw_line, looks, new_figure, styled
from toolkit.synergy.f_syn import synergistic_faithfulness
from toolkit.vlm.protocol import VLM

SIDE = 384


def front_figure(vlm: VLM, sample: Sample, explainers: tuple[str, ...]) -> Drawing:
    """Picture, map and words of the first explainer, and the synergy curves of all of them.

    Args:
        vlm: The model.
        sample: The picture and question.
        explainers: Registry names.
    """
    answer = vlm.answer(sample)
    game = vlm.game(sample, target=answer.text)
    found = {name: explain(name, vlm, sample, target=answer.text) for name in explainers}
    scores = {name: synergistic_faithfulness(game, attribution) for name, attribution in found.items()}
    first = found[explainers[0]]
    words = [sample.question[a:b] for a, b in vlm.text_spans(sample)]
    asked, _, options = sample.question.partition("?")
    with styled():
        figure = new_figure(12.0, 3.2)
        image, cells, bars, curves = figure.subplots(1, 4, width_ratios=(1, 1, 0.8, 1.3))
        image.imshow(sample.image.convert("RGB").resize((SIDE, SIDE)))
        cells.imshow(overlay(sample.image, first.of("image"), vlm.regions(sample), side=SIDE))
        image.axis("off")
        cells.axis("off")
        cells.set_title("where it looked", loc="left")
        image.text(0, 1.04, options.strip(), transform=image.transAxes, fontsize="small")
        image.set_title(f"{asked}?", loc="left", pad=20 if options.strip() else None)
        text = first.of("text")
        bars.barh(range(len(words)), text, color=DIVERGING((centred(text) + 1) / 2), edgecolor=FAINT, linewidth=0.6)
        bars.axvline(0, color=FAINT, linewidth=0.8)
        bars.set_yticks(range(len(words)), words)
        bars.set_xticks([])
        bars.invert_yaxis()
        bars.grid(visible=False)
        bars.set_title("which words", loc="left")
        for name, look in looks(explainers).items():
            score = scores[name]
            label = f"{name}: {score.value:+.2f}"
            draw_line(curves, score.fractions, score.curve, look, label=label, size=4)
        curves.axhline(0, color=FAINT, linewidth=0.8)
        curves.set(xlabel="fraction of cells and words")
        curves.set_title("what they do together", loc="left")
        curves.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    told = "; ".join(f"{name} {score.value:+.2f}" for name, score in scores.items())
    return Drawing(
        figure,
        f"{vlm.name} is asked: {sample.question} It answers {answer.text} ({answer.probability:.2f}). A map over the "
        f"picture and bars over the words show what spoke for it. Signed synergistic faithfulness: {told}.",
    )


def main(
    out: Path = typer.Argument(Path("notebooks/images/front.png"), help="Where to write it."),
    model: str = typer.Option("tiny-llava-grounded", help="The model."),
    dataset: str = typer.Option("scenes-choice", help="Whose sample."),
    index: int = typer.Option(3, min=0, help="Which sample."),
) -> None:
    """Draw the front page's picture."""
    import toolkit

    vlm = toolkit.load_vlm(model)
    sample = toolkit.load_samples(dataset, n=index + 1)[index]
    drawing = front_figure(vlm, sample, ("attn-lrp", "integrated-gradients", "random"))
    out.parent.mkdir(parents=True, exist_ok=True)
    drawing.save(out)
    typer.echo(drawing.alt)


if __name__ == "__main__":
    typer.run(main)
