"""The shipped validity panel: what the corrected score passes and fails on the embedded models.

``data/validity`` holds the entries of one full run of ``python -m toolkit validate`` and what it measured: the weights'
checksums when the run began, so that a retrained model makes the page out of date and a test says so.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.audit.metrics.validity_panel import TOO_FEW, share
from toolkit.benchmark.run.run_environment import toolkit_version
from toolkit.paths import data_dir, models_dir
from toolkit.vlm.loading.integrity import SEAL, WEIGHTS

START, END = "<!-- measured by python -m toolkit validate -->", "<!-- end of measured numbers -->"
METRICS = ("f-syn-paper", "f-syn", "f-syn-recovered", "synergy-surface-recovered")
_PANEL, _MEASURED, _FIRST = "panel.csv", "measured.json", "first_version.csv"
_ENTRY = ("check", "subject")
PAGE = Path(__file__).with_name("CORRECTED_SCORE.md")


def weights() -> dict[str, str]:
    """SHA-256 of the weights of every embedded model, from its seal."""
    found = {}
    for seal in sorted(models_dir().glob(f"*/{SEAL}")):
        lines = [line.partition("  ") for line in seal.read_text(encoding="utf-8").splitlines()]
        found[seal.parent.name] = next(digest for digest, _, name in lines if name == WEIGHTS)
    return found


def measured(models: Sequence[str]) -> dict[str, Any]:
    """What a run that begins now measures: the toolkit's version and the checksums of these models' weights."""
    return {"toolkit": toolkit_version(), "weights": {k: v for k, v in weights().items() if k in models}}


def write_measured(folder: Path, what: Mapping[str, Any]) -> None:
    """Write ``measured.json`` beside a panel."""
    (folder / _MEASURED).write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")


def adopt(folder: Path, into: Path | None = None) -> Path:
    """Keep the panel of a run of ``validate`` as the one that travels with the toolkit.

    Args:
        folder: What ``python -m toolkit validate --out FOLDER`` wrote; it must have judged every embedded model.
        into: Where to; None is ``data/validity``.

    Raises:
        FileNotFoundError: There is no panel in the folder, or nothing says which weights it is about.
        ValueError: It lacks a grounded model, has entries with too few samples for every metric, or is about other
            weights than those that are installed.
    """
    for name in (_PANEL, _MEASURED):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder} has no {name}; give a folder that validate wrote, or run it again")
    panel, what = load(folder)
    known = weights()
    changed = [name for name, digest in what["weights"].items() if known.get(name) != digest]
    if changed:
        raise ValueError(f"since the panel in {folder} was measured, {', '.join(changed)} changed; run validate again")
    subjects = " ".join(map(str, panel["subject"]))
    missing = [n for n in known if n.endswith("-grounded") and (n not in subjects or n not in what["weights"])]
    if missing:
        raise ValueError(f"the panel in {folder} does not judge {', '.join(missing)}; run validate without --models")
    few = panel[panel["reason"].astype(str).str.startswith(TOO_FEW) & panel["metric"].isin(METRICS)]
    enough = set(zip(*(panel.loc[panel["verdict"].notna(), key] for key in _ENTRY), strict=True))
    few = few[[entry not in enough for entry in zip(*(few[key] for key in _ENTRY), strict=True)]]
    if len(few):
        checks = ", ".join(dict.fromkeys(few["check"]))
        raise ValueError(f"the panel in {folder} has entries with too few samples ({checks}); run validate in full")
    into = data_dir() / "validity" if into is None else into
    into.mkdir(parents=True, exist_ok=True)
    for name in (_PANEL, _MEASURED):
        shutil.copyfile(folder / name, into / name)
    return into


def load(folder: Path | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A panel and what was measured; without a folder, those that travel with the toolkit."""
    folder = data_dir() / "validity" if folder is None else folder
    panel, what = pd.read_csv(folder / _PANEL), json.loads((folder / _MEASURED).read_text(encoding="utf-8"))
    if "verdict" not in panel:  # by the rules of the first version, which knew two verdicts
        panel["verdict"] = panel["passed"].map({True: "pass", False: "fail"})
    return panel, what


def load_first() -> pd.DataFrame:
    """The panel that the first version of the rules judged, as it travelled: metric, check, subject, verdict."""
    return pd.read_csv(data_dir() / "validity" / _FIRST)


