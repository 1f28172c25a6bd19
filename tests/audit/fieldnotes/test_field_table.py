"""The field notes: every shipped note is what the installed transformers does, and no failure stops the table."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import transformers
from PIL import Image
from typer.testing import CliRunner

import toolkit
from toolkit.audit.fieldnotes import measured_notes, other_version, probes, tiny_families
from toolkit.audit.fieldnotes.field_table import changes, read_fieldnotes, shipped_fieldnotes, write_fieldnotes
from toolkit.audit.fieldnotes.notes_page import consequences, notes_page
from toolkit.audit.fieldnotes.other_version import VersionUnavailableError, notes_of_version
from toolkit.cli import app
from toolkit.datasets.baselines import BASELINES
from toolkit.registry import UnknownNameError

ROOT = Path(__file__).parents[3]
PINNED = "5.23.0"
SHIPPED = shipped_fieldnotes()
OWN = SHIPPED[SHIPPED.transformers == PINNED]
is_pinned = pytest.mark.skipif(
    importlib.metadata.version("transformers") != PINNED, reason=f"the notes are statements about {PINNED}"
)


def assert_as_shipped(family: str) -> None:
    found = toolkit.fieldnotes([family]).set_index("behaviour")
    shipped = OWN[OWN.family == family].set_index("behaviour")
    assert dict(found["value"]) == dict(shipped["value"])
    large = shipped[shipped["value"] != "exact"]["size"].dropna()
    pd.testing.assert_series_equal(found["size"].astype(float)[large.index], large, rtol=0.02)


@is_pinned
def test_the_notes_on_qwen_hold() -> None:
    assert_as_shipped("Qwen2.5-VL")


@is_pinned
@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name in tiny_families.FAMILIES if name != "Qwen2.5-VL"])
def test_every_note_holds(family: str) -> None:
    assert_as_shipped(family)


def test_every_cell_is_a_documented_value_or_an_error() -> None:
    open_sets = {name: any(value.startswith("(") for value in b.values) for name, b in probes.BEHAVIOURS.items()}
    odd = [
        (note.family, note.behaviour, note.value)
        for note in SHIPPED.itertuples()
        if note.behaviour != "family"
        and not str(note.value).startswith("error: ")
        and note.value not in probes.BEHAVIOURS[note.behaviour].values
        and not open_sets[note.behaviour]
    ]
    assert odd == []
    assert set(OWN.family) == set(tiny_families.FAMILIES)
    assert len(OWN) == len(tiny_families.FAMILIES) * len(probes.BEHAVIOURS)


def test_every_behaviour_says_what_the_toolkit_does_and_where_that_is_tested() -> None:
    told = consequences()
    assert set(told) == set(probes.BEHAVIOURS)
    for row in told.values():
        file, name = row["test"].split("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_a_probe_that_raises_is_a_cell_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(family: tiny_families.Family) -> probes.Seen:
        raise ZeroDivisionError("no\n  such luck")

    monkeypatch.setitem(probes.BEHAVIOURS, "broken", probes.Behaviour("broken", "", {}, broken))
    rows = toolkit.fieldnotes(["LLaVA"], ["broken", "windows_by_default"])
    assert list(rows["value"]) == ["error: ZeroDivisionError: no such luck", "none"]


def test_a_family_that_is_absent_is_named_skipped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tiny_families.Family("not_there", {}, lambda seed, high: (0, {}))
    monkeypatch.setitem(tiny_families.FAMILIES, "Absent", absent)
    monkeypatch.setattr(probes, "BEHAVIOURS", {})
    monkeypatch.setattr(measured_notes, "BEHAVIOURS", {})
    rows = toolkit.fieldnotes(["Absent"])
    assert list(rows["value"]) == ["no such family"]
    said = CliRunner().invoke(app, ["fieldnotes", "--families", "Absent"]).stdout
    assert "0 notes of 0 families, 0 of them errors; not in this version (1): Absent" in said


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'Qwen2.5-VL'"):
        toolkit.fieldnotes(["Qwen25-VL"])
    with pytest.raises(UnknownNameError, match="unknown behaviour"):
        toolkit.fieldnotes(["LLaVA"], ["masked"])


def test_the_page_is_the_table() -> None:
    page = (ROOT / "notebooks" / "site" / "field_notes.md").read_text(encoding="utf-8")
    assert page == notes_page(SHIPPED, PINNED)
    assert "| one token | the last token alone | Gemma 4 |" in page


def test_versions_are_kept_side_by_side_and_differences_are_counted(tmp_path: Path) -> None:
    rows = OWN[OWN.family == "LLaVA"].head(3)
    other = rows.assign(transformers="5.24.0")
    other.loc[other.index[0], "value"] = "ignored"
    file = tmp_path / "notes.csv"
    write_fieldnotes(rows, file)
    both = write_fieldnotes(other, file)
    assert len(write_fieldnotes(other, file)) == len(both) == 6
    pd.testing.assert_frame_equal(read_fieldnotes(file), both, check_dtype=False)
    assert list(changes(both).itertuples(name=None)) == [(("LLaVA", "masked_word_in_forward"), "gap kept", "ignored")]


def test_no_level_of_an_image_becomes_zero() -> None:
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB").resize((64, 64), 0)
    try:
        prepare = transformers.Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 64})
    except ImportError:
        pytest.skip(f"transformers {transformers.__version__} asks for torchvision where PIL would do")
    pixels = prepare(levels, do_resize=False, do_image_splitting=False, return_tensors="np")["pixel_values"]
    assert len(np.unique(pixels)) == 256
    assert np.abs(pixels).min() > 1e-3
    assert {BASELINES[name](levels).mode for name in BASELINES} == {"RGB"}


def test_without_network_the_other_version_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        assert command[-1] == "transformers==5.24.0"
        return subprocess.CompletedProcess(command, 1, "", "trying\nERROR: No matching distribution found\n")

    monkeypatch.setattr(other_version.subprocess, "run", pip)
    with pytest.raises(VersionUnavailableError, match=r"^transformers 5.24.0 was not measured: .*No matching.*network"):
        notes_of_version("5.24.0", ["LLaVA"], lambda line: None)
    with pytest.raises(ValueError, match="'--upgrade' is no version; expected one such as"):
        notes_of_version("--upgrade", ["LLaVA"], lambda line: None)


def test_what_another_version_is_asked_with_needs_nothing_but_torch_and_transformers() -> None:
    code = (
        "import sys; from toolkit.audit.fieldnotes import measured_notes; "
        "print([name for name in ('pandas', 'captum', 'peft', 'datasets', 'toolkit.vlm') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
