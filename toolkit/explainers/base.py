"""The explainer's interface, the registry of explainers, and ``explain``, which runs any of them.

An explainer is an object with ``name``, ``reference``, ``cost``, ``needs`` and ``attribute``; a plain function
``(vlm, sample) -> scores`` is accepted too and may ask for ``target``, ``baseline`` or ``rng`` by naming them.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import time
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from toolkit.arguments import check_text, check_whole
from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.sample import Sample
from toolkit.explainers.internals.surroundings import as_array, kept_images, ordinary_modes
from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.games.target import Target, TargetError, read_target
from toolkit.registry import Registry
from toolkit.vlm.partition import Partition
from toolkit.vlm.protocol import VLM, WhiteBox, check_asked

Need: TypeAlias = Literal["game", "gradients", "activations", "attention", "truth"]


@runtime_checkable
class Explainer(Protocol):
    """Turns a model's answer to a sample into one signed score per player.

    ``needs`` lists what it asks for: ``"game"`` (forward passes only), ``"gradients"``, ``"activations"``,
    ``"attention"``, or the sample's ``"truth"``. One that draws no random numbers says ``deterministic = True`` and
    runs with the first seed only. One that has ``passes``, a :class:`Passes` or a function from the number of players
    (and ``n_text``, if it names it) to one, is counted by a benchmark's dry run.
    """

    @property
    def name(self) -> str:
        """Registry name."""
        ...

    @property
    def reference(self) -> str:
        """Paper and year, arXiv id."""
        ...

    @property
    def cost(self) -> str:
        """Passes and memory, in words."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """What it asks of the model."""
        ...

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain the model's probability of ``target`` (its own answer where None)."""
        ...


@dataclass(frozen=True)
class Passes:
    """Rows that an explainer sends through the model for one sample, at most.

    Attributes:
        forward: Forward rows.
        backward: Backward rows.
    """

    forward: int
    backward: int = 0


ExplainerLike: TypeAlias = "str | Explainer | Callable[..., Any]"

_BUILT_IN = {
    "integrated-gradients": "integrated_gradients:IntegratedGradients",
    "input-x-gradient": "input_x_gradient:InputXGradient",
    "smoothgrad": "smoothgrad:SmoothGrad",
    "grad-cam": "grad_cam:GradCam",
    "llava-cam": "llava_cam:LlavaCam",
    "attn-lrp": "attn_lrp:AttnLrp",
    "rollout": "rollout:Rollout",
    "grad-rollout": "grad_rollout:GradRollout",
    "attention-last": "attention_last:AttentionLast",
    "attention-sinks": "attention_sinks:AttentionSinks",
    "attention-no-sinks": "attention_sinks:AttentionNoSinks",
    "tam": "tam:Tam",
    "atman": "atman:AtMan",
    "optimised-mask": "optimised_mask:OptimisedMask",
    "occlusion": "occlusion:Occlusion",
    "eagle": "eagle:Eagle",
    "kernel-shap": "kernel_shap:KernelShap",
    "shapley-interaction": "shapley_interaction:ShapleyInteraction",
    "faith-shapley-interaction": "faith_shapley_interaction:FaithShapleyInteraction",
    "banzhaf-interaction": "banzhaf_interaction:BanzhafInteraction",
    "gradient-interaction": "gradient_interaction:GradientInteraction",
    "word-to-cell-interaction": "meta_interaction:WordToCellInteraction",
    "cell-to-word-interaction": "meta_interaction:CellToWordInteraction",
    "proxyspex-interaction": "proxyspex_interaction:ProxySpexInteraction",
    "random": "random_scores:RandomScores",
    "oracle": "oracle:Oracle",
    "anti-oracle": "oracle:AntiOracle",
}


def _load(path: str) -> Explainer:
    module, name = path.split(":")
    return cast("Explainer", getattr(importlib.import_module(f"toolkit.explainers.{module}"), name)())


def _from_path(path: str) -> Callable[[], Explainer]:
    """What makes the explainer ``"module:attribute"``, which is checked on first use like a registered one."""
    plugin = importlib.import_module("toolkit.explainers.plugin")
    checked = plugin.CheckedExplainer(plugin.load_explainer(path), path)
    return lambda: cast("Explainer", checked)


EXPLAINERS: Registry[Callable[[], Explainer]] = Registry("explainer", from_path=_from_path)
for _name, _path in _BUILT_IN.items():
    EXPLAINERS.add(_name, partial(_load, _path))


