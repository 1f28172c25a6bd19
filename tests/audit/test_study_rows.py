"""Rows that are kept: a stopped study goes on, another one is refused, means have their intervals."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from toolkit.audit.study_rows import mean_table, side, study_rows


def test_a_stopped_study_measures_only_what_is_missing(tmp_path: Path) -> None:
    measured: list[str] = []

    def unit(name: str, n: int):
        return lambda: measured.append(name) or [{"name": name, "x": i} for i in range(n)]

    units = {"a": unit("a", 2), "none": unit("none", 0), "b": unit("b", 1)}
    path, seen = tmp_path / "new" / "rows.jsonl", []
    study_rows(path, {"study": 1}, dict(list(units.items())[:2]))
    path.write_text(path.read_text() + '{"unit": "b", "rows": [{"na')  # killed while writing
    found = study_rows(path, {"study": 1}, units, lambda *at: seen.append(at))
    assert measured == ["a", "none", "b"]
    assert found.to_dict("list") == {"name": ["a", "a", "b"], "x": [0, 1, 0]}
    assert seen == [(1, 3), (2, 3), (3, 3)]
    pd.testing.assert_frame_equal(study_rows(path, {"study": 1}, {}.fromkeys(units)), found)
    with pytest.raises(ValueError, match=r'holds another study: {"study": 1}, not {"study": 2}; give another folder'):
        study_rows(path, {"study": 2}, units)


def test_means_leave_out_what_is_not_known_and_resample_images() -> None:
    rows = pd.DataFrame({"k": "a", "image_id": [0, 0, 1, 1, 2], "x": [0.0, 0.0, 1.0, 1.0, float("nan")]})
    [row] = mean_table(rows, ["k"], ["x"]).to_dict("records")
    assert (row["x"], row["n_samples"]) == (0.5, 4)
    assert (row["x low"], row["x high"]) == (0.0, 1.0)  # two images, not four samples


def test_an_interval_decides_where_it_leaves_a_bound_out_and_samples_are_enough() -> None:
    rows = [{"x low": low, "x high": low + 1, "n_samples": n} for n in (6, 5) for low in (-2, -0.5, 0.5)]
    assert [side(row, "x", 0.0) for row in rows] == [-1, 0, 1, 0, 0, 0]
