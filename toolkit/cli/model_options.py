"""The options that every command with a model shares: how it is loaded, and how it is told to answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from toolkit.datasets.sample import Sample
    from toolkit.vlm.model import LoadedVLM


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What the shared options say; None and empty where nothing was given.

    The annotations are the options' help on the command line, the fields' names those of ``toolkit.load_vlm``.
    """

    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps; default: a GPU where there is one.")] = (
        None
    )
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16 or float16; default: bfloat16 on a GPU, but not for embedded models."),
    ] = None
    four_bit: Annotated[bool, typer.Option("--four-bit", help="4-bit weights (GPU, extra gpu).")] = False
    attention: Annotated[str | None, typer.Option(help="sdpa (default) or eager.")] = None
    revision: Annotated[
        list[str], typer.Option(help="COMMIT, or NAME=COMMIT, of a hub model or dataset; may be given several times.")
    ] = field(default_factory=list)
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Largest area of an image, for families with a dynamic grid (Qwen).")
    ] = None
    max_tiles: Annotated[
        int | None, typer.Option(min=1, help="Most tiles of an image, for families that tile (InternVL).")
    ] = None
    players: Annotated[
        str | None,
        typer.Option(
            help="tokens, words, grid:RxC or segments:N; default: whole words and a grid of at most 12 x 12 cells."
        ),
    ] = None
    yes: Annotated[
        bool, typer.Option("--yes", help="Send images to the server of a model api:ADDRESS#MODEL without being asked.")
    ] = False
    instruction: Annotated[
        str | None,
        typer.Option(help="How to tell the model to answer: a style (llava, scenes, ...) or a text; '' for nothing."),
    ] = None

    def revisions(self, *names: str) -> dict[str, str]:
        """Commit by model or dataset; a commit alone is that of the only name.

        Raises:
            ValueError: A name that is not among these, or a commit alone where there are several.
        """
        found = {}
        for text in self.revision:
            name, equals, commit = text.rpartition("=")
            if not equals and len(names) == 1:
                name = names[0]
            if not (name and commit):
                raise ValueError(f"--revision {text!r}: expected NAME=COMMIT")
            if names and name not in names:
                raise ValueError(f"--revision {text!r} names {name!r}; here are {', '.join(names)}")
            found[name] = commit
        return found

    def fields(self) -> dict[str, Any]:
        """What was given, as fields of a benchmark specification."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "revision"}
        given["revisions"] = self.revisions()
        return {name: value for name, value in given.items() if value not in (None, False, {})}

    def load(self, *names: str, datasets: Iterable[str] = (), **more: Any) -> list[LoadedVLM]:
        """Load models, each with the options that its family has.

        Args:
            names: The models.
            datasets: Hub datasets that a revision may name as well.
            more: Further options of ``toolkit.load_vlm``.

        Raises:
            ValueError: An option that none of the models has.
        """
        import toolkit
        from toolkit.vlm.loading.limits import limits_by_model

        commits = self.revisions(*names, *datasets)
        bounds = {"max_pixels": self.max_pixels, "max_tiles": self.max_tiles}
        limits = limits_by_model(names, bounds, commits)
        more |= {"device": self.device, "dtype": self.dtype, "four_bit": self.four_bit}
        more |= {} if self.attention is None else {"attention": self.attention}
        more |= {} if self.players is None else {"players": self.players}
        more |= {"yes": True} if self.yes else {}
        return [toolkit.load_vlm(name, revision=commits.get(name), **limits[name], **more) for name in names]

    def instructed(self, samples: Iterable[Sample]) -> list[Sample]:
        """The samples with the instruction that was given, if one was."""
        from toolkit.datasets.load import with_instruction

        return list(samples if self.instruction is None else with_instruction(samples, self.instruction))


def with_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options; it receives them as its argument ``options``."""
    hints = get_type_hints(ModelOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[f.name],
            default=[] if f.default is MISSING else f.default,
        )
        for f in fields(ModelOptions)
    ]
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "options"]

    @wraps(command)
    def run(**given: Any) -> None:
        options = ModelOptions(**{parameter.name: given.pop(parameter.name) for parameter in shared})
        command(**given, options=options)

    run.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return run
