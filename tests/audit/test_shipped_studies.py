"""The page of the studies says what the shipped rows say, on the weights that ship."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from toolkit.audit import shipped_studies as shipped
from toolkit.audit.metrics.shipped_panel import weights
from toolkit.paths import data_dir

FOLDER = data_dir() / "studies"
PAGE = Path(__file__).parents[2] / "notebooks" / "site" / "studies.md"
ASKED = json.loads((FOLDER / shipped.ASKED).read_text(encoding="utf-8"))


def test_the_page_says_what_the_rows_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert {name: shipped.section(name) in page for name in ASKED} == dict.fromkeys(ASKED, True)
    assert shipped.with_sections(page) == page


def test_the_rows_are_whole_and_of_the_weights_that_ship() -> None:
    sums = dict(line.split("  ")[::-1] for line in (FOLDER / shipped.SUMS).read_text(encoding="utf-8").splitlines())
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.csv")}
    assert files == sums
    assert set(files) == {f"{name}.csv" for name in ASKED}
    known = weights()
    changed = [(s, m) for s, what in ASKED.items() for m, digest in what["weights"].items() if known[m] != digest]
    assert changed == []


def test_a_run_that_is_kept_changes_the_page(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "orders"
    run.mkdir(parents=True)
    (run / "orders.jsonl").write_text('{"study": "orders", "models": ["tiny-llava-grounded"]}\n{}\n{}\n')
    rows = {"model": "m", "family": "f", "sample": [0, 1], "image_id": [0, 1], "beyond_pairs": [0.9, 0.8],
            "cancellation": [0.1, 0.2], "cpu_seconds": 60}  # fmt: skip
    pd.DataFrame(rows).to_csv(run / "orders.csv", index=False)
    kept = shipped.adopt(tmp_path / "runs", tmp_path / "kept")
    before = f"# Title\n\n{shipped.start('orders')}\nold\n{shipped.END}\n\nafter {shipped.END}\n"
    page = shipped.with_sections(before, kept)
    assert page.startswith("# Title")
    assert page.endswith(f"after {shipped.END}\n")
    assert "old" not in page
    assert "*Found* on 2 samples, 2 minutes of one core. m: undecided (85 %); undecided (15 %)." in page
    assert "| m | 0.85 [0.80, 0.90] | 0.15 [0.10, 0.20] | 2 |" in page
    with pytest.raises(FileNotFoundError, match="holds no study"):
        shipped.adopt(tmp_path, tmp_path / "kept")
