"""Diagnose how much a model's answers rest on image, text, either, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolkit.arguments import check_callable, check_list, check_whole
from toolkit.datasets.baselines import BASELINES as KNOWN_BASELINES
from toolkit.datasets.sample import Sample
from toolkit.redundancy.corners import BASELINES, CornerRecord, measure
from toolkit.redundancy.gates import measure_noise
from toolkit.redundancy.redundancy_report import RedundancyReport
from toolkit.redundancy.summary import accuracies, corner_quantities, information, prior_rates
from toolkit.vlm.protocol import VLM, check_asked


def diagnose(
    vlm: VLM,
    samples: Sequence[Sample],
    *,
    baseline: str = "blur",
    baselines: Sequence[str] = BASELINES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RedundancyReport:
    """Measure how image and text share the work of answering.

    Every sample is asked at its four corner coalitions; no explainer is involved. Intervals are 95 % bootstrap
    intervals over pictures (``image_id``).

    Args:
        vlm: The model.
        samples: What to ask it; right answers and ground truth are used where samples carry them.
        baseline: What a removed picture is replaced by in all numbers.
        baselines: Replacements whose spread is the measured noise of an effect; at least two. A model that was trained
            with all of them, as the embedded ones were with these three, hardly tells them apart: the noise is then
            too small, and ``("blur", "blur-paper")`` measures it with one that no training used.
        seed: Seed of the bootstrap.
        progress: Called as progress(done, total) after each sample; a model that is loaded here is asked about up to
            eight at once.

    Raises:
        UnknownNameError: A baseline that does not exist.
        ValueError: No samples, fewer than two baselines, or no sample that could be measured.

    Reference: Bertschinger et al., 2014 and arXiv 2302.12247 (information);
    arXiv 2605.22168 (the claim that is measured here).

    Example:
        >>> import toolkit
        >>> vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
        >>> report = toolkit.diagnose(vlm, toolkit.load_samples("scenes-existence", n=6))
        >>> report["gate, synergy"].value
        1.0
    """
    check_list("samples", samples)
    check_list("baselines", baselines)
    check_whole("seed", seed)
    check_callable("progress", progress)
    for sample in samples:
        check_asked(vlm, sample)
    for name in (baseline, *baselines):
        KNOWN_BASELINES.check(name)
    if not samples:
        raise ValueError("diagnose needs at least one sample, got none")
    if len({baseline, *baselines}) < 2:
        raise ValueError(f"the noise is measured between baselines; expected at least two, got {list(baselines)}")
    records: list[CornerRecord] = []
    failures: dict[str, str] = {}
    measured = measure(vlm, samples, baseline=baseline, baselines=baselines)
    for done, (sample, found) in enumerate(zip(samples, measured, strict=True), start=1):
        if isinstance(found, CornerRecord):
            records.append(found)
        else:
            failures[sample.id] = f"{type(found).__name__}: {found}"
        if progress is not None:
            progress(done, len(samples))
    if not records:
        raise ValueError(
            f"none of {len(samples)} samples could be measured; the first: {next(iter(failures.values()))}"
        )
    noise = measure_noise(records)
    quantities = (
        *corner_quantities(records, noise, seed),
        *accuracies(records, seed),
        *prior_rates(records, seed),
        *information(records, seed),
    )
    dataset = ", ".join(dict.fromkeys(s.dataset for s in samples)) or "own samples"
    return RedundancyReport(vlm.name, dataset, baseline, tuple(records), noise, quantities, failures)
