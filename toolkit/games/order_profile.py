"""At which order do players work together? Dividends by size, exactly, over merged players."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.games.enumerate import Cancelled, Progress
from toolkit.games.game import Game, Group, Players, QuotientGame, group_mask
from toolkit.games.interactions import MAX_GROUPS, harsanyi_dividends
from toolkit.typing import Modality, Regions, Values


@dataclass(frozen=True)
class OrderProfile:
    """Harsanyi dividends of coalitions that hold image *and* text, summed by size.

    Attributes:
        orders: Sizes 2, 3, ..., n.
        net: Sum of the dividends of mixed coalitions of each size, in the unit of the values; adds up to ``total``.
        gross: Sum of their absolute values.
        total: Total interaction D = v(all) - v(text alone) - v(image alone) + v(nobody).
        n_evaluations: Coalitions that were read, 2^n.
    """

    orders: tuple[int, ...]
    net: Values
    gross: Values
    total: float
    n_evaluations: int

    @property
    def cancellation(self) -> float:
        """1 - |D| / sum of |mixed dividends|, in [0, 1]: how much undoes each other; NaN where there is none."""
        gross = float(self.gross.sum())
        return 1 - abs(self.total) / gross if gross > 0 else float("nan")

    @property
    def beyond_pairs(self) -> float:
        """Share of the gross that is of order three or higher, in [0, 1]: what no pairwise index sees."""
        gross = float(self.gross.sum())
        return float(self.gross[1:].sum()) / gross if gross > 0 else float("nan")


def order_profile(
    game: Game,
    *,
    image_groups: Sequence[Group] | None = None,
    text_groups: Sequence[Group] | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> OrderProfile:
    """Dividends of mixed coalitions by size: net_k = sum of d(S) over S of size k with image and text players.

    Args:
        game: The game.
        image_groups: Image players that are merged into one player each; every one alone by default.
        text_groups: Text players, likewise.
        progress: Called as progress(done, total).
        cancelled: Polled; True stops.

    Raises:
        ValueError: More than 16 groups in all, a modality without any, groups that overlap, leave somebody out or
            take players of the other modality.
        CancelledError: ``cancelled`` returned True.

    Reference: Harsanyi, 1963; what pairwise scores conflate: arXiv 2606.19410.

    Example:
        >>> from toolkit.games.analytic import and_gate
        >>> order_profile(and_gate(2, 1)).net.tolist()
        [0.0, 1.0]
    """
    players = game.players
    image = _groups(players, "image", image_groups)
    text = _groups(players, "text", text_groups)
    n = len(image) + len(text)
    if n > MAX_GROUPS:
        raise ValueError(
            f"{len(image)} image groups and {len(text)} text groups make 2^{n} coalitions; exact enumeration stops at "
            f"{MAX_GROUPS} groups. Merge more players (group_cells, group_words), or sample with banzhaf-interaction"
        )
    dividends = harsanyi_dividends(QuotientGame(game, [*image, *text]), progress=progress, cancelled=cancelled)
    numbers = np.arange(len(dividends))
    of_image = (1 << len(image)) - 1
    mixed = ((numbers & of_image) > 0) & ((numbers & ~of_image) > 0)
    sizes, orders = np.bitwise_count(numbers), tuple(range(2, n + 1))
    if not np.isfinite(dividends).all():
        raise ValueError("the game has missing values; an order profile needs the value of every coalition")
    net = np.array([dividends[mixed & (sizes == k)].sum() for k in orders])
    gross = np.array([np.abs(dividends[mixed & (sizes == k)]).sum() for k in orders])
    return OrderProfile(orders, net, gross, float(net.sum()), len(dividends))


def _groups(players: Players, modality: Modality, groups: Sequence[Group] | None) -> list[NDArray[np.bool_]]:
    """Masks (n_players,) of the groups of one modality.

    Raises:
        ValueError: There is none, or they do not divide its players between them.
    """
    own = players.of(modality)
    masks = [
        group_mask(group, players.n)
        for group in ([[int(i)] for i in np.flatnonzero(own)] if groups is None else groups)
    ]
    if not masks or (np.sum(masks, axis=0) != own).any():
        raise ValueError(
            f"the {modality} groups must hold each of the {int(own.sum())} {modality} players once and no others, got "
            f"{[np.flatnonzero(mask).tolist() for mask in masks]}"
        )
    return masks


def group_cells(image: NDArray[np.uint8], regions: Regions, n: int = 10) -> list[list[int]]:
    """The n - 1 cells of the highest contrast, each alone, and all others as the background.

    Args:
        image: Pixels (height, width, channels).
        regions: Shape (n_image, 4), as ``LoadedVLM.regions`` gives them.
        n: Groups, at least 2; fewer cells than that stay alone.

    Raises:
        ValueError: n is below 2.
    """
    if n < 2:
        raise ValueError(f"n is {n}; expected at least 2 groups: something and the background")
    height, width = image.shape[:2]
    corners = (regions * [width, height, width, height]).round().astype(int)
    contrast = [
        float(image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].std(axis=(0, 1)).sum()) for x0, y0, x1, y1 in corners
    ]
    order = [int(cell) for cell in np.argsort(contrast, kind="stable")[::-1]]
    alone, rest = (order, []) if len(order) <= n else (order[: n - 1], sorted(order[n - 1 :]))
    return [*([cell] for cell in sorted(alone)), *([rest] if rest else [])]


def group_words(players: Players, n: int = 4) -> list[list[int]]:
    """Text players in at most n runs of neighbours, the sizes of which differ by one at most."""
    text = np.flatnonzero(players.of("text"))
    return [run.tolist() for run in np.array_split(text, min(n, len(text)))]
