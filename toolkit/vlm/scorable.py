"""The interface of a model that games, the reference path and the white box use."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, NoReturn, ParamSpec, Protocol, TypeVar

from transformers import PreTrainedModel

from toolkit.datasets.sample import Sample
from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.engine.engine import Engine
from toolkit.vlm.engine.fingerprint import State
from toolkit.vlm.engine.store import CoalitionStore
from toolkit.vlm.view import View

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Self = TypeVar("_Self", bound="Scorable")


def in_turn(act: Callable[Concatenate[_Self, _P], _R]) -> Callable[Concatenate[_Self, _P], _R]:
    """The method, for which a thread waits until the model is at nobody else's disposal.

    Explainers change a model for a moment, its attention and gradients; another thread would see that.
    """

    @wraps(act)
    def inner(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.turn:
            return act(self, *args, **kwargs)

    return inner


class Uncopied:
    """A model that is neither pickled nor copied: what is known of it need not hold of a copy, which may be edited."""

    name: str

    def __getstate__(self) -> NoReturn:
        """Refuse to be taken apart.

        Raises:
            TypeError: Always, with the way out.
        """
        raise TypeError(
            f"{self.name} can be neither pickled nor copied: load it in each process by its name, or wrap a copy of "
            "the model inside, toolkit.wrap(copy.deepcopy(vlm.model), vlm.adapter.processor); of a game, "
            "toolkit.GameValues.of(game, coalitions) can be kept"
        )


class Scorable(Protocol):
    """A model in memory behind its adapter and engine; see :class:`toolkit.vlm.model.LoadedVLM`."""

    name: str
    adapter: Adapter
    model: PreTrainedModel
    engine: Engine
    store: CoalitionStore | None
    turn: RLock

    @property
    def pad_id(self) -> int:
        """Token whose embedding stands for an absent word where gradients need one."""
        ...

    @property
    def batch_class(self) -> str | int:
        """What values depend on of the batch size."""
        ...

    def identity(self) -> dict[str, Any]:
        """What values depend on."""
        ...

    def is_as_loaded(self) -> bool:
        """Whether the model is the one that was put in here."""
        ...

    def current_state(self) -> State:
        """What values belong to."""
        ...

    def view(self, sample: Sample) -> View:
        """The sample as this model sees it."""
        ...
