"""``explain``: one picture, one question, one page."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.outputs import check_page, on_one_line
from toolkit.cli.server_cost import confirm_cost

if TYPE_CHECKING:
    from toolkit.datasets.sample import Sample
    from toolkit.explainers.base import ExplainerLike
    from toolkit.games.attribution import Attribution
    from toolkit.reporting.explain_page import Asked
    from toolkit.vlm.model import LoadedVLM

ENOUGH = 19
"""Random orderings that can tell at one in twenty."""


@with_model_options
def explain(
    image: str = typer.Argument(help="A picture file; several for one question, separated by commas."),
    question: str = typer.Argument(help='A question about it, for example "Is there a red circle?".'),
    model: str = typer.Option(
        "tiny-llava-grounded", help="Name, local folder or hub id of the model; two, separated by a comma, to compare."
    ),
    explainer: str = typer.Option("occlusion", help="Names of explainers, separated by commas."),
    budget: int | None = typer.Option(
        None, min=1, help="Most coalitions that the explainer evaluates (kernel-shap, shapley-interaction)."
    ),
    out: Path = typer.Option(Path("explain.html"), help="The page to write."),
    choices: str | None = typer.Option(
        None, help="Allowed answers, separated by commas; default: read off the question."
    ),
    answer: str | None = typer.Option(None, help="The right answer, where it is known."),
    target: str | None = typer.Option(
        None, help='What is explained: an answer, or for example \'"yes" rather than "no"\'; default: its own answer.'
    ),
    per: str | None = typer.Option(None, help="Explain what a model writes by word, token or sentence."),
    given: str | None = typer.Option(None, help="With --per: force this answer in place of the model's own."),
    max_tokens: int | None = typer.Option(None, min=1, help="Cut a free answer here; default: 8, with --per 64."),
    baseline: str = typer.Option("blur", help="What a removed image cell becomes: blur, mean or noise."),
    steps: int = typer.Option(10, min=1, help="Steps K of every curve."),
    seed: int = typer.Option(0, min=0, help="Seed of explainers that draw random numbers."),
    random: int | None = typer.Option(
        None, min=1, help=f"Random orderings to compare with; default: {ENOUGH}, on a released model 4."
    ),
    open_page: bool = typer.Option(False, "--open", help="Open the page in a browser."),
    force: bool = typer.Option(False, "--force", help="Overwrite a file that this command did not write."),
    no_cache: bool = typer.Option(False, "--no-cache", help="Neither use nor keep the values of earlier calls."),
    uncertainty: bool = typer.Option(
        False, "--uncertainty", help="Explain up to four times more, after changes that should not matter."
    ),
    verify: bool = typer.Option(False, "--verify", help="Read and check the whole checkpoint again."),
    *,
    options: ModelOptions,
) -> None:
    """Explain an answer about any picture, and say whether it holds."""
    check_page(out, force=force)
    import toolkit
    from toolkit.datasets.baselines import BASELINES
    from toolkit.explainers import EXPLAINERS
    from toolkit.explainers.base import with_budget
    from toolkit.vlm.engine.store import default_store

    names = [name.strip() for name in explainer.split(",")]
    for name in names:
        EXPLAINERS.check(name)
    models = [name.strip() for name in model.split(",")]
    if len(models) > 2 or len(set(models)) < len(models):
        raise ValueError(f"--model {model!r}: expected one model, or two different ones separated by a comma")
    found = names if budget is None else [with_budget(name, budget) for name in names]
    BASELINES.check(baseline)
    if per is not None:
        from toolkit.vlm.answer_parts import check_per

        check_per(per)
    if (per is None and given is not None) or (
        per is not None and (target is not None or len(models) + len(names) > 2)
    ):
        raise ValueError("--given goes with --per; --per takes one model, one explainer and no --target")
    listed = None if choices is None else [choice.strip() for choice in choices.split(",")]
    sample = toolkit.load_image_question(
        image_files(image), question, choices=listed, answer=answer, instruction=options.instruction
    )
    loaded = options.load(*models, verify=verify, store=None if no_cache else default_store())
    from toolkit.reporting.explain_page import explain_page
    from toolkit.reporting.numbers import format_number

    if per is not None:
        from toolkit.cli.explain_parts import explain_parts

        asked_freely, notes = _as_known(loaded[0], sample if choices else replace(sample, choices=None))
        explain_parts(
            out, loaded[0], asked_freely, found[0], per=per, given=given, max_tokens=max_tokens or 64,
            baseline=baseline, steps=steps, seed=seed, notes=notes,
        )  # fmt: skip
        return
    asked = [
        _ask(vlm, sample, found, target=target, max_tokens=max_tokens, baseline=baseline, steps=steps, seed=seed,
             n_random=random, uncertainty=uncertainty)
        for vlm in loaded
    ]  # fmt: skip
    explain_page(out, asked)
    for each in asked:
        said = on_one_line(each.answer.text)
        typer.echo(f"{each.vlm.name}: {said} ({format_number(each.answer.probability)}); {out}")
        for one in each.explained:
            typer.echo(on_one_line(one.verdict))
    if open_page and not webbrowser.open(out.resolve().as_uri()):
        typer.echo(f"note: no browser could be started; open {out} yourself", err=True)


def _ask(
    vlm: LoadedVLM,
    sample: Sample,
    explainers: Sequence[ExplainerLike],
    *,
    target: str | None,
    max_tokens: int | None,
    baseline: str,
    steps: int,
    seed: int,
    n_random: int | None,
    uncertainty: bool,
) -> Asked:
    """Ask one model, explain its answer, and compare with random orderings."""
    import numpy as np

    import toolkit
    from toolkit.datasets.sheet import boxes_on_sheet
    from toolkit.explainers.base import get_explainer
    from toolkit.reporting.explain_page import Asked, Explained, partition_of, reading_notes
    from toolkit.synergy import METRICS
    from toolkit.vlm.model import FREE_ANSWER_TOKENS

    sample, notes = _as_known(vlm, sample)
    n = n_random or (ENOUGH if is_embedded(vlm) else 4)
    sample = vlm.asked(sample)
    confirm_cost(vlm, sample, explainers, (n + len(explainers)) * (8 * steps - 4))
    said = vlm.answer(sample, max_tokens=max_tokens or FREE_ANSWER_TOKENS)
    game = vlm.game(sample, target=said.text if target is None else target, baseline=baseline)

    def attributed(explainer: ExplainerLike) -> Attribution:
        return toolkit.explain(explainer, vlm, sample, target=game.target, baseline=baseline, seed=seed)

    def explained(attribution: Attribution) -> Explained:
        return Explained(
            attribution,
            toolkit.synergistic_faithfulness(game, attribution, steps),
            toolkit.insertion_deletion(game, attribution, modality="image", steps=steps),
            toolkit.insertion_deletion(game, attribution, modality="text", steps=steps),
        )

    # What memory can refuse comes first, before hours of passes that would be lost with it.
    order = sorted(range(len(explainers)), key=lambda i: get_explainer(explainers[i]).needs <= {"game", "truth"})
    found = {i: attributed(explainers[i]) for i in order}
    draws = [toolkit.explain("random", vlm, sample, target=game.target, seed=draw) for draw in range(n)]
    planned = [METRICS[name].coalitions(draw, steps) for name in ("f-syn", "srg-image", "srg-text") for draw in draws]
    game(np.concatenate(planned))  # all at once: the draws below find their values
    random = tuple(map(explained, draws))
    judged = tuple(explained(found[i]).judged(random) for i in range(len(explainers)))
    if uncertainty:
        from toolkit.audit.explainers.stability import uncertainty as moves

        judged = tuple(
            replace(one, moved=moves(explainer, vlm, sample, one.attribution, baseline=baseline, seed=seed))
            for explainer, one in zip(explainers, judged, strict=True)
        )
    later = reading_notes(said, vlm.regions(sample), partition_of(vlm, sample), boxes=boxes_on_sheet(sample.images))
    if n < ENOUGH:
        later.append(f"{n} random orderings are too few to tell at one in twenty; --random {ENOUGH} can")
    for note in later:
        typer.echo(f"note: {note}", err=True)
    return Asked(vlm, sample, said, judged, random, (*notes, *later))


def image_files(named: str) -> str | list[str]:
    """The files that are named: one, whose name may have commas, or several between commas.

    Example:
        >>> image_files("a.png, b.png")
        ['a.png', 'b.png']
    """
    if "," not in named or Path(named).is_file():
        return named
    return [name.strip() for name in named.split(",")]


def is_embedded(vlm: LoadedVLM) -> bool:
    """Whether a model knows the embedded world and nothing else."""
    from toolkit.vlm.loading.catalogue import CATALOGUE

    return vlm.name in CATALOGUE and CATALOGUE[vlm.name].source == "embedded"


def _as_known(vlm: LoadedVLM, sample: Sample) -> tuple[Sample, list[str]]:
    """A sample as a model knows it, and what must be said about that, which is said before it may refuse the words."""
    sample, notes = in_world(sample) if is_embedded(vlm) else (sample, [])
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    return sample, notes


def in_world(sample: Sample) -> tuple[Sample, list[str]]:
    """A sample as the embedded models know it, and what must be said about that."""
    from toolkit.scenes.in_world import in_world_spelling, looks_like_a_scene

    question = in_world_spelling(sample.question)
    notes = []
    if sample.further_images:
        notes.append(
            "this model has learnt from questions about one picture; its answer about several says nothing about what "
            "it knows"
        )
    if not all(map(looks_like_a_scene, sample.images)):
        notes.append(
            "this picture is outside the small world of this model, which knows coloured things on a light background "
            "and nothing else: its answer and its map mean nothing here; for photographs take a released model, for "
            "example --model llava-hf/llava-1.5-7b-hf"
        )
    if question != sample.question:
        notes.append(f"the question was put into this model's spelling: “{question}”")
    return replace(sample, question=question), notes
