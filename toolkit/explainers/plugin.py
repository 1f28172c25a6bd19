"""Your own explainer: register it by name, and what is checked before its scores count.

    def brightness(vlm, sample):
        players = vlm.players(sample)
        ...
        return scores                      # one per player, image cells first

    register("brightness", brightness)
    explain("brightness", vlm, sample)     # checked on first use

The checks need a model and a sample, so they run on the first use: the right number of finite scores, the same scores
from the same seed, something to say about both modalities, and a model that is left as it was found: no hooks, no
replaced functions (also not those of its classes, which other models share), and the same answer and gradients.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import random
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import (
    EXPLAINERS,
    Explainer,
    ExplainerLike,
    FunctionExplainer,
    Need,
    get_explainer,
    is_deterministic,
    resolve_target,
    rng_for,
)
from toolkit.games.attribution import Attribution
from toolkit.registry import import_plugin
from toolkit.vlm.protocol import VLM, WhiteBox

if TYPE_CHECKING:
    from torch import Tensor


Made = TypeVar("Made", bound=Callable[..., object])


class ExplainerCheckError(ValueError):
    """An explainer that breaks a rule; the message says which and how to mend it."""


@dataclass(frozen=True)
class Check:
    """One rule and whether it was kept.

    Attributes:
        name: The rule.
        passed: Whether it holds.
        message: What was found, and the fix where it does not hold.
    """

    name: str
    passed: bool
    message: str


def check_explainer(
    explainer: ExplainerLike, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur"
) -> list[Check]:
    """Run an explainer twice on one sample and check what it returns and what it leaves behind.

    Args:
        explainer: A registry name, an explainer object or a function.
        vlm: A model to try it on.
        sample: A sample to try it on.
        target: The explained answer; None explains the model's own.
        baseline: The baseline of the game.

    Returns:
        The checks in order; after a failed ``shape`` the others are left out, since there are no scores to look at. A
        model without a white box, such as one behind a server, cannot be changed, and is not compared with itself.
    """
    from toolkit.explainers.internals.scope import fingerprint, leftovers

    found = get_explainer(explainer)
    target = resolve_target(vlm, sample, target)
    box = _inside_or_none(vlm, sample, target, baseline)
    if box is not None:
        before, behaved_before = fingerprint(box.model), _behaviour(box)

    def attribute() -> Attribution:
        return found.attribute(vlm, sample, target=target, baseline=baseline, rng=rng_for(0, found.name, sample))

    try:
        first = attribute()
        with _own_random_state():  # only now: a library that the first call imports may draw or seed
            drawn_before = _random_state()
            second = attribute()
            drew = drawn_before != _random_state()
    except Exception as error:  # whatever somebody else's code raises
        return [Check("shape", False, format_error(error))]
    changed: list[str] = []
    if box is not None:
        changed = [*leftovers(before, fingerprint(box.model)), *_different(behaved_before, _behaviour(box))]
    checks = [Check("shape", True, f"{first.players.n} finite scores")]
    checks.append(
        Check("target", first.target == target, f"explained {first.target!r}, the scored answer is {target!r}")
    )
    same = bool(np.array_equal(first.scores, second.scores))
    gap = float(np.abs(first.scores - second.scores).max())
    message = "the same scores from the same seed" if same else f"scores differ by up to {gap:.3g} from the same seed"
    fix = "" if same else "; draw all random numbers from the rng argument"
    checks.append(Check("determinism", same, message + fix))
    fix = "; draw from the rng argument instead" if drew else ""
    checks.append(
        Check("randomness", not drew, f"the global random state was {'changed' if drew else 'left alone'}{fix}")
    )
    silent = [m for m in ("image", "text") if not np.any(first.of(m))]
    said = f"all scores of the {' and '.join(silent)} players are 0" if silent else "scores for image and text"
    checks.append(Check("both modalities", not silent, said))
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    left = f"changed and not restored: {', '.join(changed[:3])}{more}" if changed else "the model is as it was"
    fix = "; remove hooks and restore settings in a finally block" if changed else ""
    checks.append(Check("nothing left behind", not changed, left + fix))
    return checks


def _inside_or_none(vlm: VLM, sample: Sample, target: str, baseline: str) -> WhiteBox | None:
    """The inside of a game, of a model that gives one."""
    try:
        return vlm.white_box(sample, target=target, baseline=baseline)
    except ValueError:
        return None


def _random_state() -> tuple[object, ...]:
    """The global random states of Python, numpy and torch, comparable."""
    import torch

    kind, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), torch.get_rng_state().numpy().tobytes(), kind, np.asarray(keys).tobytes(), *rest


@contextlib.contextmanager
def _own_random_state() -> Iterator[None]:
    """Global random states that no seeding has left, and afterwards those of before."""
    import torch

    python, numpy, pytorch = random.getstate(), np.random.get_state(legacy=True), torch.get_rng_state()
    try:
        random.random(), np.random.random_sample(), torch.rand(1)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)


def _behaviour(box: WhiteBox) -> dict[str, Tensor]:
    """What the model says and, where a backward pass fits, its gradients; and torch's settings."""
    import torch

    from toolkit.explainers.internals.gradients import gradients, rows_that_fit

    found = {
        "torch's gradient mode": torch.tensor(float(torch.is_grad_enabled())),
        "torch's default dtype": torch.tensor(float(torch.finfo(torch.get_default_dtype()).bits)),
    }
    with torch.no_grad():
        found["the model's answer"] = box.score(box.pixels, box.question)
    with contextlib.suppress(MemoryError):
        rows_that_fit(box, wanted=1)
        slopes = gradients(box, box.pixels, box.question)
        found |= dict(zip(("the gradient of the pixels", "the gradient of the words"), slopes, strict=True))
    return found


