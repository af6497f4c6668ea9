"""What has been cut out so far: every node's steps, their order, and what they will send."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from planner.runtime.reading.traced import TracedTensor
from planner.runtime.running.records import Step
from planner.runtime.running.slices import Stretch
from planner.runtime.running.traffic import Traffic


class Recording:
    """Collects the steps of all stages.

    Parameters
    ----------
    tensors : mapping of str to TracedTensor

    Attributes
    ----------
    planned : Traffic
        Bytes of all messages.
    steps : dict of str to dict of str to Step
        By node, then by stretch.
    stretches : list of Stretch
    """

    def __init__(self, tensors: Mapping[str, TracedTensor]) -> None:
        self.planned = Traffic()
        self.steps: dict[str, dict[str, Step]] = {}
        self.stretches: list[Stretch] = []
        self._tensors = tensors

    def add(self, stretch: Stretch, steps: Mapping[str, Step]) -> None:
        """What the nodes of a stretch do in it."""
        self.stretches.append(stretch)
        for node, step in steps.items():
            self.steps.setdefault(node, {})[stretch.name] = step
            for item in step.sends:
                size = prod(item.content.shape) * self._tensors[item.tensor].element_bytes
                self.planned.add_bytes(stretch.name, (node, item.receiver), size)
            for receiver in step.tells:
                size = prod(step.arguments["part_shape"])
                size *= self._tensors[step.layer].element_bytes
                self.planned.add_bytes(stretch.name, (node, receiver), size)
