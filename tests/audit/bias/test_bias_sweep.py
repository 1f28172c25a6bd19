import numpy as np
import pytest
from support.fakes import KnownVLM, known_sample

from toolkit.audit.bias.bias_sweep import bias_sweep
from toolkit.audit.bias.twins_mixed import MixedVLM, mixed_twins
from toolkit.games.game import Players

SAMPLES = [known_sample(i) for i in range(8)]
GROUNDED, BIASED = KnownVLM("tiny-llava-grounded"), KnownVLM("tiny-llava-biased")


def test_a_blend_is_linear_and_its_ends_are_the_twins():
    sample = SAMPLES[0]
    rng = np.random.default_rng(0)
    coalitions = rng.random((20, GROUNDED.players(sample).n)) < 0.5
    first, second = (vlm.game(sample, target="yes")(coalitions) for vlm in (GROUNDED, BIASED))
    for strength in (0.0, 0.25, 1.0):
        blended = MixedVLM(GROUNDED, BIASED, strength).game(sample, target="yes")
        assert blended(coalitions) == pytest.approx((1 - strength) * first + strength * second, abs=1e-15)
    halves = [vlm.answer(sample).by_choice["yes"] for vlm in (GROUNDED, BIASED)]
    assert MixedVLM(GROUNDED, BIASED, 0.5).answer(sample).by_choice["yes"] == pytest.approx(np.mean(halves))
    assert min(halves) > 0.9


def test_a_blend_has_no_gradients_and_no_wrong_strength():
    with pytest.raises(TypeError, match="forward passes"):
        MixedVLM(GROUNDED, BIASED, 0.5).white_box(SAMPLES[0])
    with pytest.raises(ValueError, match="must lie in"):
        MixedVLM(GROUNDED, BIASED, 1.5)


class FewerCells(KnownVLM):
    """Cuts pictures into other players than its sibling."""

    def game(self, sample, *, target=None, baseline="blur"):
        inner = super().game(sample, target=target, baseline=baseline)
        return without_first(inner, Players(inner.players.labels[1:], inner.players.modality[1:]))


def without_first(inner, players):
    def value(coalitions):
        return inner(np.insert(coalitions, 0, True, axis=1))

    value.players = players
    return value


def test_models_that_are_no_twins_are_refused():
    other = KnownVLM("tiny-internvl-biased")
    other.family = "internvl"
    with pytest.raises(ValueError, match=r"'tiny-internvl-biased' \(internvl\) are no twins; take two models of one"):
        mixed_twins(GROUNDED, other)
    blended = MixedVLM(GROUNDED, FewerCells("tiny-llava-biased"), 0.5)
    with pytest.raises(ValueError, match=f"no twins: they cut '{SAMPLES[0].id}' into different players"):
        blended.game(SAMPLES[0], target="yes")


def test_the_dial_turns_synergy_into_text():
    dial = bias_sweep(
        mixed_twins(GROUNDED, BIASED, (0.0, 0.5, 1.0)),
        SAMPLES,
        source="blends",
        explainers=("occlusion", "random", "oracle"),
    )
    wide = dial.table.pivot_table(index="quantity", columns="strength", values="value")
    assert wide.loc["total interaction", 0.0] > 0.3
    assert wide.loc["total interaction", 0.5] == pytest.approx(
        wide.loc["total interaction", [0.0, 1.0]].mean(), abs=1e-6
    )
    assert abs(wide.loc["total interaction", 1.0]) < 0.1
    assert wide.loc["text share", 1.0] > wide.loc["text share", 0.5] > wide.loc["text share", 0.0]
    assert wide.loc["score f-syn, oracle", 0.0] > wide.loc["score f-syn, oracle", 1.0]
    assert len(dial.figure().axes) == 3
    assert "blends" in dial.drawing().alt


def test_blends_ask_each_coalition_of_a_twin_once():
    models = mixed_twins(GROUNDED, BIASED, (0.25, 0.75))
    sample = SAMPLES[0]
    rng = np.random.default_rng(0)
    coalitions = rng.random((10, GROUNDED.players(sample).n)) < 0.5
    games = [model.game(sample, target="yes") for model in models.values()]
    for game in games:
        game(coalitions)
    assert games[1].n_evaluations == 2 * len(np.unique(coalitions, axis=0))
    assert models[0.25].game(sample, target="no").n_evaluations == 0
    assert models[0.25].game(sample, target="yes", baseline="mean").n_evaluations == 0


def test_the_dial_is_written_with_its_source(tmp_path):
    models = mixed_twins(GROUNDED, BIASED, (0.0, 1.0))
    found = bias_sweep(models, SAMPLES, source="made of two", explainers=("occlusion", "random", "oracle"))
    page = found.write(tmp_path / "made", "known")
    text = page.read_text()
    assert "made of two" in text
    assert 'alt="Bias dial' in text
    assert {p.name for p in page.parent.iterdir()} == {"dial-known.html", "dial-known.csv", "dial-known.png"}
    labels = [axes.get_ylabel() for axes in found.figure().axes]
    assert labels == ["share, or probability", "Kendall's tau", "probability"]