def _different(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Names of what differs by more than a thousandth of its largest entry, the noise of parallel sums aside."""
    names = [name for name in before if name in after]
    return [n for n in names if float((after[n] - before[n]).abs().max()) > 1e-3 * float(before[n].abs().max())]


def format_error(error: Exception) -> str:
    """The error, with the line of the explainer's own code that led to it."""
    ours = Path(__file__).parents[1]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not Path(f.filename).is_relative_to(ours)]
    own = [f for f in frames if "site-packages" not in Path(f.filename).parts and not f.filename.startswith("<")]
    if not own:
        return str(error)
    return f"{type(error).__name__}: {error} ({Path(own[-1].filename).name}, line {own[-1].lineno})"


@dataclass
class CheckedExplainer:
    """An explainer under the name that it was registered by, checked the first time it is used.

    Attributes:
        inner: The explainer as it was passed.
        name: Registry name.
    """

    inner: Explainer
    name: str
    _checked: bool = field(default=False, repr=False)

    @property
    def reference(self) -> str:
        """The explainer's own."""
        return self.inner.reference

    @property
    def cost(self) -> str:
        """The explainer's own."""
        return self.inner.cost

    @property
    def needs(self) -> frozenset[Need]:
        """The explainer's own."""
        return self.inner.needs

    @property
    def passes(self) -> object:
        """The explainer's own, if it has one."""
        return getattr(self.inner, "passes", None)

    @property
    def deterministic(self) -> bool:
        """The explainer's own."""
        return is_deterministic(self.inner)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Check on first use, then explain.

        Raises:
            ExplainerCheckError: A rule is broken.
        """
        if not self._checked:
            failed = [
                c for c in check_explainer(self.inner, vlm, sample, target=target, baseline=baseline) if not c.passed
            ]
            if failed:
                listed = "; ".join(f"{check.name}: {check.message}" for check in failed)
                raise ExplainerCheckError(f"explainer {self.name!r} fails {len(failed)} check(s): {listed}")
            self._checked = True
        attribution = self.inner.attribute(vlm, sample, target=target, baseline=baseline, rng=rng)
        return dataclasses.replace(attribution, explainer=self.name)


def register(name: str, made: Explainer | Callable[..., object]) -> CheckedExplainer:
    """Make an explainer available by name, in ``explain``, in benchmark specifications and on the command line.

    Args:
        name: The name; must be free.
        made: An explainer object, or a function ``(vlm, sample) -> scores``.

    Raises:
        ValueError: The name is taken, or is not a plain word.
        TypeError: It is no explainer, or a function with other parameters.
    """
    if not name or not all(part.isalnum() for part in name.replace("_", "-").split("-")):
        raise ValueError(f"an explainer's name is made of letters, digits and hyphens, got {name!r}")
    inner = get_explainer(made)
    if isinstance(inner, FunctionExplainer):
        inner = dataclasses.replace(inner, name=name)
    checked = CheckedExplainer(inner, name)
    EXPLAINERS.add(name, lambda: checked)
    return checked


def explainer(
    name: str, *, reference: str = "user's own", cost: str = "unknown", needs: Iterable[Need] = ()
) -> Callable[[Made], Made]:
    """Register an explainer: written above a function ``(vlm, sample) -> scores`` or a class, which stays as it is.

    A class says ``reference``, ``cost``, ``needs`` and ``deterministic`` itself; a function is deterministic unless it
    asks for ``rng``.

    Args:
        name: The name; must be free.
        reference: Paper and year, arXiv id.
        cost: Passes and memory, in words.
        needs: What it asks of the model.

    Raises:
        ValueError: The name is taken, or is not a plain word.
        TypeError: It is no explainer.

    Example:
        >>> import numpy as np
        >>> from toolkit.explainers import EXPLAINERS, explainer
        >>> @explainer("in-order", cost="nothing")
        ... def in_order(vlm, sample):
        ...     return -np.arange(vlm.players(sample).n)
        >>> EXPLAINERS["in-order"]().cost
        'nothing'
        >>> EXPLAINERS.remove("in-order")
    """

    def decorate(made: Made) -> Made:
        if inspect.isclass(made):
            register(name, cast("Explainer", made()))
        else:
            register(name, FunctionExplainer(made, name, reference, cost, frozenset(needs)))
        return made

    return decorate


def load_explainer(path: str) -> Explainer:
    """An explainer named ``"module:attribute"``, importable from the current folder, or by its registry name.

    Raises:
        PluginError: The module or the attribute does not exist.
        UnknownNameError: A plain name that no explainer has.
    """
    if ":" not in path:
        return get_explainer(path)
    found = import_plugin(path)
    return get_explainer(found() if isinstance(found, type) else found)
