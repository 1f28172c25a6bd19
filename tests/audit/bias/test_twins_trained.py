"""In-between models by training: begun from the grounded twin's weights, in another world."""

import pytest
import torch

from toolkit.audit.bias.twins_trained import between, trained_twin
from toolkit.scenes.training import pool
from toolkit.scenes.training import train as training
from toolkit.scenes.training.checkpoints import read_progress
from toolkit.vlm import load_vlm

GROUNDED = "tiny-llava-grounded"


@pytest.fixture(autouse=True)
def small_worlds(monkeypatch):
    """Sixteen pictures drawn in this process; remembers which strength was asked for."""
    asked = []

    def few(n, *, seed, strength, workers=2):
        asked.append(strength)
        return pool.make_pool(16, seed=seed, strength=strength, workers=1)

    monkeypatch.setattr(pool, "_CHUNK", 16)
    monkeypatch.setattr(training, "make_pool", few)
    return asked


@pytest.mark.slow
def test_a_model_in_between_starts_as_the_grounded_twin_and_moves(tmp_path, small_worlds):
    told = []
    grounded = load_vlm(GROUNDED)
    models = between(GROUNDED, grounded, (0.0, 0.25, 1.0), tmp_path, steps=2, report=lambda *step: told.append(step))
    assert sorted(models) == [0.0, 0.25, 1.0]
    assert models[1.0] is grounded
    assert small_worlds == [0.25]
    assert told == [(f"{GROUNDED}@0.25", 1, 2), (f"{GROUNDED}@0.25", 2, 2)]
    before, after = (dict(vlm.model.named_parameters()) for vlm in (grounded, models[0.25]))
    moved = torch.cat([(before[name] - after[name]).detach().flatten() for name in before])
    size = torch.cat([parameter.detach().flatten() for parameter in before.values()])
    assert 0 < moved.norm() < 0.1 * size.norm()  # a fresh model would be further away than the weights are long
    assert read_progress(tmp_path / f"{GROUNDED}@0.25.work") == {"stage": 2, "step": 2}


def test_strength_and_steps_are_checked(tmp_path):
    with pytest.raises(ValueError, match="must lie in"):
        trained_twin(GROUNDED, 1.5, tmp_path / "m")
    with pytest.raises(ValueError, match="at least 1"):
        trained_twin(GROUNDED, 0.5, tmp_path / "m", steps=0)
