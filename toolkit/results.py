"""Results that travel: attributions, values of a game and scores as files, and as pandas tables.

One file per result, ``.npz`` (small) or ``.json`` (readable), both with a schema version, and both exact to the last
bit. Nothing in them is executed when they are read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.arguments import as_path
from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.games.game import Game, Players, check_coalitions, check_game, pack
from toolkit.synergy.f_syn import SynergyScore
from toolkit.synergy.gain import GainScore
from toolkit.synergy.interaction_sign import InteractionSign
from toolkit.synergy.recovered import RecoveredScore
from toolkit.synergy.score import MetricSpec, Score
from toolkit.synergy.srg import CurveScore
from toolkit.typing import Coalitions, EqualByContent, Values

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
_MARK = "synergy-toolkit result"


class ResultFileError(ValueError):
    """A file that holds no result that can be read here; the message says what to do."""


@dataclass(frozen=True, eq=False)
class GameValues(EqualByContent):
    """Values of some coalitions of a game: a game itself, which knows those and no others.

    Attributes:
        players: The players.
        coalitions: Shape (n_coalitions, n_players).
        values: Shape (n_coalitions,).
        target: The scored answer, where the game has one.
    """

    players: Players
    coalitions: Coalitions
    values: Values
    target: str | None = None

    def __post_init__(self) -> None:
        check_coalitions(self.coalitions, self.players)
        if self.values.shape != (len(self.coalitions),):
            raise ValueError(f"{len(self.coalitions)} coalitions have values of shape {self.values.shape}")

    @classmethod
    def of(cls, game: Game, coalitions: Coalitions) -> GameValues:
        """Ask a game for some coalitions.

        Raises:
            TypeError, ValueError: The coalitions do not fit the players.
        """
        check_game(game)
        return cls(game.players, coalitions, game(coalitions), getattr(game, "target", None))

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values (n_coalitions,) of coalitions that are known.

        Raises:
            ValueError: One of them is not.
        """
        known = dict(zip(pack(self.coalitions).tolist(), self.values.tolist(), strict=True))
        keys = pack(check_coalitions(coalitions, self.players)).tolist()
        missing = sum(key not in known for key in keys)
        if missing:
            raise ValueError(f"{missing} of {len(keys)} coalitions are not among the {len(known)} that were kept")
        return np.array([known[key] for key in keys], dtype=np.float64)


Result: TypeAlias = Attribution | GameValues | Score


def save(result: Result, path: Path | str) -> Path:
    """Write a result to an ``.npz`` or ``.json`` file, whole or not at all.

    Args:
        result: An :class:`Attribution`, a :class:`GameValues` or a :class:`Score`.
        path: The file; what stands there is replaced.

    Returns:
        The path.

    Raises:
        TypeError: It is none of the three.
        ResultFileError: The name has another ending, or a detail is neither a number nor a text nor a list of these.

    Example:
        >>> import tempfile, toolkit
        >>> players = toolkit.Players.make(("left", "right"), ("red",))
        >>> found = toolkit.Attribution([0.5, -0.25, 0.125], players, "mine", "yes")
        >>> path = toolkit.save(found, f"{tempfile.mkdtemp()}/found.json")
        >>> toolkit.load(path).scores.tolist()
        [0.5, -0.25, 0.125]
    """
    path = _checked(path)
    kind = _kind_of(result)
    import toolkit

    fields, arrays = _taken_apart(result)
    head = {"file": _MARK, "schema": SCHEMA, "toolkit": toolkit.__version__, "kind": kind, "fields": fields}
    if path.suffix == ".json":
        whole = {**head, "arrays": {k: _as_json(v) for k, v in arrays.items()}}
        body = json.dumps(whole, indent=1, ensure_ascii=False, default=_plain)
        _write(path, lambda file: file.write(body.encode()))
    else:
        header = np.frombuffer(json.dumps(head, default=_plain).encode(), dtype=np.uint8)
        held: dict[str, Any] = {"header": header, **arrays}
        _write(path, lambda file: np.savez_compressed(file, **held))
    return path


