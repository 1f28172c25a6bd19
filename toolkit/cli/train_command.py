"""``train``: reproduce an embedded checkpoint from its seed."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import typer

from toolkit.cli.errors import INTERRUPTED
from toolkit.cli.outputs import check_model_folder
from toolkit.cli.table import show


def train(
    name: str = typer.Argument(help="Embedded model, for example tiny-llava-grounded."),
    out: Path | None = typer.Option(None, help="Folder of the finished model; default: NAME below ./results/models."),
    device: str = typer.Option("cpu", help="cpu or cuda."),
    workers: int = typer.Option(2, min=1, help="Processes that draw the pictures."),
    n: int = typer.Option(400, min=10, help="Held-out samples per question family for the model card."),
    force: bool = typer.Option(False, "--force", help="Write into a folder that holds something else."),
) -> None:
    """Train an embedded model from its seed, or go on with it."""
    from tqdm import tqdm

    from toolkit.scenes.training.held_out import HEADER, evaluate, table_row
    from toolkit.scenes.training.model_card import write_card
    from toolkit.scenes.training.recipes import RECIPES
    from toolkit.scenes.training.train import Progress
    from toolkit.scenes.training.train import train as run
    from toolkit.vlm import load_vlm
    from toolkit.vlm.loading.integrity import SEAL, seal_model
    from toolkit.vlm.loading.placement import check_device

    recipe = RECIPES[name]
    check_device(device)
    folder = check_model_folder(Path("results", "models", name) if out is None else out, name, force=force)
    before = dict(zip(recipe.stages, accumulate(recipe.stages.values(), initial=0), strict=False))
    work = folder.with_name(folder.name + ".work")
    try:
        with tqdm(total=sum(recipe.stages.values()), unit="step", desc=name) as bar:

            def report(progress: Progress) -> None:
                done = progress.step + before[progress.stage]
                bar.update(done - bar.n)

            run(recipe, folder, work=work, device=device, report=report, workers=workers)
    except KeyboardInterrupt:
        typer.echo(f"interrupted: the same command goes on from the last checkpoint in {work}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    (folder / SEAL).unlink(missing_ok=True)  # of an earlier training; the new one is sealed below
    vlm = load_vlm(folder)
    results = evaluate(vlm, recipe, n=n)
    write_card(folder, recipe, results, sum(p.numel() for p in vlm.model.parameters()))
    seal_model(folder)
    show(HEADER, [table_row(result) for result in results])
    typer.echo(f"{name} is in {folder}")
