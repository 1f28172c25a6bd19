"""Names, functions and objects as explainers, and every rule that a plug-in can break."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.fakes import ToyVLM, toy_sample

from toolkit.explainers import EXPLAINERS, Attribution, Explainer, explain, get_explainer
from toolkit.explainers.base import FunctionExplainer
from toolkit.explainers.plugin import ExplainerCheckError, check_explainer, load_explainer, register
from toolkit.registry import UnknownNameError


def mean_brightness(vlm, sample):
    """Ten lines that explain nothing but themselves."""
    grey = np.asarray(sample.image.convert("L"), dtype=float) / 255
    height, width = grey.shape
    cells = [
        grey[int(y0 * height) : int(y1 * height), int(x0 * width) : int(x1 * width)].mean()
        for x0, y0, x1, y1 in vlm.regions(sample)
    ]
    words = [end - start for start, end in vlm.text_spans(sample)]
    return np.array(cells + words, dtype=float)


@pytest.fixture
def name():
    yield "my-method"
    if "my-method" in EXPLAINERS:
        EXPLAINERS.remove("my-method")


@pytest.mark.parametrize("known", list(EXPLAINERS))
def test_every_built_in_declares_what_it_is(known: str) -> None:
    explainer = get_explainer(known)
    assert isinstance(explainer, Explainer)
    assert explainer.name == known
    assert explainer.reference
    assert explainer.cost
    assert explainer.needs <= {"game", "gradients", "activations", "attention", "truth"}
    assert len(sys.modules[type(explainer).__module__].__doc__) > 200


def test_a_mistyped_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'integrated-gradients'\?"):
        explain("integrated-gradient", ToyVLM(), toy_sample())


def test_a_function_is_an_explainer(name: str) -> None:
    expected = [1.0, 0.8, 0.4, 0.2, 3, 6, 1]
    att = explain(mean_brightness, ToyVLM(), toy_sample())
    np.testing.assert_allclose(att.scores, expected)
    assert (att.explainer, att.target) == ("mean_brightness", "yes")
    register(name, mean_brightness)
    by_name = explain(name, ToyVLM(), toy_sample())
    np.testing.assert_allclose(by_name.scores, expected)
    assert by_name.explainer == name
    with pytest.raises(ValueError, match="registered already"):
        register(name, mean_brightness)


def test_a_function_gets_the_arguments_that_it_names() -> None:
    def curious(vlm, sample, baseline, target, rng):
        assert (baseline, target) == ("mean", "no")
        return rng.standard_normal(vlm.players(sample).n)

    one = explain(curious, ToyVLM(), toy_sample(), target="no", baseline="mean", seed=1)
    two = explain(curious, ToyVLM(), toy_sample(), target="no", baseline="mean", seed=2)
    assert not np.allclose(one.scores, two.scores)


@pytest.mark.parametrize("wrong", [lambda vlm: 0, lambda vlm, sample, layer: 0, 3])
def test_what_is_not_an_explainer_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="explainer"):
        get_explainer(wrong)


def test_a_class_is_refused_with_the_fix() -> None:
    with pytest.raises(TypeError, match="pass an instance, not the class"):
        get_explainer(FunctionExplainer)


def short(vlm, sample):
    return np.zeros(3)


def broken(vlm, sample):
    return np.full(7, np.nan)


def moody(vlm, sample, _state=[0]):  # noqa: B006
    _state[0] += 1
    return np.arange(7.0) + _state[0]


def global_noise(vlm, sample):
    torch.manual_seed(0)
    return torch.rand(7).numpy()


def blind(vlm, sample):
    return np.array([0, 0, 0, 0, 1, 2, 3.0])


def mute(vlm, sample):
    return np.array([1, 2, 3, 4, 0, 0, 0.0])


def leaky(vlm, sample):
    vlm.model.register_forward_hook(lambda *_: None)
    return np.arange(7.0)


def vandal(vlm, sample):
    with torch.no_grad():
        vlm.model.weights.mul_(2)
    return np.arange(7.0)


def crashing(vlm, sample):
    return np.zeros(7)[vlm.players(sample).n]


def python_noise(vlm, sample):
    random.seed(0)
    return np.array([random.random() for _ in range(7)])


def gradientless(vlm, sample):
    torch.set_grad_enabled(False)
    return np.arange(7.0)


def everywhere(vlm, sample):
    """What a library does that patches a class: the module itself shows nothing."""
    forward = torch.nn.AvgPool2d.forward
    torch.nn.AvgPool2d.forward = lambda self, x: forward(self, x)
    return np.arange(7.0)


def behind_the_back(vlm, sample):
    """Replaces a function that the model calls, which no module knows of."""
    prod = torch.prod
    torch.prod = lambda *args, **kwargs: 2 * prod(*args, **kwargs)
    return np.arange(7.0)


@pytest.fixture
def mended():
    """Takes back what the explainers above leave behind."""
    forward, prod = torch.nn.AvgPool2d.forward, torch.prod
    yield
    torch.nn.AvgPool2d.forward, torch.prod = forward, prod
    torch.set_grad_enabled(True)


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (short, "shape"),
        (broken, "shape"),
        (moody, "determinism"),
        (global_noise, "randomness"),
        (blind, "both modalities"),
        (mute, "both modalities"),
        (leaky, "nothing left behind"),
        (vandal, "nothing left behind"),
        (gradientless, "nothing left behind"),
        (everywhere, "nothing left behind"),
        (behind_the_back, "nothing left behind"),
        (crashing, "shape"),
        (python_noise, "randomness"),
    ],
)
def test_each_rule_is_seen_to_fail(function, rule: str, name: str) -> None:
    failed = [check.name for check in check_explainer(function, ToyVLM(), toy_sample()) if not check.passed]
    assert failed == [rule]
    register(name, function)
    torch.manual_seed(1)
    random.seed(1)
    torch.set_grad_enabled(True)
    with pytest.raises(ExplainerCheckError, match=rule):
        explain(name, ToyVLM(), toy_sample())


def test_what_a_library_draws_when_it_is_first_imported_is_not_the_explainers() -> None:
    imported = []

    def lazy(vlm, sample):
        if not imported:
            imported.append(random.random() + float(torch.rand(1)))
        return np.arange(7.0)

    assert [check.name for check in check_explainer(lazy, ToyVLM(), toy_sample()) if not check.passed] == []
    assert imported


def test_a_broken_rule_is_told_with_its_place() -> None:
    (check,) = check_explainer(crashing, ToyVLM(), toy_sample())
    line = crashing.__code__.co_firstlineno + 1
    assert check.message.startswith("IndexError: index 7 is out of bounds")
    assert check.message.endswith(f"(test_plugin.py, line {line})")
    (check,) = check_explainer(short, ToyVLM(), toy_sample())
    assert "site-packages" not in check.message
    assert "line" not in check.message, "nothing in the explainer's own code raised"
    left = check_explainer(leaky, ToyVLM(), toy_sample())[-1]
    assert left.message.startswith("changed and not restored: Multilinear")


def test_an_honest_explainer_passes_every_rule() -> None:
    for method in (mean_brightness, "integrated-gradients", "occlusion", "random", "smoothgrad"):
        checks = check_explainer(method, ToyVLM(), toy_sample())
        assert [check.name for check in checks if not check.passed] == []
        assert len(checks) == 6


@pytest.mark.parametrize("how", ["bfloat16", "with a gradient", "int64"])
def test_a_tensor_of_any_kind_is_one_score_per_player(how: str) -> None:
    scores = {
        "bfloat16": torch.arange(7.0).bfloat16(),
        "with a gradient": torch.arange(7.0, requires_grad=True),
        "int64": torch.arange(7),
    }[how]
    np.testing.assert_array_equal(explain(lambda vlm, sample: scores, ToyVLM(), toy_sample()).scores, np.arange(7.0))


@pytest.mark.parametrize(
    "scores",
    [
        torch.zeros(7, device="meta"), [[1.0, 2.0], [1.0]], np.ma.masked_array(np.arange(7.0), np.arange(7) == 2),
        torch.full((7,), 1 + 2j), np.full(7, 1 + 2j),
    ],
)  # fmt: skip
def test_scores_of_which_no_array_can_be_made_are_refused_by_the_explainers_name(scores) -> None:
    def mine(vlm, sample):
        return scores

    with pytest.raises(TypeError, match=r"'mine' returned .*; expected one real number per player"):
        explain(mine, ToyVLM(), toy_sample())


@pytest.mark.parametrize("how", ["drawn on", "made small", "drawn on before an error"])
def test_whoever_changes_the_samples_image_is_told_and_the_next_one_sees_it_as_it_was(how: str) -> None:
    def scribbler(vlm, sample):
        if how == "made small":
            sample.image.thumbnail((2, 2))
        else:
            sample.image.paste((0, 0, 0), (0, 0, *sample.image.size))
        if how == "drawn on before an error":
            raise OSError("gone")
        return np.arange(vlm.players(sample).n)

    sample = toy_sample()
    asked, before = sample.image_digest, sample.image.tobytes()
    with pytest.raises((ValueError, OSError), match=r"'scribbler' changed the sample's image; draw on a copy|gone"):
        explain(scribbler, ToyVLM(), sample)
    assert (sample.image_digest, sample.image.tobytes()) == (asked, before)
    np.testing.assert_allclose(explain(mean_brightness, ToyVLM(), sample).scores[:4], [1.0, 0.8, 0.4, 0.2])


def test_explaining_another_answer_is_an_error() -> None:
    def stubborn(vlm, sample):
        return Attribution(np.arange(7.0), vlm.players(sample), "stubborn", "maybe")

    with pytest.raises(ValueError, match="explained 'maybe', but the scored answer is 'yes'"):
        explain(stubborn, ToyVLM(), toy_sample())


def test_an_explainer_by_module_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_module.py").write_text(
        "import numpy as np\ndef ones(vlm, sample):\n    return np.ones(vlm.players(sample).n)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert explain(load_explainer("my_own_module:ones"), ToyVLM(), toy_sample()).scores.tolist() == [1] * 7
    assert load_explainer("occlusion").name == "occlusion"
    with pytest.raises(ValueError, match="has no 'twos'; it has"):
        load_explainer("my_own_module:twos")
    with pytest.raises(ValueError, match="cannot import 'no_such_module'"):
        load_explainer("no_such_module:ones")


@pytest.mark.parametrize("bad", ["", "two words", "a/b"])
def test_names_are_plain_words(bad: str) -> None:
    with pytest.raises(ValueError, match="letters, digits and hyphens"):
        register(bad, mean_brightness)
