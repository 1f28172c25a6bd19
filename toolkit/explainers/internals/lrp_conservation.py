"""Conservation of relevance: what enters a layer leaves it, up to the terms named here.

With relevance R(t) = sum of t * gradient under the rules, every layer of either tower must balance, and so must the
bridge between the towers (final norm, pixel shuffle or patch merge, projector), from the last tower layer that the
answer depends on to the bridge's last module:

    R(layer output) = R(layer input) + R(biases inside) + softmax term,   softmax term = R(A) - R(S)

Biases keep their share by the 0-rule, and the Taylor expansion of the softmax keeps a constant term; both are computed
here, and what remains unexplained is the error. The rules promise it to be zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from toolkit.explainers.internals.anatomy import anatomy, first_tensor
from toolkit.explainers.internals.lrp_rules import Tape
from toolkit.explainers.internals.scope import hooks


@dataclass(frozen=True)
class Balance:
    """Relevance of one layer, summed over all its entries.

    Attributes:
        layer: Qualified name in the model; of the bridge, the name of its last module.
        entering: R(layer input).
        leaving: R(layer output).
        bias: R of all biases inside the layer.
        softmax: The constant term of the softmax expansion.
    """

    layer: str
    entering: float
    leaving: float
    bias: float
    softmax: float

    @property
    def error(self) -> float:
        """|leaving - entering - bias - softmax|, relative to the largest of them."""
        largest = max(abs(self.entering), abs(self.leaving), abs(self.bias), abs(self.softmax), 1e-12)
        return abs(self.leaving - self.entering - self.bias - self.softmax) / largest


@dataclass
class Ledger:
    """Tensors recorded during one forward pass under :func:`lrp_rules`; :meth:`close` turns them into balances."""

    model: nn.Module
    tape: Tape = field(default_factory=Tape)
    handles: list[torch.utils.hooks.RemovableHandle] = field(default_factory=list)
    entering: dict[nn.Module, Tensor] = field(default_factory=dict)
    leaving: dict[nn.Module, Tensor] = field(default_factory=dict)
    biased: list[tuple[nn.Module, Tensor]] = field(default_factory=list)
    between: list[tuple[nn.Module, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = anatomy(self.model)

    def layers(self) -> tuple[nn.Module, ...]:
        """Layers of both towers."""
        return (*self.parts.vision_layers, *self.parts.decoder_layers)

    def open(self) -> None:
        """Start recording; :func:`ledger` calls it after the rules are in place, so that it sees their outputs."""
        for layer in self.layers():
            self.handles.append(layer.register_forward_pre_hook(self._enter, with_kwargs=True))
            self.handles.append(layer.register_forward_hook(self._leave))
            for module in layer.modules():
                if getattr(module, "bias", None) is not None:
                    self.handles.append(module.register_forward_hook(self._bias))
        for module in self._outside():
            self.handles.append(module.register_forward_hook(self._pass))

    def _outside(self) -> list[nn.Module]:
        """Modules that are no part of a layer and hold none."""
        inside = {module for layer in self.layers() for module in layer.modules()}
        return [m for m in self.model.modules() if inside.isdisjoint(m.modules())]

    def _enter(
        self, layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[Tensor, ...], dict[str, object]]:
        own = args[0].view_as(args[0])  # a tensor that only this layer reads
        self.entering[layer] = own
        return (own, *args[1:]), kwargs

    def _leave(self, layer: nn.Module, args: tuple[Tensor, ...], output: object) -> None:
        self.leaving[layer] = first_tensor(output)

    def _bias(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        self.biased.append((module, output))

    def _pass(self, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        """Between the towers: after the last tower layer, before the first decoder layer."""
        after = self.parts.vision_layers[-1] in self.leaving and self.parts.decoder_layers[0] not in self.entering
        if after and isinstance(output, Tensor) and output.requires_grad:
            self.between.append((module, output))

    def close(self, value: Tensor, inputs: tuple[Tensor, ...]) -> tuple[tuple[Balance, ...], tuple[Tensor, ...]]:
        """Balances of the layers that the value depends on, and its gradients at the inputs, by one backward pass.

        The vision tower's layers come first, then the bridge, then the decoder's.
        """
        tensors = [
            *self.entering.values(),
            *self.leaving.values(),
            *(output for _, output in (*self.biased, *self.between)),
            *inputs,
        ]
        gradients = torch.autograd.grad(value.sum(), tensors, allow_unused=True)
        slope = {id(t): g for t, g in zip(tensors, gradients, strict=True)}

        def relevance(tensor: Tensor, of: Tensor | None = None) -> float:
            gradient = slope[id(tensor)]
            factor = tensor if of is None else of
            return 0.0 if gradient is None else float((factor.detach().double() * gradient.double()).sum())

        names = {module: name for name, module in self.model.named_modules()}
        balances = []
        for layer in self.layers():
            if layer not in self.leaving or slope[id(self.leaving[layer])] is None:
                continue
            inside = set(layer.modules())
            bias = sum(relevance(y, cast(Tensor, m.bias)) for m, y in self.biased if m in inside)
            softmax = sum(term for module, term in self.tape.softmax.items() if module in inside)
            into, out = relevance(self.entering[layer]), relevance(self.leaving[layer])
            balances.append(Balance(names[layer], into, out, bias, softmax))
        crossed = [(m, y) for m, y in self.between if slope[id(y)] is not None]
        if crossed:
            towers = sum(b.layer in {names[layer] for layer in self.parts.vision_layers} for b in balances)
            biases = [(y, getattr(m, "bias", None)) for m, y in crossed]
            bias = sum(relevance(y, own) for y, own in biases if isinstance(own, Tensor))
            bridge = Balance(names[crossed[-1][0]], balances[towers - 1].leaving, relevance(crossed[-1][1]), bias, 0.0)
            balances.insert(towers, bridge)
        return tuple(balances), gradients[-len(inputs) :]

    def __enter__(self) -> Ledger:
        self._scope = hooks(self.handles)
        self._scope.__enter__()
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self._scope.__exit__(None, None, None)
