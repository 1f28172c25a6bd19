"""Products by oneDNN against PyTorch's own, and everything that is left to PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from toolkit.vlm.engine import products
from toolkit.vlm.engine.products import fast_products, onednn_linear, padded, project

OPERATOR = onednn_linear()
has_onednn = pytest.mark.skipif(OPERATOR is None, reason="this PyTorch has no oneDNN, or this is no x86 processor")


def layer(*, bias: bool = True, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(48, 80, bias=bias).requires_grad_(False)


def rows(n: int) -> torch.Tensor:
    return torch.randn(n, 48, generator=torch.Generator().manual_seed(n))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of rows that oneDNN was asked for, as on a processor where it is the faster."""
    seen: list[int] = []

    def product(x: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(len(x))
        return OPERATOR(x, *rest)

    monkeypatch.setattr(products, "ONEDNN", product)
    return seen


@has_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [1, 191, 192, 193, 1000])
def test_the_product_is_that_of_pytorch(asked: list[int], n: int, bias: bool) -> None:
    with torch.inference_mode():
        found = project(layer(bias=bias), padded(rows(n)))[:n]
        torch.testing.assert_close(found, layer(bias=bias)(rows(n)), rtol=1e-5, atol=1e-6)
    assert len(asked) == (n >= 192)


@has_onednn
@pytest.mark.usefixtures("asked")
def test_few_numbers_of_rows_reach_onednn() -> None:
    with torch.inference_mode():
        sizes = {len(padded(torch.ones(n, 1))) for n in range(1024, 2048)}
        found = padded(torch.ones(1025, 1))
    assert len(sizes) == 17  # 16, and the next power of two
    assert max(len(padded(torch.ones(n, 1, requires_grad=False))) for n in (5, 191)) == 191
    assert (found[:1025] == 1).all()
    assert (found[1025:] == 0).all()
    assert len(found) == 1088


