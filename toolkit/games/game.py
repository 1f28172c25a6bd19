"""Cooperative games: players, the value of a coalition, and games derived from other games.

Games whose dividends are known by construction are in ``toolkit.games.analytic``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.arguments import check_list
from toolkit.typing import Coalitions, Modality, Values

PlayerKind: TypeAlias = Literal["image", "text", "macro"]
"""What a player is: an image cell, a text token, or several players of any modality merged into one."""

Group: TypeAlias = Sequence[int] | NDArray[np.bool_] | NDArray[np.integer]
"""Some players of a game: their indices, or a mask (n_players,)."""


@dataclass(frozen=True)
class Players:
    """The players of a game: image cells first, then text tokens, then merged players.

    Attributes:
        labels: One name per player.
        modality: ``"image"``, ``"text"`` or ``"macro"`` per player, in this order. The games of models have no
            macro players; quotient games have nothing else.
    """

    labels: tuple[str, ...]
    modality: tuple[PlayerKind, ...] = field(repr=False)

    def __post_init__(self) -> None:
        for what, given in (("labels", self.labels), ("modality", self.modality)):
            if not isinstance(given, tuple | list) or not all(isinstance(one, str) for one in given):
                raise TypeError(f"{what} must be a tuple of texts, one per player, got {short(given)}")
            object.__setattr__(self, what, tuple(given))
        if len(self.labels) != len(self.modality):
            raise ValueError(f"{len(self.labels)} labels but {len(self.modality)} modalities; expected one each")
        order = ("image", "text", "macro")
        unknown = set(self.modality) - set(order)
        if unknown or sorted(self.modality, key=order.index) != list(self.modality):
            raise ValueError("modality must list 'image' players first, then 'text' players, then 'macro' players")

    @classmethod
    def make(cls, image: tuple[str, ...], text: tuple[str, ...]) -> Players:
        """Players from the labels of both modalities."""
        check_list("image", image)
        check_list("text", text)
        kinds: list[PlayerKind] = ["image"] * len(image)
        kinds += ["text"] * len(text)
        return cls((*image, *text), tuple(kinds))

    @classmethod
    def macro(cls, labels: Sequence[str]) -> Players:
        """Merged players, which have no modality of their own."""
        kinds: list[PlayerKind] = ["macro"] * len(labels)
        return cls(tuple(labels), tuple(kinds))

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self.labels)

    @property
    def n_image(self) -> int:
        """Number of image players."""
        return self.modality.count("image")

    @property
    def n_text(self) -> int:
        """Number of text players."""
        return self.modality.count("text")

    def of(self, modality: Modality) -> NDArray[np.bool_]:
        """Mask (n_players,) of one modality's players."""
        return np.array([m == modality for m in self.modality], dtype=np.bool_)


class UnscoredError(ValueError):
    """Coalitions that have no value, with the reason.

    Attributes:
        values: Values of all coalitions that were asked for, NaN where there is none; or None where nothing has one.
    """

    def __init__(self, reason: str, values: Values | None = None) -> None:
        super().__init__(reason)
        self.values = values


@runtime_checkable
class Game(Protocol):
    """A value function over coalitions of players: the seam between models and game theory."""

    @property
    def players(self) -> Players: ...

    def __call__(self, coalitions: Coalitions) -> Values:
        """Raw, signed values, shape (n_coalitions,), of a bool array (n_coalitions, n_players)."""
        ...


def check_game(game: object) -> None:
    """Refuse what is no game.

    Raises:
        TypeError: It has no players, or cannot be called.
    """
    if not isinstance(game, Game) or not isinstance(game.players, Players):
        raise TypeError(
            f"expected a game, which has players and values of coalitions, got {short(game)}; vlm.game(sample) is one"
        )


def check_coalitions(coalitions: Coalitions, players: Players) -> Coalitions:
    """Return the coalitions if they fit the players.

    Raises:
        TypeError: Not a NumPy array of bools.
        ValueError: Not of shape (n_coalitions, n_players).
    """
    if not isinstance(coalitions, np.ndarray) or coalitions.dtype != np.bool_:
        got = f"dtype {coalitions.dtype}" if isinstance(coalitions, np.ndarray) else type(coalitions).__name__
        raise TypeError(f"coalitions must be a NumPy array of dtype bool (True = present), got {got}")
    if coalitions.ndim != 2 or coalitions.shape[1] != players.n:
        fix = "; write coalitions[None, :] for a single one" if coalitions.ndim == 1 else ""
        raise ValueError(f"coalitions have shape {coalitions.shape}, expected (n_coalitions, {players.n}){fix}")
    return coalitions


