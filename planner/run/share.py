"""What one node needs for a run: its program, and what all know of the ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from planner.run.messages import Ends
from planner.runtime.running.program import Form, Program
from planner.runtime.running.times import LayerTime
from planner.runtime.running.traffic import Traffic


@dataclass(frozen=True, eq=False)
class Share:
    """A node's.

    Attributes
    ----------
    model : str
    program : Program
    nodes : tuple of str
        All that take part.
    source : str
        The node that reads the inputs and takes the outputs in: the first that holds inputs.
    reads : dict of str to tuple of str
        By node, model inputs that it needs.
    inputs : dict of str to Form
        Of the model.
    outputs : dict of str to tuple of int
        Shapes of the model's outputs, in order.
    parts : dict of str to dict of str to Form
        By output and node, the part that the node holds at the end.
    positions : dict of str to tensor
        Where in an output this node's part lies.
    stretches : tuple of str
        Layers, conversions and changes of group in the order of a run.
    predicted : Traffic
    times : dict of str to LayerTime
    plan_digest : str
    slices_digest : str
        The same for all nodes of one folder.
    """

    model: str
    program: Program
    nodes: tuple[str, ...]
    source: str
    reads: dict[str, tuple[str, ...]]
    inputs: dict[str, Form]
    outputs: dict[str, tuple[int, ...]]
    parts: dict[str, dict[str, Form]]
    positions: dict[str, torch.Tensor]
    stretches: tuple[str, ...]
    predicted: Traffic
    times: dict[str, LayerTime]
    plan_digest: str
    slices_digest: str

    @property
    def node(self) -> str:
        """Whose it is."""
        return self.program.node

    def ends(self, *, in_step: bool) -> Ends:
        """Who holds what where a run begins and ends."""
        return Ends(self.source, self.reads, self.inputs, self.parts, in_step)