@dataclass(frozen=True)
class FunctionExplainer:
    """A plain function as an explainer.

    The function gets ``vlm`` and ``sample``, and of ``target``, ``baseline`` and ``rng`` those that it names. It
    returns one score per player, image cells first, or an :class:`Attribution`.
    """

    function: Callable[..., Any]
    name: str
    reference: str = "user's own"
    cost: str = "unknown"
    needs: frozenset[Need] = frozenset()

    @property
    def deterministic(self) -> bool:
        """Whether it does without random numbers: a function that draws names ``rng``."""
        return "rng" not in inspect.signature(self.function).parameters

    def __post_init__(self) -> None:
        parameters = inspect.signature(self.function).parameters
        unknown = [
            name
            for name, parameter in list(parameters.items())[2:]
            if name not in ("target", "baseline", "rng") and parameter.default is inspect.Parameter.empty
        ]
        if len(parameters) < 2 or unknown:
            raise TypeError(
                f"{self.name!r} takes ({', '.join(parameters)}); an explainer function takes (vlm, sample) and may "
                "add target, baseline and rng"
            )

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Call the function and wrap its scores."""
        target = resolve_target(vlm, sample, target)
        offered = {"target": target, "baseline": baseline, "rng": rng}
        named = {k: v for k, v in offered.items() if k in inspect.signature(self.function).parameters}
        scores: ArrayLike | Attribution = self.function(vlm, sample, **named)
        if isinstance(scores, Attribution):
            return scores
        numbers = as_array(scores, self.name)
        if numbers.dtype.kind not in "biuf":
            raise TypeError(
                f"{self.name!r} returned scores of dtype {numbers.dtype}; expected one real number per player"
            )
        return Attribution(numbers.astype(np.float64), vlm.players(sample), self.name, target)


def get_explainer(explainer: ExplainerLike) -> Explainer:
    """The explainer behind a registry name, an explainer object or a function.

    Raises:
        UnknownNameError: No explainer has this name; the message suggests the nearest.
        TypeError: It is none of the three, or a function with other parameters.
    """
    if isinstance(explainer, str):
        return EXPLAINERS[explainer]()
    if isinstance(explainer, Explainer) and not inspect.isclass(explainer):
        return explainer
    if callable(explainer) and not inspect.isclass(explainer):
        return FunctionExplainer(explainer, getattr(explainer, "__name__", type(explainer).__name__))
    hint = "; pass an instance, not the class" if inspect.isclass(explainer) else ""
    raise TypeError(f"expected an explainer's name, object or function, got {explainer!r}{hint}")


def is_deterministic(explainer: ExplainerLike) -> bool:
    """Whether one seed is all seeds; an explainer that does not say ``deterministic`` may draw."""
    return bool(getattr(get_explainer(explainer), "deterministic", False))


def passes_of(explainer: ExplainerLike, n_players: int, n_text: int | None = None) -> Passes | None:
    """What an explainer spends on a sample with so many players, at most; None where it does not say.

    Args:
        explainer: A registry name, an explainer object or a function.
        n_players: Players, words included.
        n_text: How many of them are words, for explainers whose cost hangs on it; None counts the dearest case.

    Raises:
        UnknownNameError: No explainer has this name.
        ValueError: It refuses so many players; the message says what it needs.
    """
    found: Any = getattr(get_explainer(explainer), "passes", None)
    if callable(found):
        found = found(n_players, n_text) if "n_text" in inspect.signature(found).parameters else found(n_players)
    return cast("Passes | None", found)


def with_budget(explainer: ExplainerLike, budget: int) -> Explainer:
    """An explainer that evaluates so many coalitions at most.

    Raises:
        ValueError: It has no budget, or this one is none.
    """
    found: Any = get_explainer(explainer)
    has = dataclasses.is_dataclass(found) and "budget" in {f.name for f in dataclasses.fields(found)}
    if not has:
        known = ", ".join(name for name in _BUILT_IN if hasattr(get_explainer(name), "budget"))
        raise ValueError(f"{found.name!r} has no budget (its cost: {found.cost}); {known} have one")
    if budget < 1:
        raise ValueError(f"the budget is {budget}; expected at least 1")
    return cast("Explainer", dataclasses.replace(found, budget=budget))


def resolve_target(vlm: VLM, sample: Sample, target: str | Target | None) -> str:
    """The explained answer, as it is written: the given one, or the model's own."""
    return vlm.answer(sample).text if target is None else str(target)


def inside(
    vlm: VLM, sample: Sample, *, target: str | None, baseline: str, refused: tuple[type, ...] = ()
) -> tuple[str, WhiteBox]:
    """The explained answer, and the differentiable inside of the game that scores it.

    Raises:
        TargetError: A target of a kind that is refused: the explainer looks where one token is predicted.
    """
    target = resolve_target(vlm, sample, target)
    if isinstance(read_target(target), refused) and target not in (sample.choices or ()):
        raise TargetError(
            f"this explainer looks where one token is predicted, and so not at {target}; explain the answer's tokens "
            "or words, or take an explainer that asks the game or its gradient"
        )
    return target, vlm.white_box(sample, target=target, baseline=baseline)