def changes(first: pd.DataFrame, panel: pd.DataFrame) -> str:
    """Old and new verdicts of every metric, ``old -> new`` of each check; a dash where a version did not judge."""
    metrics = list(dict.fromkeys(panel["metric"]))
    checks = list(dict.fromkeys([*panel["check"], *first["check"]]))
    lines = [f"| old → new | {' | '.join(metrics)} |", f"|---|{'---|' * len(metrics)}"]
    for check in checks:
        told = []
        for metric in metrics:
            both = (t[(t["check"] == check) & (t["metric"] == metric)]["verdict"].dropna() for t in (first, panel))
            told.append(" → ".join(share(verdicts.tolist()) or "–" for verdicts in both))
        lines.append(f"| {check} | {' | '.join(told)} |")
    return "\n".join(lines)


def _verdict(entries: Sequence[Mapping[Hashable, Any]]) -> str:
    """``2/4 1? (not llava)``: passed of judged, how many are undecided, and the subjects that fail."""
    judged = [entry for entry in entries if isinstance(entry["verdict"], str)]
    failed = [_model(entry["subject"]) for entry in judged if entry["verdict"] == "fail"]
    told = share([entry["verdict"] for entry in judged]) or "–"
    return f"{told} (not {', '.join(failed)})" if failed and len(judged) > 1 else told


def _model(subject: object) -> str:
    """``qwen2.5-vl`` of ``tiny-qwen2.5-vl-grounded``, and of a pair of twins."""
    return str(subject).partition(" / ")[0].removeprefix("tiny-").replace("-grounded", "")


def _number(value: float) -> str:
    if 0 < value < 5e-4:
        return f"{value:.0e}"
    return "–" if math.isnan(value) else f"{value + 0.0:.3f}".replace("-0.000", "0.000")


def markdown(panel: pd.DataFrame, metrics: Sequence[str]) -> str:
    """The block of the page between its marks: passed of judged per check, then the numbers on models.

    Args:
        panel: As ``validate`` writes it: metric, check, subject, value, low, high, n, passed, ...
        metrics: Which to show, in this order.
    """
    checks = list(dict.fromkeys(panel["check"]))
    entries = {
        (metric, check): rows.to_dict("records")
        for (metric, check), rows in panel[panel["metric"].isin(metrics)].groupby(["metric", "check"], sort=False)
    }
    guards = set(panel.loc[panel["guard"], "check"]) if "guard" in panel else set()
    first = ["", "Measured by the first version of the rules: two verdicts, no correction, no guards."]
    lines = [
        START,
        *(first if "guard" not in panel else []),
        "",
        f"| passed of judged | {' | '.join(metrics)} |",
        f"|---|{'---|' * len(metrics)}",
    ]
    for check in checks:
        verdicts = [_verdict(entries.get((metric, check), [])) for metric in metrics]
        lines.append(f"| {check}{' (guard)' * (check in guards)} | {' | '.join(verdicts)} |")
    unjudged = panel[panel["metric"].isin(metrics) & panel["reason"].astype(str).str.startswith(TOO_FEW)]
    if len(unjudged):
        where = ", ".join(dict.fromkeys(unjudged["check"]))
        told = "are not judged: the metric left samples unscored, and fewer remained than the rule needs."
        lines += ["", f"{len(unjudged)} entries ({where}) {told}"]
    shown = [check for check in ("controls", "half right, models", "twins", "random weights") if check in checks]
    lines += ["", f"| statistic | model | {' | '.join(metrics)} |", f"|---|---|{'---|' * len(metrics)}"]
    for check in shown:
        rows = panel[panel["check"] == check]
        told = f"{check}: {rows['statistic'].iloc[0]}"
        for subject in dict.fromkeys(rows["subject"]):
            values = rows[rows["subject"] == subject].set_index("metric")["value"]
            numbers = [_number(float(values.get(metric, math.nan))) for metric in metrics]
            lines.append(f"| {told} | {_model(subject)} | {' | '.join(numbers)} |")
    if "guard" in panel:
        told = (
            "Passed of judged by the first version of the rules and by this one, every metric; `1?` is one undecided:"
        )
        lines += ["", told, "", changes(load_first(), panel)]
    return "\n".join([*lines, "", END])


def main(folder: str) -> None:
    """Adopt a run's panel and put its tables into the page."""
    panel, _ = load(adopt(Path(folder)))
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[: page.index(START)], page[page.index(END) + len(END) :]
    PAGE.write_text(before + markdown(panel, METRICS) + after, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(
            "usage: python -m toolkit.audit.metrics.shipped_panel FOLDER, what validate wrote, for example "
            "results/validity"
        )
    try:
        main(sys.argv[1])
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
