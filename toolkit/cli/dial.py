"""``dial``: what changes when a model's language prior grows."""

from __future__ import annotations

from pathlib import Path

import typer


def dial(
    out: Path = typer.Option(Path("results/dial"), help="Folder of the figures; made if it does not exist."),
    grounded: str = typer.Option("tiny-llava-grounded", help="A model that looks."),
    biased: str = typer.Option("tiny-llava-biased", help="Its twin that answers from the words."),
    samples: int = typer.Option(12, min=3, help="Samples with localised evidence."),
    seed: int = typer.Option(0, help="Seed of the samples and of everything random."),
) -> None:
    """Blend two twins from grounded to biased and measure redundancy, rankings and scores on the way."""
    import toolkit
    from toolkit.validity.dial import STRENGTHS, bias_dial, blends
    from toolkit.validity.study import Plan, eligible, shared_samples

    first, second = toolkit.load_vlm(grounded), toolkit.load_vlm(biased)
    asked = eligible(first, shared_samples(Plan(controls=samples, methods=1), seed=seed), samples)
    found = bias_dial(
        blends(first, second, STRENGTHS),
        asked,
        source=f"The in-between models are blends: with probability s the answer comes from {biased}, else from "
        f"{grounded}; both ends are the trained models. {len(asked)} samples.",
        seed=seed,
        progress=lambda message: typer.echo(message, err=True),
    )
    page = found.write(out, grounded.removesuffix("-grounded").replace("/", "--"))
    wide = found.table.pivot_table(index="quantity", columns="strength", values="value", sort=False)
    typer.echo(wide.to_string(float_format="{:+.3f}".format))
    typer.echo(str(page))