def rng_for(seed: int, explainer: str, sample: Sample) -> np.random.Generator:
    """A generator that differs between seeds, explainers and samples, and is the same on every machine."""
    return np.random.default_rng([seed, zlib.crc32(explainer.encode()), zlib.crc32(sample.id.encode())])


def explain(
    explainer: ExplainerLike,
    vlm: VLM,
    sample: Sample,
    *,
    target: str | Target | None = None,
    baseline: str = "blur",
    seed: int = 0,
    players: str | None = None,
) -> Attribution:
    """Explain a model's answer: one signed score per player.

    What an explainer says of every token is summed over each player; one that asks the game plays the players' game.

    Args:
        explainer: A registry name, an explainer object, or a function ``(vlm, sample) -> scores``.
        vlm: The model.
        sample: The picture and question.
        target: The explained answer; None explains the model's own. Or a token, a word, a sentence or a contrast of
            ``toolkit.games.target``; ``vlm.answer_parts`` gives those of an answer.
        baseline: What a removed image cell looks like: ``"blur"``, ``"mean"`` or ``"noise"``.
        seed: Seed of everything random in the explainer, combined with the sample's id.
        players: ``"tokens"``, ``"words"``, ``"grid:RxC"`` or ``"segments:N"``; None keeps the model's own.

    Raises:
        UnknownNameError: No explainer has this name.
        TypeError: No model or no sample, or the model's players cannot be chosen.
        ValueError: The attribution has the wrong length, a NaN, or explains another target.
        MemoryError: The explainer does not fit into the memory; the message has the numbers and what helps.

    Example:
        >>> import toolkit
        >>> vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
        >>> sample = toolkit.load_samples("scenes-existence", n=1)[0]
        >>> found = toolkit.explain("occlusion", vlm, sample)
        >>> found.scores.shape == (found.players.n,)
        True
    """
    check_asked(vlm, sample)
    check_whole("seed", seed)
    if target is not None:
        check_text("target", str(target) if isinstance(target, Target) else target)
    BASELINES.check(baseline)
    found = get_explainer(explainer)
    if players is not None:
        vlm = _with_players(vlm, players)
    target = resolve_target(vlm, sample, target)
    start = time.perf_counter()
    rng = rng_for(seed, found.name, sample)
    try:
        with getattr(vlm, "turn", nullcontext()), ordinary_modes(), kept_images(sample, found.name):
            attribution = found.attribute(vlm, sample, target=target, baseline=baseline, rng=rng)
    except (MemoryError, RuntimeError) as error:
        from toolkit.vlm.memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        raise MemoryError(_ran_out(error, found.name, vlm)) from error
    if attribution.target != target:
        raise ValueError(f"{found.name!r} explained {attribution.target!r}, but the scored answer is {target!r}")
    return dataclasses.replace(over_players(attribution, vlm, sample), seconds=time.perf_counter() - start)


def _ran_out(error: MemoryError | RuntimeError, explainer: str, vlm: VLM) -> str:
    """What is said of an explainer whose memory ran out: its name, what was said, and what helps."""
    from toolkit.explainers.internals.gradients import ways_out

    if isinstance(error, MemoryError) and str(error):
        return f"{explainer}: {error}"
    said = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{explainer} ran out of memory{f' ({said})' if said else ''}; {ways_out(getattr(vlm, 'model', None))}"


def _with_players(vlm: VLM, players: str) -> VLM:
    choose = getattr(vlm, "with_players", None)
    if choose is None:
        raise TypeError(f"the players of {vlm.name!r} cannot be chosen; leave out players={players!r}")
    return cast("VLM", choose(players))


def over_players(attribution: Attribution, vlm: VLM, sample: Sample) -> Attribution:
    """The attribution over the model's players: scores of image and question tokens are summed over each player."""
    find = getattr(vlm, "partition", None)
    partition: Partition | None = None if find is None else find(sample)
    is_of_tokens = partition is not None and attribution.players.n == len(partition.player_of)
    if partition is None or not is_of_tokens or attribution.players == partition.players:
        return attribution
    if isinstance(attribution, InteractionAttribution):
        pairs = partition.merge_pairs(attribution.pairs)
        return dataclasses.replace(
            attribution, scores=partition.merge(attribution.scores), players=partition.players, pairs=pairs
        )
    return dataclasses.replace(attribution, scores=partition.merge(attribution.scores), players=partition.players)


def draws(
    explainer: ExplainerLike, vlm: VLM, sample: Sample, *, n: int, target: str | None = None, baseline: str = "blur"
) -> list[Attribution]:
    """Repeat an explainer with seeds 0 .. n-1: the draws of a random floor, or the seed stability of any explainer."""
    target = resolve_target(vlm, sample, target)
    return [explain(explainer, vlm, sample, target=target, baseline=baseline, seed=seed) for seed in range(n)]
