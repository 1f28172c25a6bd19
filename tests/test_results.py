"""Results come back as they were, to the last bit, or are refused with what to do."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import toolkit
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import all_coalitions
from toolkit.results import ResultFileError
from toolkit.synergy import METRICS, evaluate_all
from toolkit.synergy.score import Score

PLAYERS = toolkit.Players.make(("row 1, column 1", "r\u00e9d"), ("\u732b", '"?"'))
GAME = SumOfUnanimityGames(PLAYERS, {(0,): 0.1, (1, 2): 1 / 3, (0, 1, 2, 3): -0.7})
ATTRIBUTION = toolkit.Attribution(
    np.array([0.1, 1 / 3, -1e-300, 5e-324]), PLAYERS, "mine", "yes", n_evaluations=5, n_gradients=2, seconds=0.25,
    details={"steps": 8, "note": "a\u00df", "curve": [0.1, 0.2]},
)  # fmt: skip
UNSCORED = dataclasses.replace(
    toolkit.synergistic_faithfulness(GAME, ATTRIBUTION), value=math.nan, reason="there is nothing to measure"
)
RESULTS = {
    "attribution": ATTRIBUTION,
    "values": toolkit.GameValues.of(GAME, all_coalitions(4)),
    "score": toolkit.synergistic_faithfulness(GAME, ATTRIBUTION, 4),
    "unscored": UNSCORED,
}


def same(a: object, b: object) -> bool:
    """Equal field by field, arrays to the last bit and of the same type."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("ending", ["npz", "json"])
@pytest.mark.parametrize("name", RESULTS)
def test_what_is_saved_comes_back(tmp_path: Path, name: str, ending: str) -> None:
    path = toolkit.save(RESULTS[name], tmp_path / f"found.{ending}")
    assert same(toolkit.load(path), RESULTS[name])
    toolkit.save(RESULTS["attribution"], path)  # what stood there is replaced
    assert same(toolkit.load(path), ATTRIBUTION)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_score_of_every_metric_travels(tmp_path: Path) -> None:
    (scores,) = evaluate_all(GAME, [ATTRIBUTION], 4, metrics=list(METRICS))
    for name, score in scores.items():
        path = toolkit.save(score, tmp_path / f"{name}.json")
        assert same(toolkit.load(path), score), name
        assert len(toolkit.to_frame(score)) == len(score.curve), name


