"""The result of a diagnosis: two tables and one sentence; ``toolkit.reporting.redundancy_page`` shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import pandas as pd

from toolkit.datasets.sample import Gate
from toolkit.redundancy.corners import CornerRecord
from toolkit.redundancy.gates import GATES, Noise, confusion, gate_of, parts
from toolkit.redundancy.shares import modality_shares
from toolkit.redundancy.summary import Quantity
from toolkit.stats.verdict import joint_part, share_word

_READING = {
    "synergy": "needs image and text together",
    "redundancy": "could answer from either modality alone",
    "text-only": "answers from the text alone",
    "image-only": "answers from the image alone",
    "interference": "loses with image and text together what either alone supports",
    "neither": "depends on neither modality beyond the measured noise",
}


@dataclass(frozen=True)
class RedundancyReport:
    """What :func:`toolkit.diagnose` found.

    Attributes:
        model: Name of the model.
        dataset: Name of the dataset.
        baseline: Main baseline.
        records: The corners of every sample.
        noise: Measured noise and the thresholds made from it.
        quantities: Numbers of the whole dataset with their intervals.
        failures: Samples that could not be measured, with the reason.
    """

    model: str
    dataset: str
    baseline: str
    records: tuple[CornerRecord, ...] = field(repr=False)
    noise: Noise
    quantities: tuple[Quantity, ...] = field(repr=False)
    failures: dict[str, str]

    def __getitem__(self, name: str) -> Quantity:
        """A quantity by name, for example ``report["text share"]``.

        Raises:
            KeyError: There is none; the message lists the names.
        """
        found = {quantity.name: quantity for quantity in self.quantities}
        if name not in found:
            raise KeyError(f"no quantity {name!r}; there are: {', '.join(found)}")
        return found[name]

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Measured gate of each sample."""
        return tuple(gate_of(record.corners, self.noise.threshold) for record in self.records)

    def table(self) -> pd.DataFrame:
        """One line per quantity: value, 95 % interval clustered by picture, n, unit, meaning."""
        return pd.DataFrame([asdict(quantity) for quantity in self.quantities]).set_index("name")

    def samples(self) -> pd.DataFrame:
        """One line per sample: corners, effects, shares, gates, answers."""
        rows = []
        for record, gate in zip(self.records, self.gates, strict=True):
            sample, found, shares = record.sample, parts(record.corners), modality_shares(record.corners)
            rows.append(
                {
                    "sample": sample.id, "question": sample.question, "right answer": sample.answer,
                    "target": record.target, "said without image": record.predicted_choice("text"),
                    "both": record.corners.both, "image": record.corners.image, "text": record.corners.text,
                    "empty": record.corners.empty, "total interaction": record.corners.total_interaction,
                    "synergy part": found.synergy, "redundancy part": found.redundancy, "text part": found.text,
                    "image part": found.image, "interference part": found.interference,
                    "Shapley image": shares.image, "Shapley text": shares.text,
                    "gate": gate, "gate by construction": sample.truth.gate if sample.truth else None,
                    "image_id": record.cluster, "category": sample.category,
                }
            )  # fmt: skip
        return pd.DataFrame(rows).set_index("sample")

    def confusion(self) -> pd.DataFrame:
        """Measured gate against the gate by construction, over the samples that the model answers rightly.

        Both are read by one rule (:func:`toolkit.redundancy.gates.gate_of`), so only the model can differ. On a wrong
        answer the corners score another answer than the one whose gate is known.
        """
        known = [
            (r.sample.truth.gate, gate)
            for r, gate in zip(self.records, self.gates, strict=True)
            if r.sample.truth is not None and r.target == r.sample.answer
        ]
        return confusion([truth for truth, _ in known], [gate for _, gate in known])

    @property
    def verdict(self) -> str:
        """One sentence that a learner can quote, built from the numbers only."""
        top = max(GATES, key=lambda gate: self[f"gate, {gate}"].value)
        gate, prior = self[f"gate, {top}"], self["language-prior rate"]
        interaction = self["total interaction"]
        told = f"{self.model} on {self.dataset} {share_word(gate.low)} {_READING[top]} "
        told += f"({_percent(gate)} of {gate.n} samples)"
        full, text, constant = (self[f"accuracy, {name}"] for name in ("both", "text", "constant answer"))
        if full.reason is None:
            told += f"; it is right in {_percent(full)}, without the image in {_percent(text)} "
            told += f"({constant.value:.0%} for a constant answer)"
        if prior.reason is None:
            told += f", and keeps a wrong text-only answer in {_percent(prior)}"
        told += f"; mean interaction {interaction.value:+.2f} [{interaction.low:+.2f}, {interaction.high:+.2f}]"
        return f"{told}: {joint_part(interaction.low, interaction.high)}."


def _percent(quantity: Quantity) -> str:
    return f"{quantity.value:.0%}"
