"""Exact Shapley values of the two modalities, and the share of each in the answer."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.datasets.sample import Corners


@dataclass(frozen=True)
class ModalityShares:
    """Shapley values of the two-player game {image, text}.

    Attributes:
        image: phi_I = (v(I, 0) - v(B, 0) + v(I, T) - v(B, T)) / 2, in the unit of the values.
        text: phi_T = (v(B, T) - v(B, 0) + v(I, T) - v(I, 0)) / 2.
    """

    image: float
    text: float

    @property
    def text_share(self) -> float:
        """|phi_T| / (|phi_I| + |phi_T|), in [0, 1]; 1/2 where neither modality matters."""
        total = abs(self.image) + abs(self.text)
        return abs(self.text) / total if total > 0 else 0.5


def modality_shares(corners: Corners) -> ModalityShares:
    """Exact modality-level Shapley values, which add up to v(I, T) - v(B, 0).

    The share of one modality in their absolute sum is what MM-SHAP reports, there from sampled token-level values; with
    two players nothing needs to be sampled. A share says how much, not how: AND, OR and XOR all have equal shares.

    Reference: Parcalabescu and Frank, MM-SHAP, 2023, arXiv 2212.08158.
    """
    image = (corners.image - corners.empty + corners.both - corners.text) / 2
    text = (corners.text - corners.empty + corners.both - corners.image) / 2
    return ModalityShares(image, text)
