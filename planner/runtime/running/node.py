"""A node: its own steps, weights and tensors, and nothing of any other's."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch

from planner.runtime.running.kernels import computed, kept, part_name, partial, resolved
from planner.runtime.running.operands import assemble
from planner.runtime.running.partial import Part
from planner.runtime.running.records import Operand, Step
from planner.runtime.running.transport import Transport


class Node:
    """Runs its part of every layer.

    Parameters
    ----------
    name : str
    steps : dict of str to Step
        By layer, in order.
    """

    def __init__(self, name: str, steps: dict[str, Step]) -> None:
        self.name = name
        self.steps = steps
        self.values: dict[str, torch.Tensor] = {}
        self.macs: dict[str, int] = {}
        self._weights = {
            f"{step.layer}/{key}": value
            for step in steps.values()
            for key, value in step.weights.items()
        }
        self._own: tuple[torch.Tensor, ...] = ()  # the operands of the step that is running

    def start(self, inputs: dict[str, torch.Tensor]) -> None:
        """Forget the last run; hold a copy of the model's inputs."""
        self.values = {name: value.clone() for name, value in inputs.items()}
        self.macs = {}

    def send(self, layer: str, transport: Transport) -> None:
        """Send what others need of this node before a layer."""
        step = self.steps.get(layer)
        for item in step.sends if step else ():
            content = self._gathered(item.content).reshape(-1)
            pair = self.name, item.receiver
            transport.send(layer, pair, item.message, content, shared=item.shared)

    def begin(self, layer: str, transport: Transport) -> None:
        """Take in what was sent; tell the others partial results, where the layer has any."""
        step = self.steps.get(layer)
        if step is None:
            return
        for item in step.receives:
            pair = item.sender, self.name
            self.values[item.message] = transport.receive(pair, item.message)
        self._own = tuple(self._gathered(operand) for operand in step.operands)
        if self.name in step.told:
            message = part_name(layer, self.name)
            part = partial(step, self._own)
            self.values[message] = part
            for receiver in step.tells:
                pair = self.name, receiver
                transport.send(layer, pair, message, part, shared=step.tells_at_once)

    def finish(self, layer: str, transport: Transport) -> None:
        """Work the node's part of a layer out and keep it."""
        step = self.steps.get(layer)
        if step is None:
            return
        if step.kernel != "none":
            arguments = resolved(step, self._own, step.weights)
            with torch.no_grad():
                made = computed(step, self._own, arguments, self._told(step, transport))
            if step.kernel == "aten":
                counted = step.macs
                if counted is None:
                    counted = executed_macs(step.target, arguments, made)
                self.macs[step.layer] = counted
            self.values[step.layer] = kept(step, made)
        self._own = ()
        for name in step.frees:
            self.values.pop(name, None)

    def _told(self, step: Step, transport: Transport) -> list[Part]:
        """All nodes' partial results, its own among them."""
        parts = []
        for teller, count in step.told.items():
            message = part_name(step.layer, teller)
            if teller == self.name:
                part = self.values.pop(message)
            else:
                part = transport.receive((teller, self.name), message)
            parts.append((count, part))
        return parts

    def _gathered(self, operand: Operand) -> torch.Tensor:
        found = [
            self.values[name] if name in self.values else self._weights[name]
            for name in operand.sources
        ]
        return assemble(operand, found)


def _conv(arguments: dict[str, Any], made: torch.Tensor) -> int:
    return int(made.numel() * prod(arguments["weight"].shape[1:]))


def _conv_transpose(arguments: dict[str, Any], made: torch.Tensor) -> int:
    return int(arguments["input"].numel() * prod(arguments["weight"].shape[1:]))


def _attention(arguments: dict[str, Any], made: torch.Tensor) -> int:
    return int(arguments["query"].numel() + made.numel()) * int(arguments["key"].shape[-2])


def _product(arguments: dict[str, Any], made: torch.Tensor) -> int:
    left = next(arguments[k] for k in ("input", "mat1", "batch1", "self") if k in arguments)
    return made.numel() * int(left.shape[-1])


def _recurrent(arguments: dict[str, Any], made: torch.Tensor) -> int:
    x = arguments["input"]
    cells = [arguments[name] for name in ("w_ih", "w_hh") if name in arguments]
    matrices = [item for item in arguments.get("params", cells) if item.dim() == 2]
    return int(x.numel() // x.shape[-1] * sum(item.numel() for item in matrices))


_MACS: dict[str, Callable[[dict[str, Any], torch.Tensor], int]] = {
    **dict.fromkeys("conv1d conv2d conv3d".split(), _conv),
    **dict.fromkeys("conv_transpose1d conv_transpose2d conv_transpose3d".split(), _conv_transpose),
    **dict.fromkeys("linear mm bmm matmul addmm baddbmm".split(), _product),
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(
        "gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell".split(),
        _recurrent,
    ),
}


def executed_macs(target: str, arguments: dict[str, Any], made: torch.Tensor) -> int:
    """Multiply-accumulates of a call, from the shapes that it ran on."""
    count = _MACS.get(target.partition(".")[0])
    return count(arguments, made) if count else 0
