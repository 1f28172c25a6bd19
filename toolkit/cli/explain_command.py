"""``explain``: one picture, one question, one page."""

from __future__ import annotations

from pathlib import Path

import typer

from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.outputs import check_page, on_one_line


@with_model_options
def explain(
    image: str = typer.Argument(help="A picture file."),
    question: str = typer.Argument(help='A question about it, for example "is there a red circle ?".'),
    model: str = typer.Option("tiny-llava-grounded", help="Name, local folder or hub id of the model."),
    explainer: str = typer.Option("integrated-gradients", help="Name of the explainer."),
    budget: int | None = typer.Option(
        None, min=1, help="Most coalitions that the explainer evaluates (kernel-shap, shapley-interaction)."
    ),
    out: Path = typer.Option(Path("explain.html"), help="The page to write."),
    choices: str | None = typer.Option(
        None, help="Allowed answers, separated by commas; default: read off the question."
    ),
    answer: str | None = typer.Option(None, help="The right answer, where it is known."),
    baseline: str = typer.Option("blur", help="What a removed image cell becomes: blur, mean or noise."),
    steps: int = typer.Option(10, min=1, help="Steps K of every curve."),
    seed: int = typer.Option(0, min=0, help="Seed of explainers that draw random numbers."),
    force: bool = typer.Option(False, "--force", help="Overwrite a file that this command did not write."),
    no_cache: bool = typer.Option(False, "--no-cache", help="Neither use nor keep the values of earlier calls."),
    verify: bool = typer.Option(False, "--verify", help="Read and check the whole checkpoint again."),
    *,
    options: ModelOptions,
) -> None:
    """Explain an answer about any picture, in one page."""
    check_page(out, force=force)
    import toolkit
    from toolkit.datasets.baselines import BASELINES
    from toolkit.explainers import EXPLAINERS
    from toolkit.explainers.base import with_budget
    from toolkit.vlm.engine.store import default_store

    EXPLAINERS.check(explainer)
    found = explainer if budget is None else with_budget(explainer, budget)
    BASELINES.check(baseline)
    listed = None if choices is None else [choice.strip() for choice in choices.split(",")]
    sample = toolkit.load_image_question(
        image, question, choices=listed, answer=answer, instruction=options.instruction
    )
    (vlm,) = options.load(model, verify=verify, store=None if no_cache else default_store())
    sample = vlm.asked(sample)
    said = vlm.answer(sample)
    game = vlm.game(sample, target=said.text, baseline=baseline)
    attribution = toolkit.explain(found, vlm, sample, target=said.text, baseline=baseline, seed=seed)
    synergy = toolkit.synergistic_faithfulness(game, attribution, steps)
    image_curves = toolkit.insertion_deletion(game, attribution, modality="image", steps=steps)
    text_curves = toolkit.insertion_deletion(game, attribution, modality="text", steps=steps)
    from toolkit.reporting.explain_page import explain_page, reading_notes
    from toolkit.reporting.numbers import format_number

    explain_page(
        out, sample, vlm, answer=said, attribution=attribution, synergy=synergy, image=image_curves, text=text_curves
    )  # fmt: skip
    f_syn = format_number(synergy.value, sign=True)
    typer.echo(f"{vlm.name}: {on_one_line(said.text)} ({format_number(said.probability)}); F_syn {f_syn}; {out}")
    for note in reading_notes(said, vlm.regions(sample)):
        typer.echo(f"note: {note}", err=True)
