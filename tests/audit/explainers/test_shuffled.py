"""Label randomisation: what is permuted, when it stops, and which maps notice."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from support.fakes import A, ToyVLM, toy_sample

from toolkit.audit.explainers import sanity_checks
from toolkit.audit.explainers.shuffled_labels import guess, permuted, share_right, shuffle_answers, shuffled_twin
from toolkit.scenes.training.text_packing import Batch
from toolkit.stats.rank_agreement import structural_similarity


def test_answers_are_permuted_within_their_kind_and_keep_their_frequencies() -> None:
    answers = np.arange(60) % 6
    kinds = answers // 2
    found = permuted(answers, kinds, np.random.default_rng(0))
    np.testing.assert_array_equal(found // 2, kinds)
    np.testing.assert_array_equal(np.bincount(found), np.bincount(answers))
    assert 0.3 < (found == answers).mean() < 0.7, "two answers of a kind: half stay by chance"


def test_only_the_answers_of_questions_are_permuted() -> None:
    rng = np.random.default_rng(1)
    targets = torch.from_numpy(rng.integers(0, 4, (5, 12)))
    is_answer = torch.from_numpy(rng.random((5, 12)) < 0.5)
    zeros = torch.zeros_like(targets)
    batch = Batch(np.zeros((5, 96, 96, 3), dtype=np.uint8), zeros, zeros, zeros, targets, is_answer, zeros)
    found = shuffle_answers(batch, {0: 0, 1: 0, 2: 1, 3: 1}, rng)
    assert torch.equal(found.targets[~is_answer], targets[~is_answer])
    assert not torch.equal(found.targets[is_answer], targets[is_answer])
    assert torch.equal(found.targets[is_answer] // 2, targets[is_answer] // 2)
    assert torch.equal(batch.targets, targets), "the batch itself is left alone"


def test_a_guess_by_hand() -> None:
    two = toy_sample("two")
    four = dataclasses.replace(two, id="four", choices=("a", "b", "c", "d"), answer="a")
    assert guess([two] * 4) == (0.5, 0.25)
    assert guess([two, four])[0] == pytest.approx(0.375)


def test_label_randomisation_sees_which_maps_follow_the_model() -> None:
    def edges(vlm, sample):
        return np.array([4.0, 3, 2, 1, 3, 2, 1])

    unlearnt = ToyVLM(a=[-x for x in A])
    table = sanity_checks.label_randomisation([edges, "occlusion"], ToyVLM(), unlearnt, [toy_sample()])
    image = table[table.modality == "image"].set_index("explainer")
    assert image.loc["edges", "rho"] == pytest.approx(1)
    assert image.loc["edges", "ssim"] == pytest.approx(1)
    assert image.loc["occlusion", "rho"] < 0.9
    assert image.loc["occlusion", "ssim"] < 0.9
    assert table[table.modality == "text"].ssim.isna().all()


def test_similarity_against_explicit_loops_and_by_its_properties() -> None:
    rng = np.random.default_rng(2)
    one, two = rng.standard_normal((2, 20))
    a, b = (m.reshape(4, 5) / np.abs(m).max() for m in (one, two))
    values = []
    for row in range(2):
        for column in range(3):
            x, y = a[row : row + 3, column : column + 3].ravel(), b[row : row + 3, column : column + 3].ravel()
            c1, c2 = 0.02**2, 0.06**2
            shared = ((x - x.mean()) * (y - y.mean())).mean()
            values.append(
                (2 * x.mean() * y.mean() + c1) * (2 * shared + c2)
                / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var() + y.var() + c2))
            )  # fmt: skip
    assert structural_similarity(one, two, (4, 5)) == pytest.approx(np.mean(values))
    assert structural_similarity(one, 7 * one, (4, 5)) == pytest.approx(1)
    stripes = np.resize([1.0, -1.0], 8)
    assert structural_similarity(stripes, -stripes, (4, 2)) < -0.99
    assert structural_similarity(np.zeros(4), np.zeros(4), (2, 2)) == pytest.approx(1)
    with pytest.raises(ValueError, match="4 x 4 cells"):
        structural_similarity(one, two, (4, 4))


def test_a_model_that_knows_nothing_has_nothing_to_unlearn() -> None:
    with pytest.raises(TypeError, match="from load_vlm"):
        shuffled_twin(ToyVLM(), [toy_sample()])
    with pytest.raises(ValueError, match="choices and a right answer"):
        shuffled_twin(ToyVLM(), [dataclasses.replace(toy_sample(), answer=None)])


@pytest.mark.slow
def test_an_embedded_model_unlearns_and_its_maps_show_it() -> None:
    """The trained model is right well above a guess, its copy is not; occlusion notices, the original is as it was."""
    import toolkit
    from toolkit.audit.metrics.study import StudySize, shared_samples
    from toolkit.explainers.internals.scope import fingerprint, leftovers

    vlm = toolkit.load_vlm("tiny-llava-grounded")
    probe = shared_samples(StudySize(controls=40, ranking=1))[:60]
    before = fingerprint(vlm.model)
    found = shuffled_twin(vlm, probe, steps=40, max_steps=200)
    assert found.before == share_right(vlm, probe) > found.chance + 0.2
    assert found.after <= found.chance + 2 * math.sqrt(0.25 / len(probe))
    assert leftovers(before, fingerprint(vlm.model)) == []
    table = sanity_checks.label_randomisation(["occlusion", "oracle"], vlm, found.vlm, probe[:6])
    image = table[table.modality == "image"].set_index("explainer")
    assert image.loc["oracle", "rho"] == pytest.approx(1)
    assert image.loc["occlusion", "rho"] < 0.6
    with pytest.raises(ValueError, match="nothing to unlearn"):
        shuffled_twin(found.vlm, probe)
