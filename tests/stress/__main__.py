"""``python -m tests.stress``: the full counts; ``make stress`` runs them."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer
from support.cluster import ray_cluster

from tests.stress.counted import record, recorded
from tests.stress.fuzz import fuzz
from tests.stress.kills import STAGES, Count, Killer
from tests.stress.scaling import scaling_rows

app = typer.Typer(add_completion=False, help="Count what a run survives, and show it on a page.")


def _row(executor: str, count: Count) -> dict[str, Any]:
    stages = {name: count.kills[name] for name in STAGES.values()}
    ends = {"worker deaths": count.deaths, "runs compared": count.finished, "records lost": count.lost}
    return {"executor": executor, "kills": count.kills.total(), **stages, **ends, "records doubled": count.doubled,
            "runs with other tables": count.different}  # fmt: skip


def _kill(executor: str, n: int, how: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        row = _row(executor, Killer(Path(folder), {"executor": executor, **how}).kill(n))
    typer.echo(str(row))
    return row


@app.command()
def kills(
    n: int = typer.Option(100, help="Kills of each executor."),
    executor: list[str] = typer.Option(["serial", "processes", "ray"], help="Only this executor; repeatable."),
) -> None:
    """Kill runs of every executor; what was counted of one is recorded when it is done."""
    failed = False
    for name in executor:
        with ray_cluster() if name == "ray" else nullcontext() as address:
            how = {"serial": {}, "processes": {"workers": 2}, "ray": {"workers": 2, "ray_address": address}}[name]
            row = _kill(name, n, how)
        record("kills", [*(old for old in recorded("kills") if old["executor"] != name), row])
        failed = failed or bool(row["records lost"] or row["records doubled"] or row["runs with other tables"])
    if failed:
        raise typer.Exit(1)


@app.command()
def calls(n: int = typer.Option(2000, help="Calls.")) -> None:
    """Call everything with odd arguments."""
    made, faults = fuzz(n)
    for line in faults:
        typer.echo(line)
    said = sum(line.startswith("$") for line in faults)
    found = {"command line": said, "public API": len(faults) - said}
    rows = [{"what": name, "calls": made[name], "faults": count} for name, count in found.items()]
    record("calls", rows)
    if faults:
        raise typer.Exit(1)


@app.command()
def records() -> None:
    """Measure compacting and reporting of up to 50,000 records."""
    rows = scaling_rows()
    record("scaling", rows)
    typer.echo("\n".join(map(str, rows)))


if __name__ == "__main__":
    app()
