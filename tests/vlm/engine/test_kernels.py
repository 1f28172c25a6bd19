"""Products and attention by other libraries are what PyTorch's own functions give, and step aside where they cannot."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from support.subjects import RANDOM_TINY, make_subject, sample
from torch.nn import functional

from toolkit.vlm.engine import kernels
from toolkit.vlm.engine.request import masked_images

pytestmark = [
    pytest.mark.filterwarnings("error"),
    # transformers before 5.17 gives numpy 2.0 a tensor; nothing to mend on our side.
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(
    "shape", [(24,), (1, 24), (191, 24), (192, 24), (333, 24), (3, 90, 24), (2, 9, 41, 24), (0, 24)]
)
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_is_the_linear_layer(shape: tuple[int, ...], has_bias: bool) -> None:
    x, weight, bias = drawn(*shape), drawn(40, 24), drawn(40) if has_bias else None
    found = kernels.linear(x, weight, bias)
    assert found.shape == (*shape[:-1], 40)
    torch.testing.assert_close(found, functional.linear(x, weight, bias), atol=1e-5, rtol=1e-5)
    turned = drawn(24, 277).t()
    torch.testing.assert_close(kernels.linear(turned, weight), functional.linear(turned, weight), atol=1e-5, rtol=1e-5)


def test_an_operator_that_has_changed_is_not_used() -> None:
    def removed_argument(rows, weight, bias, attr):
        raise AssertionError

    assert kernels._is_linear(lambda rows, weight, bias, *_: functional.linear(rows, weight, bias))
    assert not kernels._is_linear(lambda rows, weight, bias, *_: functional.linear(rows, weight))
    assert not kernels._is_linear(removed_argument)
    assert not kernels._is_linear(None)


class Halved(torch.Tensor):
    """Weights of a kind of their own, as quantised ones are."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            out = func(*args, **(kwargs or {}))
        return out / 2 if func is functional.linear else out


def test_weights_of_another_kind_do_their_own_product() -> None:
    x, weight = drawn(270, 24), drawn(40, 24)
    found = kernels.linear(x, weight.as_subclass(Halved))
    torch.testing.assert_close(found, kernels.linear(x, weight) / 2, atol=1e-5, rtol=1e-5)
    assert kernels.linear(x.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(RuntimeError, match="dtype"):
        kernels.linear(x, weight.bfloat16())


def test_padded_rows_are_those_that_a_product_takes_as_they_are() -> None:
    few, rows = drawn(191, 24), drawn(270, 24)
    assert kernels.padded(few) is few
    padded = kernels.padded(rows)
    assert torch.equal(padded[:270], rows)
    assert not padded[270:].any()
    assert kernels.padded(padded) is padded
    half = rows.bfloat16()
    assert kernels.padded(half) is half
    if kernels.ONEDNN is not None:
        assert len(padded) == 272
        numbers = {len(kernels.padded(drawn(n, 1))) for n in range(1024, 2048)}
        assert numbers == {*range(1024, 2049, 64)}
        assert all(n <= len(kernels.padded(drawn(n, 1))) <= 17 / 16 * n for n in (192, 193, 600, 5000))


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (6, 1)])
@pytest.mark.parametrize("mask", [None, (1, 1), (5, 1), (5, 6)])
@pytest.mark.parametrize("scores", [1 << 20, 1500, 10])
def test_attention_is_scaled_dot_product_attention(heads, mask, scores: int, monkeypatch) -> None:
    monkeypatch.setattr(kernels, "_SCORES", scores)
    monkeypatch.setattr(kernels, "_FEW_SCORES", 0)
    n_query, n_key = heads
    if mask is not None:
        mask = (min(mask[0], 5), n_query if mask[1] == 6 else 1)
    query, key, value = drawn(5, 9, n_query, 8).transpose(1, 2), drawn(5, n_key, 11, 8), drawn(5, n_key, 11, 7)
    bias = None if mask is None else drawn(*mask, 9, 11).masked_fill_(drawn(*mask, 9, 11) > 0.5, -3e38)
    for scale in (None, 0.2):
        arguments = {"scale": scale, "enable_gqa": n_query != n_key}
        found = kernels.attention(query, key, value, bias, **arguments)
        expected = functional.scaled_dot_product_attention(query, key, value, bias, **arguments)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("mask", "options"),
    [
        (None, {"is_causal": True}),
        (torch.ones(9, 11, dtype=torch.bool).tril(), {}),
        (torch.zeros(9, 11), {}),
    ],
)
def test_what_attention_leaves_to_pytorch(mask, options, monkeypatch) -> None:
    monkeypatch.setattr(kernels, "_FEW_SCORES", 0)
    query, key, value = drawn(2, 4, 9, 8), drawn(2, 4, 11, 8), drawn(2, 4, 11, 8)
    expected = functional.scaled_dot_product_attention(query, key, value, mask, **options)
    assert torch.equal(kernels.attention(query, key, value, mask, **options), expected)
    half = [x.bfloat16() for x in (query, key, value)]
    assert torch.equal(kernels.attention(*half), functional.scaled_dot_product_attention(*half))
    with pytest.raises(RuntimeError):
        kernels.attention(query, key[:, :2], value[:, :2])  # fewer heads, and nobody said so


