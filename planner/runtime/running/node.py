"""A node: its own steps, weights and tensors, and nothing of any other's."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch

from planner.runtime.reading.template import aten, replaced
from planner.runtime.running.operands import assemble, picked
from planner.runtime.running.partial import NUMBERS, begin, finish
from planner.runtime.running.records import Operand, Ref, Step
from planner.runtime.running.resampling import resampled
from planner.runtime.running.transport import Transport

KERNELS = frozenset({"none", "take", "add", "aten", "resample", *NUMBERS})
"""What a step can be (`planner.runtime.running.records.Step`)."""


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
            own = self._own[step.arguments["self"].operand]
            dims = step.arguments["dims"]
            part = begin(step.kernel, own, dims, step.arguments.get("dtype"))
            self.values[_part(layer, self.name)] = part
            for receiver in step.tells:
                message = _part(layer, self.name)
                pair = self.name, receiver
                content = part.reshape(-1)
                transport.send(layer, pair, message, content, shared=step.tells_at_once)

    def finish(self, layer: str, transport: Transport) -> None:
        """Work the node's part of a layer out and keep it."""
        step = self.steps.get(layer)
        if step is None:
            return
        if step.kernel == "take":
            self._keep(step, self._own[0])
        elif step.kernel == "add":
            self._keep(step, torch.stack(self._own).sum(0))
        elif step.kernel == "resample":
            resolved = self._resolved(step)
            self._keep(step, resampled(resolved["self"], resolved["matrices"]))
        elif step.kernel == "aten":
            self._keep(step, self._called(step))
        elif step.kernel != "none":
            self._keep(step, self._finished(step, transport))
        self._own = ()
        for name in step.frees:
            self.values.pop(name, None)

    def _finished(self, step: Step, transport: Transport) -> torch.Tensor:
        parts = []
        own = step.arguments["self"]
        x = None if own is None else self._own[own.operand]
        for teller, count in step.told.items():
            message = _part(step.layer, teller)
            if teller == self.name:
                part = self.values.pop(message)
            else:
                part = transport.receive((teller, self.name), message)
            parts.append((count, part))
        shape = tuple(step.arguments["part_shape"])
        arguments = self._resolved(step)
        return finish(
            step.kernel, [(count, part.reshape(shape)) for count, part in parts], x, arguments
        )

    def _called(self, step: Step) -> torch.Tensor:
        arguments = self._resolved(step)
        with torch.no_grad():
            made = aten(step.target)(**arguments)
        if isinstance(made, (list, tuple)):
            made = made[step.position]
        assert isinstance(made, torch.Tensor)
        counted = step.macs
        if counted is None:
            counted = executed_macs(step.target, arguments, made)
        self.macs[step.layer] = counted
        return picked(step, made)

    def _resolved(self, step: Step) -> dict[str, Any]:
        def leaf(item: Any) -> Any:
            if not isinstance(item, Ref):
                return item
            if item.operand is not None:
                return self._own[item.operand]
            return self._weights[f"{step.layer}/{item.weight}"]

        return {key: replaced(value, leaf) for key, value in step.arguments.items()}

    def _gathered(self, operand: Operand) -> torch.Tensor:
        found = [
            self.values[name] if name in self.values else self._weights[name]
            for name in operand.sources
        ]
        return assemble(operand, found)

    def _keep(self, step: Step, made: torch.Tensor) -> None:
        self.values[step.layer] = made.reshape(step.shape)


def _part(layer: str, teller: str) -> str:
    return f"{layer}/part of {teller}"


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
