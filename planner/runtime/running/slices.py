"""All nodes' slices of a model, run in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import torch

from planner.errors import BadInputError
from planner.runtime.running.node import Node
from planner.runtime.running.times import LayerTime
from planner.runtime.running.traffic import Traffic, check_equal
from planner.runtime.running.transport import InProcess, Transport
from planner.weights.masks import LayerMask


@dataclass(frozen=True)
class Stretch:
    """A layer, or a part of a change of group, and the nodes that take part in it."""

    name: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """Where in a whole output the elements of one node's part are: int tensor, ascending."""

    node: str
    positions: torch.Tensor


@dataclass(frozen=True, eq=False)
class OutputForm:
    """Shape of a model output, the parts it is put together from, what nodes store it under."""

    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    stored: str

    def whole(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The output, put together from what each node stores of it."""
        first = values[self.parts[0].node]
        made = torch.empty(prod(self.shape), dtype=first.dtype)
        for part in self.parts:
            made[part.positions] = values[part.node].reshape(-1)
        return made.reshape(self.shape)


@dataclass(frozen=True, eq=False)
class RunResult:
    """One run.

    Attributes
    ----------
    outputs : tuple of tensors
        Those of the profile's ``outputs``, in order.
    traffic : Traffic
        Bytes that passed and MACs that were executed.
    """

    outputs: tuple[torch.Tensor, ...]
    traffic: Traffic


@dataclass(frozen=True, eq=False)
class Slices:
    """A sliced model.

    Attributes
    ----------
    model : str
    inputs : dict of str to (shape, type)
    outputs : dict of str to OutputForm
        Every tensor once.
    output_names : tuple of str
        In the model's order.
    input_nodes : tuple of str
        Nodes that hold the model's inputs.
    stretches : tuple of Stretch
        In the order of their run.
    nodes : dict of str to Node
    predicted : Traffic
        The cost model's word.
    masks : tuple of LayerMask
        The sub-rows that stay; none where the slices were read from files.
    plan_digest : str
        Of the plan that they were cut for (`Plan.digest`).
    times : dict of str to LayerTime
        The cost model's word on every layer and change of group.
    """

    model: str
    inputs: dict[str, tuple[tuple[int, ...], str]]
    outputs: dict[str, OutputForm]
    output_names: tuple[str, ...]
    input_nodes: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    nodes: dict[str, Node]
    predicted: Traffic
    masks: tuple[LayerMask, ...] = ()
    plan_digest: str = ""
    times: dict[str, LayerTime] = field(default_factory=dict)

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The model's output, or outputs."""
        outputs = self.run(*inputs).outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def run(self, *inputs: torch.Tensor) -> RunResult:
        """Run all nodes, layer by layer.

        Parameters
        ----------
        *inputs : tensors
            In the profile's order, of the shapes and types that were traced.

        Raises
        ------
        BadInputError
            An input has another shape or type, or there are too few or too many.
        InconsistentResultError
            A layer's bytes or MACs are not what the cost model counts.
        """
        transport = InProcess()
        self.start(*inputs)
        for stretch in self.stretches:
            self.advance(stretch, transport)
        traffic = Traffic(transport.sent_bytes, transport.wire_bytes)
        for stretch in self.stretches:
            for name in stretch.nodes:
                macs = self.nodes[name].macs.get(stretch.name, 0)
                traffic.add_macs(stretch.name, name, macs)
        check_equal(self.predicted, traffic)
        made = {name: self._collected(name) for name in self.outputs}
        return RunResult(tuple(made[name] for name in self.output_names), traffic)

    def start(self, *inputs: torch.Tensor) -> None:
        """Give the inputs to the nodes that hold them; raises as `run`."""
        values = self.checked(inputs)
        for name, node in self.nodes.items():
            node.start(values if name in self.input_nodes else {})

    def advance(self, stretch: Stretch, transport: Transport) -> None:
        """Let its nodes run a stretch: all send, all take in and tell, all finish."""
        group = [self.nodes[name] for name in stretch.nodes]
        for node in group:
            node.send(stretch.name, transport)
        for node in group:
            node.begin(stretch.name, transport)
        for node in group:
            node.finish(stretch.name, transport)

    def checked(self, inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """The inputs by name; raises as `run`."""
        if len(inputs) != len(self.inputs):
            raise BadInputError(
                f"{self.model}: {len(inputs)} inputs are given; it has {len(self.inputs)}"
            )
        for (name, (shape, dtype)), given in zip(self.inputs.items(), inputs, strict=True):
            found = tuple(given.shape), str(given.dtype).removeprefix("torch.")
            if found != (shape, dtype):
                raise BadInputError(
                    f"{self.model}: input {name!r} has the shape {found[0]} and the type "
                    f"{found[1]}; it was traced with {shape} and {dtype}"
                )
        return dict(zip(self.inputs, inputs, strict=True))

    def _collected(self, name: str) -> torch.Tensor:
        form = self.outputs[name]
        return form.whole({p.node: self.nodes[p.node].values[form.stored] for p in form.parts})