class Watched(nn.Linear):
    """A linear layer of somebody else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


@has_onednn
def test_everything_else_is_called_as_it_is(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows(300)
    with torch.inference_mode():
        torch.testing.assert_close(project(layer(kind=Watched), x), layer(kind=Watched)(x))
        torch.testing.assert_close(project(layer().double(), x.double()), layer().double()(x.double()))
    assert project(layer(), x.clone().requires_grad_(True)).requires_grad
    with monkeypatch.context() as patched, torch.inference_mode():
        patched.setattr(functional, "linear", lambda x, weight, bias=None: torch.full((len(x), len(weight)), 7.0))
        assert (project(layer(), x) == 7).all()
    assert asked == []


@has_onednn
@pytest.mark.parametrize("shape", [(300, 48), (3, 100, 48), (2, 2, 95, 48)])
def test_a_module_within_finds_onednn_with_gradients_of_every_order(asked: list[int], shape: tuple[int, ...]) -> None:
    def run(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = layer()(x)
        (first,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), x)
        return y, first, second

    x = rows(torch.Size(shape[:-1]).numel()).view(shape).requires_grad_(True)
    wanted = run(x)
    assert asked == []
    with fast_products():
        found = run(x)
    assert len(asked) == 4  # forward, backward, and both of the backward
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.detach().abs().max()))


def patches(shape: tuple[int, ...], **settings: object) -> nn.Module:
    kind = nn.Conv3d if len(shape) == 5 else nn.Conv2d
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(shape[1], 24, **settings).requires_grad_(False)


@has_onednn
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 3, 32, 48), {"kernel_size": 16, "stride": 16, "padding": "valid", "bias": False}),
        ((3, 3, 24, 24), {"kernel_size": 8, "stride": 8}),
        ((40, 3, 2, 8, 8), {"kernel_size": (2, 8, 8), "stride": (2, 8, 8), "bias": False}),
        ((2, 3, 4, 16, 8), {"kernel_size": (2, 8, 8), "stride": (2, 8, 8)}),
    ],
)
@pytest.mark.parametrize("library", ["oneDNN", "MKL"])
def test_patches_under_a_gradient_are_a_product(
    asked: list[int], monkeypatch: pytest.MonkeyPatch, library: str, shape: tuple[int, ...], settings: dict
) -> None:
    if library == "MKL":
        monkeypatch.setattr(products, "ONEDNN", None)
    multiplied = []
    linear = products._LINEAR
    monkeypatch.setattr(products, "_LINEAR", lambda *given: multiplied.append(len(given[0])) or linear(*given))
    convolution, x = patches(shape, **settings), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    plain, ours = (x.clone().requires_grad_() for _ in range(2))
    expected = convolution(plain)
    with fast_products():
        found = convolution(ours)
    assert (len(asked), len(multiplied)) == ((1, 0) if library == "oneDNN" else (0, 1))
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    for out in (expected, found):
        (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad, atol=1e-5, rtol=0)


@has_onednn
@pytest.mark.parametrize(
    ("settings", "learns", "wants_gradient"),
    [
        ({"kernel_size": 8, "stride": 4}, False, True),
        ({"kernel_size": 8, "stride": 8, "padding": 4}, False, True),
        ({"kernel_size": 8, "stride": 8, "padding": "valid", "dilation": 2}, False, True),
        ({"kernel_size": 8, "stride": 8, "groups": 3}, False, True),
        ({"kernel_size": 5, "stride": 5}, False, True),
        ({"kernel_size": 8, "stride": 8}, True, True),
        ({"kernel_size": 8, "stride": 8}, False, False),
    ],
)
def test_other_convolutions_are_left_alone(
    asked: list[int], settings: dict, learns: bool, wants_gradient: bool
) -> None:
    convolution = patches((2, 3, 24, 24), **settings).requires_grad_(learns)
    x = torch.ones(2, 3, 24, 24, requires_grad=wants_gradient)
    with fast_products():
        found = convolution(x)
    assert asked == []
    torch.testing.assert_close(found, convolution(x), atol=0, rtol=0)


@has_onednn
def test_numbers_for_sizes_a_learnt_bias_and_no_images_are_pytorchs(asked: list[int]) -> None:
    convolution = patches((2, 3, 24, 24), kernel_size=8, stride=8)
    x = torch.ones(2, 3, 24, 24, requires_grad=True)
    expected = convolution(x)
    with fast_products():
        plain = functional.conv2d(x, convolution.weight, convolution.bias, 8, 0, 1, 1)
        assert convolution(x[:0]).shape == (0, 24, 3, 3)
        convolution.bias.requires_grad_()
        convolution(x).sum().backward()
    torch.testing.assert_close(plain, expected, atol=0, rtol=0)
    assert float(convolution.bias.grad[0]) == 18
    assert asked == []
    with torch.autocast("cpu", dtype=torch.bfloat16), fast_products():
        assert convolution(x).dtype == layer()(rows(200)).dtype == torch.bfloat16


@has_onednn
def test_weights_that_are_learnt_and_other_functions_are_left_alone(asked: list[int]) -> None:
    x = rows(300)
    learnt = layer().requires_grad_(True)
    with fast_products():
        learnt(x).sum().backward()
        layer().double()(x.double())
        layer()(x[:100])
        functional.linear(x, weight=layer().weight)
        assert torch.equal(x @ layer().weight.t(), torch.mm(x, layer().weight.t()))
    assert asked == []
    assert learnt.weight.grad is not None
    with fast_products(), torch.no_grad():  # where nothing is learnt, weights that could be are as good as others
        learnt(x)
    assert len(asked) == 1


@has_onednn
def test_few_rows_reach_onednn_too_where_that_is_asked_for(asked: list[int]) -> None:
    some = [rows(300)[:n] for n in (1, 2, 5, 17)]
    expected = [layer()(x) for x in some]
    with fast_products(at_least=2):
        found = [layer()(x) for x in some]
    torch.testing.assert_close(found, expected)
    assert asked == [2, 5, 17]


@has_onednn
def test_a_function_of_somebody_else_runs_once(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    softmax = functional.softmax

    def watched(x: torch.Tensor, dim: int) -> torch.Tensor:
        calls.append(len(x))
        return softmax(x, dim)

    monkeypatch.setattr(functional, "softmax", watched)
    with fast_products():
        found = functional.softmax(layer()(rows(300)), -1)
    assert calls == [300]
    assert asked == []
    assert torch.equal(found, softmax(layer()(rows(300)), -1))


@pytest.mark.parametrize(
    ("capability", "processor", "left"),
    [
        ("AVX512", "vendor_id : AuthenticAMD", False),
        ("AVX512", "vendor_id : GenuineIntel", True),
        ("AVX2", "vendor_id : AuthenticAMD", True),
        ("DEFAULT", "", True),
    ],
)
def test_mkl_stays_where_onednn_is_no_faster(capability: str, processor: str, left: bool) -> None:
    assert products._leaves_it_to_mkl(capability, processor) is left


def test_the_processors_maker_is_read_here() -> None:
    here = products._processor()
    assert here
    assert products.ONEDNN is None or not products._leaves_it_to_mkl(torch.backends.cpu.get_cpu_capability(), here)


def test_an_operator_that_computes_something_else_is_not_used() -> None:
    assert products._is_linear(lambda x, weight, bias, *rest: functional.linear(x, weight, bias))
    assert not products._is_linear(lambda x, weight, bias, *rest: functional.linear(x, weight))
    assert not products._is_linear(lambda x, weight: functional.linear(x, weight))
