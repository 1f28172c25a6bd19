"""``models``: list the models, or reproduce the numbers of the embedded models' cards."""

from __future__ import annotations

import typer

from toolkit.cli.table import echo_wrapped, footnotes, show


def models(
    evaluate: str | None = typer.Option(None, help="Evaluate an embedded model on held-out scenes: its name, or all."),
    n: int | None = typer.Option(None, min=10, help="Samples per question family; default: as many as the card's."),
    write: bool = typer.Option(False, "--write", help="With --evaluate: write card, numbers and seal anew."),
) -> None:
    """List the models, or measure the embedded ones again.

    The list has size, memory need, licence, pinned commit, and what was verified. With --evaluate the exit status is 1
    where an accuracy differs from the model's card or a model is not there.
    """
    if write and (evaluate is None or n is not None):
        raise typer.BadParameter("--write needs --evaluate, and as many samples as the card has: leave out --n")
    if evaluate is not None:
        _evaluate(evaluate, n, write=write)
        return
    from toolkit.vlm import CATALOGUE

    entries = [CATALOGUE[name] for name in CATALOGUE]
    marks, notes = footnotes([entry.verified for entry in entries])
    rows = []
    for entry, mark in zip(entries, marks, strict=True):
        size = f"{entry.parameters / 1e6:.2f} M" if entry.parameters < 1e8 else f"{entry.parameters / 1e9:.1f} B"
        width = 4 if entry.source == "embedded" else 2
        need = entry.bytes_needed(width) / 2**30
        memory = f"{need * 1024:.0f} MiB" if need < 1 else f"{need:.0f} GiB"
        pinned = "embedded" if entry.source == "embedded" else (entry.revision or "unpinned")[:8]
        rows.append((entry.name, size, memory, entry.licence, pinned, mark))
    show(("name", "weights", "memory", "licence", "revision", "verified"), rows)
    typer.echo()
    for note in notes:
        echo_wrapped(note)
    echo_wrapped(
        "memory: weights and a fifth more, in float32 for the embedded models and bfloat16 for the others. unpinned: "
        "load_vlm takes the newest commit and records it; a benchmark run wants one: --revision NAME=COMMIT"
    )


def _evaluate(name: str, n: int | None, *, write: bool) -> None:
    """Measure the numbers of the cards again; exit status 1 if one that should agree does not."""
    from toolkit.scenes.training.recipes import RECIPES
    from toolkit.vlm.loading.checkpoint import CheckpointError

    asked = list(RECIPES) if name == "all" else [RECIPES.check(name)]
    wrong = []
    for model in asked:
        try:
            wrong += _measure(model, n, write=write)
        except CheckpointError as error:
            if name != "all":
                raise
            typer.echo(f"{model}: {error}", err=True)
            wrong.append(model)
    if wrong:
        typer.echo(f"not as on the card: {', '.join(wrong)}", err=True)
        raise typer.Exit(1)


def _measure(model: str, n: int | None, *, write: bool) -> list[str]:
    """Evaluate one model and show it; the question families whose accuracy is not the card's."""
    from toolkit.scenes.training import held_out
    from toolkit.scenes.training.held_out import as_json, calibration
    from toolkit.scenes.training.model_card import write_card
    from toolkit.scenes.training.recipes import RECIPES
    from toolkit.vlm import load_vlm
    from toolkit.vlm.loading.integrity import seal_model
    from toolkit.vlm.loading.sources import card_folder

    folder = card_folder(model)
    card = held_out.read_card_numbers(folder)
    size = n or int(card[0]["n"])
    typer.echo(f"{model}: {size} held-out samples per family")
    vlm = load_vlm(model)
    results = held_out.evaluate(vlm, RECIPES[model], n=size)
    show(held_out.HEADER, [held_out.table_row(result) for result in results])
    show(held_out.INSIDE_HEADER, [held_out.inside_row(results)])
    if write:
        write_card(folder, RECIPES[model], results, sum(p.numel() for p in vlm.model.parameters()))
        seal_model(folder)
    typer.echo(f"mean distance to the Bayes values: {calibration(results):.3f}")
    if size != card[0]["n"]:
        typer.echo(f"the card has {card[0]['n']} samples per family: nothing to compare")
        return []
    pairs = zip(as_json(results), card, strict=True)
    # Float arithmetic differs between machines in the last bits: two answers may turn over.
    wrong = [new["family"] for new, old in pairs if abs(new["accuracy"] - old["accuracy"]) * size > 2.5]
    typer.echo(f"card: {', '.join(wrong)} differ" if wrong else "card: every accuracy reproduced")
    return [f"{model} {family}" for family in wrong]
