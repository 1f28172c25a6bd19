"""Load samples of any dataset by name, split and number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from reprlib import repr as short
from typing import TypeVar

import numpy as np

from toolkit.arguments import as_path, check_callable, check_text
from toolkit.datasets.instructions import check_instruction, make_instruction
from toolkit.datasets.sample import Sample
from toolkit.registry import PluginError, Registry, UnknownNameError, import_plugin

OnUnreadable = Callable[[str, str], None]
"""Called with (sample id, reason) for each sample whose picture cannot be decoded."""


@dataclass(frozen=True)
class DatasetRequest:
    """What somebody asked of a dataset."""

    name: str
    split: str
    n: int | None
    seed: int
    prior_strength: float | None = None
    revision: str | None = None
    source: Path | None = None
    streaming: bool = False
    on_unreadable: OnUnreadable | None = None


@dataclass(frozen=True)
class DatasetEntry:
    """One dataset of the registry.

    Attributes:
        samples: What yields the samples, given the request; or the module whose ``samples`` does.
        description: One line.
        size: Number of samples, None for a generated dataset without end.
        licence: Licence of questions and pictures.
        origin: Where it comes from; "embedded" needs no network.
        revision: The pinned revision, 40 hexadecimal digits, or "" where none is.
        splits: Names that ``split`` may take.
        n_images: Images of a sample, the most that one has.
    """

    samples: Callable[[DatasetRequest], Iterator[Sample]] | str
    description: str
    size: int | None
    licence: str
    origin: str = "embedded"
    revision: str = ""
    splits: tuple[str, ...] = ("test",)
    n_images: int = 1

    @property
    def is_hub(self) -> bool:
        """Whether it comes from the hub, at a revision."""
        return self.origin not in ("embedded", "folder")


def _from_path(path: str) -> DatasetEntry:
    """The dataset ``"module:function"``."""
    found = import_plugin(path)
    if not callable(found):
        raise PluginError(f"{path!r} is {type(found).__name__}, not a function of a DatasetRequest that yields samples")
    known = next((DATASETS[name] for name in DATASETS if DATASETS[name].samples is found), None)
    return known or DatasetEntry(found, (found.__doc__ or path).splitlines()[0], None, "not stated")


DATASETS: Registry[DatasetEntry] = Registry("dataset", from_path=_from_path)

F = TypeVar("F", bound=Callable[[DatasetRequest], Iterator[Sample]])


def dataset(
    name: str,
    description: str,
    *,
    licence: str,
    size: int | None = None,
    splits: tuple[str, ...] = ("test",),
    n_images: int = 1,
) -> Callable[[F], F]:
    """Register a dataset: written above the function that yields its samples, whose ids are unique.

    ``n_images`` is the most images that one of them has, for a plan.

    Raises:
        ValueError: The name is taken.

    Example:
        >>> from PIL import Image
        >>> import toolkit
        >>> from toolkit.datasets.load import DATASETS, dataset
        >>> @dataset("black", "one black image", licence="CC0-1.0", size=1)
        ... def black(request):
        ...     yield toolkit.Sample("black-0", Image.new("RGB", (32, 32)), "is it dark ?", choices=("yes", "no"))
        >>> [sample.id for sample in toolkit.load_samples("black", n=None)]
        ['black-0']
        >>> DATASETS.remove("black")
    """

    def decorate(samples: F) -> F:
        DATASETS.add(name, DatasetEntry(samples, description, size, licence, splits=splits, n_images=n_images))
        return samples

    return decorate


for _name, _about in {
    "scenes-existence": "is there a red circle ? yes or no, as RePOPE",
    "scenes-choice": "colour, count and relation with lettered options, as CV-Bench",
    "scenes-mixed": "harder lettered questions that need picture and words, as MMStar",
    "scenes-everyday": "everyday objects with a usual colour; prior_strength is a dial",
    "scenes-binding": "is there a red circle ? where something is red and something a circle: on one thing or not",
}.items():
    DATASETS.add(
        _name, DatasetEntry("toolkit.scenes.embedded", _about, None, "MIT", splits=("train", "validation", "test"))
    )

_REPOPE = "COCO pictures: COCO terms; questions: MIT"
for _name, _about, _size in (
    ("repope", "existence in photographs, re-annotated POPE: the distinct questions of its three subsets", 4779),
    ("repope-random", "RePOPE, absent objects drawn at random", 2774),
    ("repope-popular", "RePOPE, absent objects drawn from the frequent ones", 2727),
    ("repope-adversarial", "RePOPE, absent objects drawn from those that often occur together", 2684),
):
    DATASETS.add(_name, DatasetEntry("toolkit.datasets.repope", _about, _size, _REPOPE, origin="MM-Hallu/RePOPE"))

DATASETS.add(
    "cv-bench",
    DatasetEntry(
        "toolkit.datasets.cv_bench",
        "count, relation, depth and distance in photographs, lettered options",
        2638,
        "Apache-2.0",
        origin="nyu-visionx/CV-Bench",
        revision="bc284db50d036958861cb60cdd7b77612052ce0d",
    ),
)
DATASETS.add(
    "mmstar",
    DatasetEntry(
        "toolkit.datasets.mmstar",
        "six abilities, chosen so that the picture is needed, lettered options",
        1500,
        "see the dataset card; pictures from several sources",
        origin="Lin-Chen/MMStar",
        revision="bc98d668301da7b14f648724866e57302778ab27",
        splits=("test", "val"),
    ),
)


def iter_samples(
    name: str,
    split: str = "test",
    n: int | None = 20,
    *,
    seed: int = 0,
    prior_strength: float | None = None,
    revision: str | None = None,
    source: str | Path | None = None,
    streaming: bool = False,
    instruction: str | None = None,
    on_unreadable: OnUnreadable | None = None,
) -> Iterator[Sample]:
    """Yield samples one at a time, so that large pictures need not all be in memory.

    Args:
        name: A registered dataset, or ``folder:PATH`` for your own pictures and questions.
        split: ``test``; the scenes also have ``train`` and ``validation``.
        n: How many; None means all of a finite dataset. A subset of a finite dataset is drawn without replacement by
            ``seed`` and keeps the dataset's order.
        seed: Chooses the subset, or the generated scenes.
        prior_strength: Language prior of the scenes, in [0, 1].
        revision: Commit of a hub dataset; None is the pinned one.
        source: A local copy of a hub dataset: a folder with its parquet files. No network is used.
        streaming: Read a hub dataset over the network without storing it: the first n rows of a shuffle buffer.
        instruction: How the model is told to answer, instead of the dataset's own wording: a style of
            ``toolkit.datasets.instructions`` (``"llava"``, ``"scenes"``, ``"by-model"``, ...) or a text of two words
            and more, in which ``{question}`` may stand; "" for no instruction.
        on_unreadable: Called with (sample id, reason) for a picture that cannot be decoded, which is then left out.
            None raises.

    Raises:
        UnknownNameError: Unknown dataset, split or style of instruction.
        ValueError: An argument is out of range or does not apply to this dataset.
        ImageError: A picture cannot be decoded and ``on_unreadable`` is None.
        DatasetUnavailableError: A hub dataset is neither cached nor reachable.
    """
    check_callable("on_unreadable", on_unreadable)
    if not (prior_strength is None or isinstance(prior_strength, int | float | np.integer | np.floating)):
        raise ValueError(f"prior_strength must be a number in [0, 1] or None, got {short(prior_strength)}")
    if revision is not None:
        check_text("revision", revision)
    request = DatasetRequest(
        name=name,
        split=split,
        n=n,
        seed=seed,
        prior_strength=prior_strength,
        revision=revision,
        source=None if source is None else as_path("source", source),
        streaming=streaming,
        on_unreadable=on_unreadable,
    )
    read = _reader(request)
    if instruction is not None:
        check_instruction(instruction)
    samples = read(request)
    return _checked(name, n, samples if instruction is None else with_instruction(samples, instruction))


def load_samples(
    name: str,
    split: str = "test",
    n: int | None = 20,
    *,
    seed: int = 0,
    prior_strength: float | None = None,
    revision: str | None = None,
    source: str | Path | None = None,
    streaming: bool = False,
    instruction: str | None = None,
    on_unreadable: OnUnreadable | None = None,
) -> list[Sample]:
    """Load samples of any dataset; arguments and errors as in ``iter_samples``.

    Example:
        >>> import toolkit
        >>> [sample.question for sample in toolkit.load_samples("scenes-existence", n=1)]
        ['is there a ...']
    """
    return list(
        iter_samples(
            name,
            split,
            n,
            seed=seed,
            prior_strength=prior_strength,
            revision=revision,
            source=source,
            streaming=streaming,
            instruction=instruction,
            on_unreadable=on_unreadable,
        )
    )


def check_dataset(name: str, split: str = "test") -> DatasetEntry:
    """The entry of a dataset that has this split.

    Raises:
        UnknownNameError: Unknown dataset or split.
    """
    if str(name).startswith("folder:"):
        entry = DatasetEntry("toolkit.datasets.folder", "", None, "", origin="folder")
    else:
        entry = DATASETS[str(name)]
    if split not in entry.splits:
        raise UnknownNameError(f"split of {name}", split, entry.splits)
    return entry


def _reader(request: DatasetRequest) -> Callable[[DatasetRequest], Iterator[Sample]]:
    """Check what does not depend on the data and find what yields the samples."""
    if request.n is not None and (not isinstance(request.n, int) or request.n < 1):
        raise ValueError(f"n must be a whole number of at least 1, or None for all, got {request.n!r}")
    if not isinstance(request.seed, int) or request.seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {request.seed!r}")
    entry = check_dataset(request.name, request.split)
    scenes = request.name.startswith("scenes-")
    if scenes and request.n is None:
        raise ValueError(f"{request.name} is generated without end; say how many samples: n=...")
    if not scenes and request.prior_strength is not None:
        raise ValueError(f"prior_strength is a dial of the scenes; {request.name} has none")
    if not entry.is_hub and (request.revision or request.source or request.streaming):
        raise ValueError(f"revision, source and streaming are for hub datasets; {request.name} is not one")
    if request.source is not None and request.streaming:
        raise ValueError("source reads a local copy and streaming reads the network; choose one")
    if callable(entry.samples):
        return entry.samples
    found: Callable[[DatasetRequest], Iterator[Sample]] = import_module(entry.samples).samples
    return found


def with_instruction(samples: Iterable[Sample], instruction: str) -> Iterator[Sample]:
    """The samples with another instruction: a style or a text, as ``load_samples`` takes it."""
    for sample in samples:
        yield replace(sample, instruction=make_instruction(instruction, sample.choices))


def _checked(name: str, n: int | None, samples: Iterable[Sample]) -> Iterator[Sample]:
    if not isinstance(samples, Iterable):
        raise ValueError(f"{name} returned {type(samples).__name__}; expected a function that yields samples")
    seen: set[str] = set()
    for sample in samples:
        if not isinstance(sample, Sample):
            raise ValueError(f"{name} yielded {type(sample).__name__}; expected a Sample")
        if len(seen) == n:
            raise ValueError(f"{name} yields more than the {n} samples that were asked for; stop at request.n")
        if sample.id in seen:
            raise ValueError(f"{name} has two samples with the id {sample.id!r}; ids must be unique")
        seen.add(sample.id)
        yield sample
    if not seen:
        raise ValueError(f"{name} has no samples; give it at least one")
