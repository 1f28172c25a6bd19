"""The authors' loop written a second time, step by step on the processed tensors, gives our numbers."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import ImageFilter

import toolkit
from toolkit.audit.paper.authors_convention import (
    EXPLAINERS,
    OURS,
    PAGE,
    THEIRS,
    Convention,
    _nested,
    authors_scores,
    differences,
    page_samples,
)

STEPS = 4


@pytest.fixture(scope="module", params=["llava", "internvl", "qwen2.5-vl"])
def vlm(request):
    return toolkit.load_vlm(f"tiny-{request.param}-grounded", device="cpu", store=None)


@pytest.fixture(scope="module")
def sample():
    return toolkit.load_samples("scenes-existence", n=3)[1]


@pytest.fixture(scope="module")
def attribution(vlm, sample):
    return toolkit.explain("grad-cam", vlm, sample)


def loop(vlm, sample, attribution):
    """Pixels of a tensor (features, units) gathered and put back, one ordinary pass per value, no positions given."""
    view, target = vlm.view(sample), vlm.game(sample, target=attribution.target).token_ids
    settings = {**vlm.adapter.image_settings(), "return_tensors": "pt"}
    images = (sample.image, sample.image.filter(ImageFilter.GaussianBlur(radius=30)))
    inputs = [vlm.adapter.processor.image_processor(image, **settings) for image in images]
    pixels, blurred = (x["pixel_values"] for x in inputs)
    extra = {"image_grid_thw": inputs[0]["image_grid_thw"]} if "image_grid_thw" in inputs[0] else {}
    n_units = pixels.shape[0] if pixels.ndim == 2 else pixels.shape[-1] * pixels.shape[-2]
    feat, feat_blurred = pixels.reshape(-1, n_units), blurred.reshape(-1, n_units)
    if pixels.ndim == 2:  # four patches, one after the other, make a cell
        saliency = np.repeat(attribution.scores[:36], 4)
    else:
        saliency = np.kron(attribution.scores[:36].reshape(6, 6), np.ones((16, 16))).ravel()
    order = np.argsort(-saliency, kind="stable")
    places = list(view.prompt.text_positions)
    words = np.argsort(-attribution.scores[36:], kind="stable")

    def probability(shown, kept):
        mask = torch.ones(1, len(view.prompt.ids), dtype=torch.long)
        mask[0, [p for i, p in enumerate(places) if i not in kept]] = 0
        ids = torch.tensor([view.prompt.ids])
        if extra:
            extra["mm_token_type_ids"] = (ids == vlm.model.config.image_token_id).int()
        with torch.no_grad():
            output = vlm.model(
                input_ids=ids, attention_mask=mask, pixel_values=shown.reshape(pixels.shape), use_cache=False, **extra
            )
        return output.logits[0, -1].float().log_softmax(-1)[target[0]].exp().item()

    everything = set(range(len(places)))
    full, none = probability(feat, everything), probability(feat_blurred, set())
    no_image, no_text = probability(feat_blurred, everything), probability(feat, set())
    curves = {name: [] for name in ("ins", "del", "image ins", "image del", "text ins", "text del")}
    for step in range(STEPS + 1):
        k, n = round(step / STEPS * n_units), round(step / STEPS * len(places))
        top, said = order[:k], set(words[:n].tolist())
        put, cut = feat_blurred.clone(), feat.clone()
        put[:, top], cut[:, top] = feat[:, top], feat_blurred[:, top]
        one, two = probability(put, set()), probability(feat_blurred, said)
        curves["ins"].append(probability(put, said) - (one + two - none))
        one, two = probability(cut, everything), probability(feat, everything - said)
        curves["del"].append(probability(cut, everything - said) - (one + two - full))
        for name, found, low in (
            ("image ins", probability(put, everything), no_image), ("image del", one, no_image),
            ("text ins", probability(feat, said), no_text), ("text del", two, no_text),
        ):  # fmt: skip
            share = (found - low) / max(abs(full - low), 0.05)
            curves[name].append(share if step == 0 else min(max(share, 0), 1))
    x = np.arange(STEPS + 1) / STEPS
    areas = {name: np.trapezoid(curve, x) for name, curve in curves.items()}
    scale = max(abs(full - none), 0.05)
    clipped = [np.trapezoid(np.clip(np.array(curves[name]) / scale, 0, 1), x) for name in ("ins", "del")]
    return [np.mean(clipped), (areas["ins"] + areas["del"]) / 2, *list(areas.values())[2:]]


def test_our_numbers_are_those_of_the_loop(vlm, sample, attribution):
    found = authors_scores(vlm, sample, attribution, steps=STEPS)
    expected = loop(vlm, sample, attribution)
    ours = [
        found.f_syn, found.f_syn_signed, found.image_insertion, found.image_deletion, found.text_insertion,
        found.text_deletion,
    ]  # fmt: skip
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_without_any_difference_the_numbers_are_our_own(vlm, sample, attribution):
    found = authors_scores(vlm, sample, attribution, steps=STEPS, convention=OURS)
    score = toolkit.synergistic_faithfulness(vlm.game(sample), attribution, STEPS)
    assert found.f_syn == pytest.approx(score.paper.value, abs=1e-5)
    assert found.f_syn_signed == pytest.approx(score.value, abs=1e-5)


def test_half_a_unit_is_rounded_to_the_even_number():
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    fractions = np.array([0.1, 0.3, 0.5, 0.9])  # of 0.5, 1.5, 2.5 and 4.5 units
    assert _nested(scores, fractions, half_to_even=True).sum(axis=1).tolist() == [0, 2, 2, 4]
    assert _nested(scores, fractions, half_to_even=False).sum(axis=1).tolist() == [1, 2, 3, 5]


def test_the_table_says_what_each_difference_does(sample):
    vlm = toolkit.load_vlm("tiny-qwen2.5-vl-grounded", device="cpu", store=None)
    table = differences([vlm], [sample], ["grad-cam"], steps=2)
    assert table.index[0] == "ours"
    assert table.loc["ours", "tiny-qwen2.5-vl-grounded, largest change"] == 0
    assert table.loc["all", "tiny-qwen2.5-vl-grounded"] == pytest.approx(
        authors_scores(vlm, sample, toolkit.explain("grad-cam", vlm, sample), steps=2, convention=THEIRS).f_syn
    )
    assert table.loc["pixels, reshape", "tiny-qwen2.5-vl-grounded, largest change"] > 1e-4


@pytest.mark.slow
def test_the_page_names_every_difference_and_its_numbers_come_back():
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{field.name}` |" in page for field in fields(Convention))
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    sample = page_samples()
    found = [authors_scores(vlm, s, toolkit.explain(e, vlm, s)).f_syn for s in sample for e in EXPLAINERS]
    row = next(line for line in page.splitlines() if line.startswith("| all |"))
    assert row.split("|")[2].split()[0] == f"{np.mean(found):.3f}"
