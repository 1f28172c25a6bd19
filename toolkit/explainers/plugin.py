"""Your own explainer: register it by name, and what is checked before its scores count.

    def brightness(vlm, sample):
        players = vlm.players(sample)
        ...
        return scores                      # one per player, image cells first

    register("brightness", brightness)
    explain("brightness", vlm, sample)     # checked on first use

The checks need a model and a sample, so they run on the first use: the right number of finite scores, the same scores
from the same seed, something to say about both modalities, and a model that is left as it was found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.attribution import Attribution
from toolkit.explainers.base import (
    EXPLAINERS,
    Explainer,
    FunctionExplainer,
    Method,
    Need,
    get_explainer,
    resolve_target,
    rng_for,
)
from toolkit.vlm.protocol import VLM


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
    method: Method, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur"
) -> list[Check]:
    """Run an explainer twice on one sample and check what it returns and what it leaves behind.

    Args:
        method: A registry name, an explainer object or a function.
        vlm: A model to try it on.
        sample: A sample to try it on.
        target: The explained answer; None explains the model's own.
        baseline: The baseline of the game.

    Returns:
        The checks in order; after a failed ``shape`` the others are left out, since there are no scores to look at.
    """
    from toolkit.explainers.scope import fingerprint, leftovers

    explainer = get_explainer(method)
    target = resolve_target(vlm, sample, target)
    model = vlm.white_box(sample, target=target, baseline=baseline).model
    before, numpy_state = fingerprint(model), _global_state()
    try:
        first, second = (
            explainer.attribute(vlm, sample, target=target, baseline=baseline, rng=rng_for(0, explainer.name, sample))
            for _ in range(2)
        )
    except (ValueError, TypeError) as error:
        return [Check("shape", False, str(error))]
    changed, drew = leftovers(before, fingerprint(model)), numpy_state != _global_state()
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
    left = f"changed and not restored: {', '.join(changed[:3])}" if changed else "the model is as it was"
    fix = "; remove hooks and restore settings in a finally block" if changed else ""
    checks.append(Check("nothing left behind", not changed, left + fix))
    return checks


def _global_state() -> tuple[object, ...]:
    """The global random states of torch and numpy, comparable."""
    import torch

    kind, keys, *rest = np.random.get_state(legacy=True)
    return torch.get_rng_state().numpy().tobytes(), kind, np.asarray(keys).tobytes(), *rest


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
        return dataclasses.replace(attribution, method=self.name)


def register(name: str, method: Explainer | Callable[..., object]) -> CheckedExplainer:
    """Make an explainer available by name, in ``explain``, in benchmark specifications and on the command line.

    Args:
        name: The name; must be free.
        method: An explainer object, or a function ``(vlm, sample) -> scores``.

    Raises:
        ValueError: The name is taken, or is not a plain word.
        TypeError: It is no explainer, or a function with other parameters.
    """
    if not name or not all(part.isalnum() for part in name.replace("_", "-").split("-")):
        raise ValueError(f"an explainer's name is made of letters, digits and hyphens, got {name!r}")
    inner = get_explainer(method)
    if isinstance(inner, FunctionExplainer):
        inner = dataclasses.replace(inner, name=name)
    checked = CheckedExplainer(inner, name)
    EXPLAINERS.add(name, lambda: checked)
    return checked


def load_explainer(path: str) -> Explainer:
    """An explainer named ``"module:attribute"``, importable from the current folder, or by its registry name.

    Raises:
        ValueError: The module or the attribute does not exist.
        UnknownNameError: A plain name that no explainer has.
    """
    import importlib

    if ":" not in path:
        return get_explainer(path)
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"cannot import {module_name!r} ({error}); run from its folder, or install it") from error
    if not hasattr(module, attribute):
        public = ", ".join(name for name in vars(module) if not name.startswith("_")) or "nothing"
        raise ValueError(f"{module_name!r} has no {attribute!r}; it has {public}")
    found = getattr(module, attribute)
    return get_explainer(found() if isinstance(found, type) else found)