def test_gradients_are_pytorchs() -> None:
    with torch.inference_mode(False), torch.enable_grad():
        x, weight = drawn(800, 24).requires_grad_(), drawn(40, 24)
        kernels.attention(*[kernels.linear(x, weight).view(1, 2, 400, 40)] * 3).sum().backward()
        found, x.grad = x.grad, None
        as_ever = functional.linear(x, weight).view(1, 2, 400, 40)
        functional.scaled_dot_product_attention(as_ever, as_ever, as_ever).sum().backward()
        assert torch.equal(found, x.grad)


@pytest.mark.skipif(kernels.ONEDNN is None, reason="this PyTorch or this processor has no oneDNN")
def test_few_scores_are_left_to_pytorch_too(monkeypatch) -> None:
    counted, real = [], kernels._attend
    monkeypatch.setattr(kernels, "_attend", lambda *a: counted.append(len(a[0])) or real(*a))
    for n in (1, 10):
        x = drawn(n, 4, 30, 8)
        expected = functional.scaled_dot_product_attention(x, x, x)
        torch.testing.assert_close(kernels.attention(x, x, x), expected, atol=1e-5, rtol=1e-5)
    assert counted == [10]


@pytest.mark.skipif(kernels.ONEDNN is None, reason="this PyTorch or this processor has no oneDNN")
def test_within_the_mode_models_use_them(monkeypatch) -> None:
    calls = []
    monkeypatch.setitem(kernels._REPLACED, functional.linear, lambda *a: calls.append("linear") or kernels.linear(*a))
    layer = torch.nn.TransformerEncoderLayer(24, 2, batch_first=True).eval()
    x = drawn(30, 10, 24)
    expected = layer(x)
    with kernels.FastKernels():
        torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
        n_inside = len(calls)
        layer.linear1(x)
    assert len(calls) == n_inside + 1
    layer.linear1(x)
    assert len(calls) == n_inside + 1


@pytest.mark.skipif(kernels.ONEDNN is None, reason="this PyTorch or this processor has no oneDNN")
@pytest.mark.parametrize("name", RANDOM_TINY)
def test_the_engine_runs_on_them_and_can_do_without(name: str, monkeypatch) -> None:
    rows: list[int] = []
    real = kernels.ONEDNN
    monkeypatch.setattr(kernels, "ONEDNN", lambda *a: rows.append(len(a[0])) or real(*a))
    vlm = make_subject(name)
    chosen = np.random.default_rng(0).random((6, vlm.game(sample(1), target="yes").players.n)) < 0.5
    fast = vlm.game(sample(1), target="yes")(chosen)
    config = vlm.model.config.get_text_config()
    assert len(rows) >= 7 * config.num_hidden_layers  # every projection of the decoder
    assert all(len(kernels.padded(drawn(n, 1))) == n for n in rows)
    rows.clear()
    vlm.engine.forget()
    request, _ = vlm.game(sample(1), target="yes").request(chosen)
    vlm.engine.encode(masked_images(request, 0))
    assert rows  # and the vision tower's
    rows.clear()
    vlm.engine.forget()
    with kernels.as_pytorch():
        slow = vlm.game(sample(1), target="yes")(chosen)
    assert rows == []
    np.testing.assert_allclose(fast, slow, atol=1e-6, rtol=0)


@pytest.mark.skipif(kernels.ONEDNN is None, reason="this PyTorch or this processor has no oneDNN")
@pytest.mark.parametrize("reason", ["hook", "kind"])
def test_a_projection_that_is_more_than_a_linear_layer_is_called(reason: str, monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    mlp = vlm.model.get_decoder().layers[0].mlp
    chosen = np.ones((1, vlm.game(sample(1), target="yes").players.n), dtype=bool)
    before = vlm.game(sample(1), target="yes")(chosen)
    if reason == "hook":
        mlp.up_proj.register_forward_hook(lambda module, args, output: 2 * output)
    else:
        doubled = type(
            "Doubled", (torch.nn.Linear,), {"forward": lambda self, x: 2 * functional.linear(x, self.weight)}
        )
        monkeypatch.setattr(mlp.up_proj, "__class__", doubled)
    vlm.engine.forget()
    after = vlm.game(sample(1), target="yes")(chosen)
    assert abs(after - before).max() > 1e-4


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_kept() -> None:
    import resource

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            several = [torch.zeros(1 << 20) for _ in range(6)]
            del several
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    kernels.keep_freed_memory()
    faults()
    assert faults() < 6 * 1024  # fresh pages each time would be 20 times that