@given(scores=arrays(np.float64, 4, elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_comes_back_from_json(tmp_path_factory: pytest.TempPathFactory, scores: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("numbers") / "a.json"
    found = toolkit.load(toolkit.save(dataclasses.replace(ATTRIBUTION, scores=scores), path)).scores
    assert found.tobytes() == scores.tobytes()


def test_values_of_a_game_are_a_game(tmp_path: Path) -> None:
    kept = toolkit.load(toolkit.save(toolkit.GameValues.of(GAME, all_coalitions(4)), tmp_path / "v.npz"))
    assert toolkit.total_interaction(kept) == toolkit.total_interaction(GAME)
    few = toolkit.GameValues.of(GAME, all_coalitions(4)[:3])
    with pytest.raises(ValueError, match="13 of 16 coalitions are not among the 3 that were kept"):
        few(all_coalitions(4))
    with pytest.raises(ValueError, match="3 coalitions have values of shape"):
        toolkit.GameValues(PLAYERS, all_coalitions(4)[:3], np.zeros(2))


def test_tables_have_a_row_per_player_coalition_and_point() -> None:
    table = toolkit.to_frame(ATTRIBUTION)
    assert list(table.columns) == ["player", "modality", "score"]
    assert table["modality"].tolist() == ["image", "image", "text", "text"]
    assert (table.attrs["explainer"], table.attrs["target"]) == ("mine", "yes")
    values = toolkit.to_frame(RESULTS["values"])
    assert values.shape == (16, 5)
    np.testing.assert_array_equal(values["value"], GAME(all_coalitions(4)))
    score = toolkit.to_frame(RESULTS["score"])
    assert {"fraction", "value"} <= set(score.columns)
    assert len(score) == len(RESULTS["score"].curve)  # type: ignore[union-attr]


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_another_schema_is_refused_with_the_version_that_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr("toolkit.results.SCHEMA", 99)
    path = toolkit.save(ATTRIBUTION, tmp_path / f"a.{ending}")
    monkeypatch.undo()
    with pytest.raises(ResultFileError, match=rf"schema 99, this toolkit reads 1: .*{toolkit.__version__}.*anew"):
        toolkit.load(path)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toolkit.save(ATTRIBUTION, tmp_path / "a.npz")

    def full(*args: object, **arrays: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="the disk is full"):
        toolkit.save(UNSCORED, path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    assert same(toolkit.load(path), ATTRIBUTION)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    whole = toolkit.save(ATTRIBUTION, tmp_path / "whole.json")
    cut = json.loads(whole.read_text())
    cut["arrays"]["scores"]["data"].pop()
    files = {
        "text.json": b"{", "list.json": b"[]", "other.json": b'{"a": 1}', "zip.npz": b"PK", "empty.npz": b"",
        "cut.json": json.dumps(cut).encode(),
        "kind.json": json.dumps({**json.loads(whole.read_text()), "kind": "pickle"}).encode(),
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ResultFileError, match=r"damaged|not a result"):
            toolkit.load(tmp_path / name)
    np.savez(tmp_path / "foreign.npz", a=np.zeros(2))
    with pytest.raises(ResultFileError, match="not a result"):
        toolkit.load(tmp_path / "foreign.npz")
    np.savez(tmp_path / "objects.npz", header=np.array([{}], dtype=object))
    with pytest.raises(ResultFileError, match="damaged"):
        toolkit.load(tmp_path / "objects.npz")
    with pytest.raises(FileNotFoundError):
        toolkit.load(tmp_path / "gone.npz")
    with pytest.raises(ResultFileError, match=r"ends in .npz or .json"):
        toolkit.save(ATTRIBUTION, tmp_path / "a.pkl")
    with pytest.raises(TypeError, match="got dict"):
        toolkit.save({}, tmp_path / "a.npz")  # type: ignore[arg-type]
    assert isinstance(UNSCORED, Score)


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_numbers_of_numpy_travel_as_numbers_and_what_is_none_is_refused_with_the_cure(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"found.{ending}"
    details = {"share": np.float32(0.1), "steps": np.int64(8), "curve": np.array([0.1, 0.2]), "exact": np.bool_(True)}
    toolkit.save(dataclasses.replace(ATTRIBUTION, details=details), path)  # type: ignore[arg-type]
    assert toolkit.load(path).details == {"share": float(np.float32(0.1)), "steps": 8, "curve": [0.1, 0.2], "exact": 1}
    for value in (Path("map.png"), 1j, {1}):
        with pytest.raises(ResultFileError, match=rf"cannot hold .*, a {type(value).__name__}: write numbers.*str"):
            toolkit.save(dataclasses.replace(ATTRIBUTION, details={"a": value}), path)  # type: ignore[dict-item]
    assert toolkit.load(path).details["steps"] == 8  # what stood there is whole


def test_results_are_equal_by_their_content(tmp_path: Path) -> None:
    for name, result in RESULTS.items():
        assert toolkit.load(toolkit.save(result, tmp_path / "a.json")) == result, name
        assert [result] != [dataclasses.replace(result, **{"values": -result.values} if name == "values" else
                                                {"scores": -result.scores} if name == "attribution" else
                                                {"curve": -result.curve})]  # fmt: skip
    assert dataclasses.replace(ATTRIBUTION, target="no") != ATTRIBUTION
    assert ATTRIBUTION.scores.tolist() != ATTRIBUTION
    with pytest.raises(TypeError, match="unhashable"):
        hash(ATTRIBUTION)