def load(path: Path | str) -> Any:
    """Read a result that ``save`` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ResultFileError: It is damaged, something else, or of a schema that this version does not read.

    Example:
        >>> import tempfile, toolkit
        >>> found = toolkit.Attribution([1.0, 2.0], toolkit.Players.make(("cell",), ("word",)), "mine", "yes")
        >>> toolkit.load(toolkit.save(found, f"{tempfile.mkdtemp()}/found.npz")).target
        'yes'
    """
    path = _checked(path)
    try:
        if path.suffix == ".json":
            head = json.loads(path.read_text(encoding="utf-8"))
            arrays = {k: _from_json(v) for k, v in head.get("arrays", {}).items()}
        else:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            head = json.loads(arrays.pop("header").tobytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {str(path)!r}; give one that toolkit.save wrote") from None
    except (OSError, EOFError, ValueError, LookupError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ResultFileError(f"{path} is damaged, or not a result of the toolkit: {error}; write it again") from error
    if not isinstance(head, dict) or head.get("file") != _MARK:
        raise ResultFileError(f"{path} is not a result of the toolkit; expected a file that toolkit.save wrote")
    if head.get("schema") != SCHEMA:
        raise ResultFileError(
            f"{path} has schema {head.get('schema')}, this toolkit reads {SCHEMA}: read it with the version that wrote "
            f"it ({head.get('toolkit')}), or compute it anew"
        )
    try:
        return _put_together(head["kind"], head["fields"], arrays)
    except (LookupError, TypeError, ValueError) as error:
        raise ResultFileError(f"{path} is damaged: {type(error).__name__}: {error}; write it again") from error


def to_frame(result: Result) -> pd.DataFrame:
    """A result as a tidy table.

    An attribution has a row per player (``player, modality, score``), a game's values one per coalition (a column of
    bools per player, then ``value``), a score one per point of its curve (``fraction, value``, and for curves with two
    sides ``insertion, deletion``); what belongs to the whole stands in ``DataFrame.attrs``.

    Raises:
        TypeError: It is none of the three.

    Example:
        >>> import toolkit
        >>> found = toolkit.Attribution([1.0, 2.0], toolkit.Players.make(("cell",), ("word",)), "mine", "yes")
        >>> toolkit.to_frame(found)["score"].tolist()
        [1.0, 2.0]
    """
    import pandas as pd

    _kind_of(result)
    if isinstance(result, Attribution):
        found = pd.DataFrame(
            {"player": result.players.labels, "modality": result.players.modality, "score": result.scores}
        )
    elif isinstance(result, GameValues):
        labels = [f"{i} {label}" for i, label in enumerate(result.players.labels)]
        found = pd.DataFrame(result.coalitions, columns=labels).assign(value=result.values)
    else:
        found = pd.DataFrame({"fraction": result.fractions, "value": result.curve})
        if isinstance(result, CurveScore):
            found = found.assign(insertion=result.insertion, deletion=result.deletion)
    found.attrs = {name: value for name, value in _taken_apart(result)[0].items() if name != "players"}
    return found


Fields: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, NDArray[Any]]


def _of_score(found: Score) -> tuple[Fields, Arrays]:
    metric = {**vars(found.metric), "range": list(found.metric.range)}
    made = next(known for known in type(found).__mro__ if known in _SCORES)  # of a plug-in's own kind: what it extends
    fields: Fields = {"class": made.__name__, "metric": metric}
    arrays: Arrays = {}
    for name, value in ((f.name, getattr(found, f.name)) for f in dataclasses.fields(made) if f.name != "metric"):
        if isinstance(value, np.ndarray | float):
            arrays[name] = np.asarray(value)
        else:
            fields[name] = dataclasses.asdict(value) if isinstance(value, InteractionSign) else value
    return fields, arrays


def _to_score(fields: Fields, arrays: Arrays) -> Score:
    made = {known.__name__: known for known in _SCORES}[fields.pop("class")]
    metric = MetricSpec(**{**fields["metric"], "range": tuple(fields["metric"]["range"])})
    numbers = {name: float(value) if value.ndim == 0 else value for name, value in arrays.items()}
    if sign := fields.get("interaction"):
        fields = {**fields, "interaction": InteractionSign(sign["total"], tuple(sign["inside"]))}
    return made(**{**fields, **numbers, "metric": metric})


_SCORES: tuple[type[Score], ...] = (Score, CurveScore, SynergyScore, GainScore, RecoveredScore)


_ATTRIBUTION = (
    "players", "explainer", "target", "n_evaluations", "n_gradients", "seconds", "convergence_delta", "details",
)  # fmt: skip
_KINDS: dict[str, tuple[type, tuple[str, ...], tuple[str, ...]]] = {
    "interaction attribution": (InteractionAttribution, _ATTRIBUTION, ("scores", "pairs")),
    "attribution": (Attribution, _ATTRIBUTION, ("scores",)),
    "game values": (GameValues, ("players", "target"), ("coalitions", "values")),
    "score": (Score, (), ()),
}
"""Name of a kind -> its class, its fields and its arrays; a score knows them itself."""


def _kind_of(result: Result) -> str:
    """The name of a result's kind.

    Raises:
        TypeError: It is no result.
    """
    kind = next((name for name, (made, _, _) in _KINDS.items() if isinstance(result, made)), None)
    if kind is None:
        raise TypeError(f"expected an Attribution, GameValues or Score, got {type(result).__name__}")
    return kind


def _taken_apart(result: Result) -> tuple[Fields, Arrays]:
    if isinstance(result, Score):
        return _of_score(result)
    _, names, arrays = _KINDS[_kind_of(result)]
    fields = {name: getattr(result, name) for name in names}
    fields["players"] = {"labels": list(result.players.labels), "modality": list(result.players.modality)}
    return fields, {name: getattr(result, name) for name in arrays}


def _put_together(kind: str, fields: Fields, arrays: Arrays) -> Any:
    made, _, array_names = _KINDS[kind]
    if made is Score:
        return _to_score(fields, arrays)
    players = Players(tuple(fields["players"]["labels"]), tuple(fields["players"]["modality"]))
    return made(**{**fields, "players": players}, **{name: arrays[name] for name in array_names})


def _plain(value: object) -> object:
    """A NumPy number or array as JSON has it; anything else that JSON does not know is refused."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise ResultFileError(
        f"a result file cannot hold {value!r}, a {type(value).__name__}: write numbers, texts and lists of these into "
        "`details`, for example str(...) of it"
    )


def _as_json(array: NDArray[Any]) -> dict[str, Any]:
    """An array as JSON; numbers that JSON does not have as words."""
    flat = [x if not isinstance(x, float) or np.isfinite(x) else repr(x) for x in array.ravel().tolist()]
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": flat}


def _from_json(stored: Mapping[str, Any]) -> NDArray[Any]:
    return np.array(stored["data"]).astype(stored["dtype"]).reshape(stored["shape"])


def _write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Replace a file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            fill(file)
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _checked(given: Path | str) -> Path:
    """The path of a result.

    Raises:
        ResultFileError: It is none, or ends otherwise.
    """
    try:
        path = as_path("the path of a result", given)
    except ValueError as error:
        raise ResultFileError(str(error)) from None
    if path.suffix not in (".npz", ".json"):
        raise ResultFileError(f"{str(path)!r}: expected a name that ends in .npz or .json")
    return path
