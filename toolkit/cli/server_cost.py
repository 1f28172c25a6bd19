"""What a model behind a server costs: shown first, and agreed to before an image leaves this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from toolkit.benchmark.run.spec import BenchmarkSpec
    from toolkit.datasets.sample import Sample
    from toolkit.explainers.base import ExplainerLike
    from toolkit.vlm.protocol import VLM


def confirm_cost(vlm: VLM, sample: Sample, explainers: Sequence[ExplainerLike], n_scoring: int) -> None:
    """Show what an explanation asks of a server at most, and wait for a yes where images leave this machine.

    Args:
        vlm: The model; nothing is asked where it is in memory.
        sample: The sample, as the model is asked.
        explainers: What explains it.
        n_scoring: Coalitions that the metrics ask for.
    """
    from toolkit.explainers.base import passes_of
    from toolkit.vlm.server.server_vlm import ServerVLM

    if not isinstance(vlm, ServerVLM):
        return
    passes = [passes_of(explainer, vlm.players(sample).n) for explainer in explainers]
    n = 1 + n_scoring + sum(found.forward for found in passes if found is not None)
    unknown = ", and what an explainer asks that does not say" if None in passes else ""
    typer.echo(f"at most {vlm.price(sample, n)}{unknown}", err=True)
    if not vlm.is_confirmed:
        typer.confirm("send them?", abort=True, err=True)
        vlm.is_confirmed = True


def confirm_run(spec: BenchmarkSpec) -> BenchmarkSpec:
    """Show the plan of a run with models behind servers, and wait for a yes where images would leave this machine."""
    from toolkit.benchmark.run.run_cost import dry_run
    from toolkit.benchmark.run.workspace import images_leave_for
    from toolkit.vlm.server.address import is_server

    if not any(map(is_server, spec.models)):
        return spec
    typer.echo(str(dry_run(spec)), err=True)
    abroad = images_leave_for(spec)
    if not abroad:
        return spec
    typer.confirm(f"send every image to {', '.join(abroad)}?", abort=True, err=True)
    return spec.model_copy(update={"yes": True})