def group_mask(group: Group, n_players: int) -> NDArray[np.bool_]:
    """Mask (n_players,) of a group given as indices or as a mask.

    Raises:
        ValueError: A mask of another length, or an index that is repeated or out of range.
    """
    try:
        members = np.asarray(group)
    except ValueError:
        raise ValueError(f"a group is a list of player indices or a mask of bools, got {short(group)}") from None
    if members.dtype == np.bool_:
        if members.shape != (n_players,):
            raise ValueError(f"the group's mask has shape {members.shape}, expected ({n_players},)")
        return members.copy()
    mask = np.zeros(n_players, dtype=np.bool_)
    if members.size == 0:
        return mask
    if members.ndim != 1 or not np.issubdtype(members.dtype, np.integer):
        raise ValueError(f"a group is a list of player indices or a mask of bools, got {short(group)}")
    if members.min() < 0 or members.max() >= n_players or np.unique(members).size < members.size:
        raise ValueError(f"the group {members.tolist()} must name different players between 0 and {n_players - 1}")
    mask[members] = True
    return mask


def pack(coalitions: Coalitions) -> NDArray[np.void]:
    """One hashable, comparable key per coalition: its bits, eight to a byte; shape (n_coalitions,)."""
    bits = np.ascontiguousarray(np.packbits(coalitions, axis=1))
    if bits.shape[1] == 0:
        bits = np.zeros((len(coalitions), 1), dtype=np.uint8)
    return bits.view(np.dtype((np.void, bits.shape[1]))).reshape(-1)


def coalition_index(coalitions: Coalitions) -> NDArray[np.int64]:
    """Number of each coalition: player i contributes 2^i; shape (n_coalitions,)."""
    return coalitions @ (np.int64(1) << np.arange(coalitions.shape[1], dtype=np.int64))


def all_coalitions(n_players: int) -> Coalitions:
    """All coalitions, shape (2^n, n); row s is the coalition with ``coalition_index`` s."""
    return (np.arange(1 << n_players)[:, None] >> np.arange(n_players) & 1).astype(np.bool_)


def corner_coalitions(players: Players) -> Coalitions:
    """The four corner coalitions, shape (4, n_players): both, image only, text only, neither."""
    image, text = players.of("image"), players.of("text")
    return np.stack([image | text, image, text, np.zeros_like(image)])


class TableGame:
    """A game given by the value of every coalition.

    Args:
        players: The n players.
        values: Shape (2^n,), where entry s belongs to the coalition of all players i whose bit 2^i is set in s.
    """

    def __init__(self, players: Players, values: ArrayLike) -> None:
        self.players = players
        self.values: Values = np.array(values, dtype=np.float64)
        if self.values.shape != (1 << players.n,):
            raise ValueError(
                f"the table has shape {self.values.shape}, expected (2**{players.n},) = ({1 << players.n},)"
            )

    def __call__(self, coalitions: Coalitions) -> Values:
        return self.values[coalition_index(check_coalitions(coalitions, self.players))]


class QuotientGame:
    """The game in which groups of players act as one: w(C) = v(present + union of the groups in C).

    Args:
        game: The game underneath.
        groups: Disjoint groups, one per macro player. An empty group is a macro player who changes nothing.
        present: Players outside all groups who are always there; everybody else outside the groups never is.
        labels: One name per macro player; numbered by default.

    Raises:
        ValueError: A player belongs to two groups, or to a group and to ``present``.
    """

    def __init__(
        self, game: Game, groups: Sequence[Group], *, present: Group = (), labels: Sequence[str] | None = None
    ) -> None:
        n = game.players.n
        self.game = game
        self.groups: NDArray[np.bool_] = np.array([group_mask(g, n) for g in groups], dtype=np.bool_).reshape(-1, n)
        self.present = group_mask(present, n)
        owners = self.groups.sum(axis=0) + self.present
        if (owners > 1).any():
            raise ValueError(f"players {np.flatnonzero(owners > 1).tolist()} are in more than one group or background")
        self.players = Players.macro(labels if labels is not None else [f"group {g}" for g in range(len(groups))])
        if self.players.n != len(groups):
            raise ValueError(f"{self.players.n} labels for {len(groups)} groups; expected one each")

    def expand(self, coalitions: Coalitions) -> Coalitions:
        """The coalitions (n_coalitions, n_players) of the game underneath."""
        return (check_coalitions(coalitions, self.players) @ self.groups) | self.present

    def __call__(self, coalitions: Coalitions) -> Values:
        return self.game(self.expand(coalitions))


class CachedGame:
    """A game that asks the game underneath for each distinct coalition once, and counts.

    Repetitions are removed within a call as well as between calls; values come back in the order asked.

    Args:
        game: The game underneath, called at most once per call of this one, with new distinct coalitions only.
    """

    def __init__(self, game: Game) -> None:
        check_game(game)
        self.game = game
        self._values: dict[bytes, float] = {}

    @property
    def players(self) -> Players:
        """The players of the game underneath."""
        return self.game.players

    @property
    def n_evaluations(self) -> int:
        """Distinct coalitions evaluated so far."""
        return len(self._values)

    def __call__(self, coalitions: Coalitions) -> Values:
        keys: list[bytes] = pack(check_coalitions(coalitions, self.players)).tolist()
        new: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            if key not in self._values:
                new.setdefault(key, row)
        if new:
            values = self.game(coalitions[list(new.values())])
            if values.shape != (len(new),):
                raise ValueError(f"the game returned shape {values.shape} for {len(new)} coalitions")
            self._values.update(zip(new, values.tolist(), strict=True))
        return np.array([self._values[key] for key in keys], dtype=np.float64)
