"""Example maps: on which samples the explainers did best and worst, drawn."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image

from toolkit.benchmark.report import run_tables as tables
from toolkit.benchmark.report.run_tables import FinishedRun
from toolkit.benchmark.run.records import Line
from toolkit.reporting.page import Section, number, paragraph, table, text
from toolkit.reporting.plots.drawing import image_html
from toolkit.reporting.plots.maps import overlay, ranked_players, tokens_html


def choose(run: FinishedRun, model: str) -> list[tuple[str, Line]]:
    """Best and worst sample of a model by the headline metric, mean over the explainers that compete.

    Only samples whose picture was kept are candidates.
    """
    drawn = {(s["dataset"], s["sample"]): s for s in run.samples if s["model"] == model and s.get("drawing")}
    frame = run.frame[(run.frame["model"] == model) & run.frame["explainer"].isin(tables.competitors(run))]
    means = frame.groupby(["dataset", "sample"])[run.spec.headline].mean().dropna()
    means = means[[key in drawn for key in means.index]].sort_values(kind="stable")
    if means.empty:
        return []
    found = [("lowest", drawn[means.index[0]])]
    return [("highest", drawn[means.index[-1]]), *found] if len(means) > 1 else found


def examples(run: FinishedRun) -> Section:
    """Maps of all explainers on the best and the worst sample of every model."""
    chosen = [(model, *one) for model in run.spec.models for one in choose(run, model)]
    body = paragraph(
        f"For each model the samples with the highest and the lowest mean <code>{text(run.spec.headline)}</code> over "
        "explainers, among those whose picture was kept. Orange speaks for the answer, purple against it; a word's "
        "underline says the same (solid for, dotted against). Every map is scaled to its own largest score; the "
        "numbers stand under it."
    )
    return Section(
        "examples", "Best and worst samples", body + "".join(_example(run, *one) for one in chosen), folded=True
    )


def _example(run: FinishedRun, model: str, kind: str, sample: Line) -> str:
    drawing = sample["drawing"]
    image = Image.open(io.BytesIO(base64.b64decode(drawing["png"])))
    records = [
        r for r in run.records
        if r["model"] == model and r["dataset"] == sample["dataset"] and r["sample"] == sample["sample"]
        and r["status"] == "ok" and r["seed"] == run.spec.seeds[0]
    ]  # fmt: skip
    corners = sample["corners"]
    right = {True: "right", False: "wrong", None: "not graded"}[sample["correct"]]
    answer = (
        f"The model says <b>{text(sample['target'])}</b> ({number(sample['probability'], 2)}, {right}). "
        f"Corners: both {number(corners['both'], 2)}, image only {number(corners['image'], 2)}, text only "
        f"{number(corners['text'], 2)}, neither {number(corners['empty'], 2)}."
    )
    first = image_html(_webp(image), "image/webp", f"Picture of sample {sample['sample']}")
    maps = [f'<div class="map">{first}<div class="faint">the picture</div></div>']
    maps += [_map(run, record, sample, image) for record in records]
    told = f"<p>Told: “{text(sample['instruction'])}”</p>" if sample.get("instruction") else ""
    title = f"{text(model)} · {text(sample['dataset'])} · {kind} score, sample <code>{text(sample['sample'])}</code>"
    return (
        f'<div class="card"><h3>{title}</h3><p class="question">“{text(sample["question"])}”</p>'
        f'{told}<p>{answer}</p><div class="maps">{"".join(maps)}</div></div>'
    )


def _webp(image: Image.Image) -> bytes:
    """A small picture for a page that holds many."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="WEBP", quality=80)
    return buffer.getvalue()


def _map(run: FinishedRun, record: Line, sample: Line, image: Image.Image) -> str:
    scores = np.asarray(record["scores"], dtype=np.float64)
    n_image = int(record["n_image"])
    drawing = sample["drawing"]
    labels = list(sample["labels"])
    top = ranked_players(labels, scores, n=3)
    said = f"Map of {record['explainer']}: largest scores " + ", ".join(f"{name} {value:+.3g}" for name, value in top)
    painted = overlay(image, scores[:n_image], np.asarray(drawing["regions"], dtype=np.float64), side=164)
    drawn = image_html(_webp(painted), "image/webp", said)
    words = tokens_html(sample["question"], [(a, b) for a, b in drawing["spans"]], scores[n_image:])
    rows = [[text(name), f"{value:+.2g}".replace("-", "−")] for name, value in top]
    score = (record.get("metrics") or {}).get(run.spec.headline)
    name = html.escape(record["explainer"])
    return (
        f'<div class="map">{drawn}<div><b>{name}</b> {number(score, 3, sign=True)}</div>'
        f'<div class="words">{words}</div>'
        f"{table(['player', 'score'], rows, numeric=(1,))}</div>"
    )
