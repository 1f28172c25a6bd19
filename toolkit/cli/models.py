"""``models``: list the models, or reproduce the numbers of the embedded models' cards."""

from __future__ import annotations

import typer

from toolkit.cli.table import show


def models(
    evaluate: str | None = typer.Option(None, help="Evaluate an embedded model on held-out scenes: its name, or all."),
    n: int | None = typer.Option(None, min=10, help="Samples per question family; default: as many as the card's."),
) -> None:
    """List the models with size, memory need, licence and what was verified on them."""
    if evaluate is not None:
        _evaluate(evaluate, n)
        return
    from toolkit.vlm import CATALOGUE

    rows = []
    for name in CATALOGUE:
        entry = CATALOGUE[name]
        size = f"{entry.parameters / 1e6:.2f} M" if entry.parameters < 1e8 else f"{entry.parameters / 1e9:.1f} B"
        width = 4 if entry.source == "embedded" else 2
        need = entry.bytes_needed(width) / 2**30
        memory = f"{need * 1024:.0f} MiB" if need < 1 else f"{need:.0f} GiB"
        pinned = "embedded" if entry.source == "embedded" else (entry.revision or "not pinned")[:12]
        rows.append((name, entry.family, size, memory, entry.licence, pinned, entry.verified))
    show(("name", "family", "weights", "memory", "licence", "revision", "verified"), rows)


def _evaluate(name: str, n: int | None) -> None:
    """Measure the numbers of the cards again; exit status 1 if one that should agree does not."""
    from toolkit.paths import models_dir
    from toolkit.scenes.evaluation import HEADER, as_json, calibration, evaluate, read_card_numbers, table_row
    from toolkit.scenes.recipes import RECIPES
    from toolkit.vlm import load_vlm

    differing = []
    for model in list(RECIPES) if name == "all" else [RECIPES.check(name)]:
        card = read_card_numbers(models_dir() / model)
        size = n or int(card[0]["n"])
        typer.echo(f"{model}: {size} held-out samples per family")
        results = evaluate(load_vlm(model), RECIPES[model], n=size)
        show(HEADER, [table_row(result) for result in results])
        typer.echo(f"mean distance to the Bayes values: {calibration(results):.3f}")
        if size == card[0]["n"]:
            pairs = zip(as_json(results), card, strict=True)
            # Float arithmetic differs between machines in the last bits: two answers may turn over.
            wrong = [new["family"] for new, old in pairs if abs(new["accuracy"] - old["accuracy"]) * size > 2.5]
            differing += [f"{model} {family}" for family in wrong]
            typer.echo(f"card: {', '.join(wrong)} differ" if wrong else "card: every accuracy reproduced")
    if differing:
        raise typer.Exit(1)
