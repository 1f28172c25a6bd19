"""Small random models behind the released tokenizers, in the released layouts, on photographs of many shapes.

With ``RELEASED_TABLE=1`` the measured table is written into the page.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from support.layouts import LAYOUTS, layouts_of, write_checkpoint
from support.released_tokenizers import PACKAGES, PAPER, released_tokenizer
from support.subjects import released

import toolkit
from toolkit.datasets.sample import Sample
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.prompt import render
from toolkit.vlm.reference import plain_values

pytestmark = pytest.mark.slow

SHAPES = {
    "square": (384, 384),
    "landscape": (512, 340),
    "portrait": (300, 451),
    "panorama": (900, 120),
    "tiny": (40, 31),
}
QUESTIONS = (
    "Is there a cup in the image?",
    "这张图片里有一个杯子吗？",
    "هل يوجد كوب في الصورة؟",
    "What is it?\n(A) a cup of café\n(B) 12 cats",
)
PAGE = Path(__file__).parents[3] / "notebooks" / "site" / "released_models.md"
ROWS = [(family, layout) for family in PACKAGES for layout in layouts_of(family)[: None if family in PAPER else 1]]
START, END = "<!-- measured -->", "<!-- end of measured -->"
rows: dict[tuple[str, str], tuple[str, float, float]] = {}


def photographs() -> dict[str, Image.Image]:
    """Real photographs of every shape, and one that lies on its side and says so."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photographs")
    found = {
        shape: Image.fromarray(image()).convert("RGB").resize(size, Image.Resampling.BICUBIC)
        for (shape, size), image in zip(
            SHAPES.items(), (data.astronaut, data.coffee, data.chelsea, data.astronaut, data.coffee), strict=True
        )
    }
    turned = found["portrait"].rotate(90, expand=True)
    turned.getexif()[0x0112] = 6
    return found | {"turned": toolkit.datasets.open_image(turned)}


@pytest.mark.parametrize(("family", "layout"), ROWS)
def test_a_released_layout_answers_and_is_scored_as_itself(family: str, layout: str, tmp_path: Path) -> None:
    model, processor = released(family, tokenizer=released_tokenizer(family))
    folder = write_checkpoint(tmp_path / "folder", family, model, processor, **LAYOUTS[layout])
    vlm = load_vlm(folder, device="cpu")
    rng = np.random.default_rng(0)
    whole, engine, same = 0.0, 0.0, 0
    for n, (shape, image) in enumerate(photographs().items()):
        sample = Sample(
            shape, image, QUESTIONS[n % len(QUESTIONS)], instruction="Answer the question using a single word."
        )
        inputs = vlm.adapter.processor(text=[render(vlm.adapter, sample)[0]], images=[image], return_tensors="pt")
        with torch.inference_mode():
            said = vlm.model.generate(**inputs, max_new_tokens=4, do_sample=False, pad_token_id=vlm.pad_id)
            logs = vlm.model(**inputs).logits[0, -1].log_softmax(-1).double().numpy()
        first = said[0, inputs["input_ids"].shape[1] :].tolist()
        stops = {vlm.adapter.processor.tokenizer.eos_token_id}
        expected = first[: next((i for i, token in enumerate(first) if token in stops), len(first))]
        if vlm.adapter.processor.tokenizer.decode(expected, skip_special_tokens=True).strip():
            assert list(vlm.answer(sample).token_ids[: len(expected)]) == expected
            same += 1
        else:
            with pytest.raises(ValueError, match="without an answer"):
                vlm.answer(sample)
        spans = vlm.text_spans(sample)
        covered = {i for a, b in spans for i in range(a, b)}
        assert {i for i, c in enumerate(sample.question) if not c.isspace()} <= covered
        asked = Sample(shape, image, sample.question, choices=("yes", "no"))
        game = vlm.game(asked, target="yes")
        chosen = rng.random((3, game.players.n)) < 0.6
        chosen[0] = True
        plain = np.log(plain_values(game, chosen))
        engine = max(engine, float(np.abs(np.log(game(chosen)) - plain).max()))
        with torch.inference_mode():
            text = render(vlm.adapter, asked)[0]
            inputs = vlm.adapter.processor(text=[text], images=[image], return_tensors="pt")
            logs = vlm.model(**inputs).logits.log_softmax(-1)[0, -1].double().numpy()
        if len(game.token_ids) == 1:
            whole = max(whole, float(abs(logs[game.token_ids[0]] - plain[0])))
    assert whole <= 1e-4
    assert engine <= 1e-3
    assert same
    rows[family, layout] = (f"{same} of {n + 1} said something, all alike", whole, engine)


def test_the_page_has_a_row_for_every_layout_that_was_run() -> None:
    """Written by RELEASED_TABLE=1; afterwards held to name what is run here."""
    if os.environ.get("RELEASED_TABLE") == "1" and len(rows) == len(ROWS):
        write_table()
    text = PAGE.read_text(encoding="utf-8")
    for family, layout in ROWS:
        assert f"| {family} | {layout} |" in text


def write_table() -> None:
    lines = ["| family | layout | answer equals generate | v(all) against forward | engine against plain path |"]
    lines.append("|---|---|---|---|---|")
    lines += [f"| {f} | {layout} | {same} | {w:.1e} | {e:.1e} |" for (f, layout), (same, w, e) in rows.items()]
    lines.append("")
    lines.append(
        f"Differences of log-probabilities in float32; transformers {hf.__version__}, torch {torch.__version__}."
    )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{START}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
