"""Some tasks in a row as a module of torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from planner.runtime.compiling.tasks import Task


class Segment(torch.nn.Module):
    """Everything that a node computes between two exchanges.

    Parameters
    ----------
    tasks : sequence of Task
    reads, makes : sequences of str
        Values that it is called with, and those that it returns, in order.
    """

    def __init__(self, tasks: Sequence[Task], reads: Sequence[str], makes: Sequence[str]) -> None:
        super().__init__()
        self.tasks, self.reads, self.makes = tuple(tasks), tuple(reads), tuple(makes)
        self._names: dict[str, str] = {}
        for task in tasks:
            for name, value in task.weights.items():
                if name not in self._names:
                    self._names[name] = f"weight{len(self._names)}"
                    self.register_buffer(self._names[name], value.detach())

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What it makes of what it reads."""
        values = dict(zip(self.reads, given, strict=True))
        weights = {name: getattr(self, buffer) for name, buffer in self._names.items()}
        for task in self.tasks:
            values[task.makes] = task(values, weights)
        return tuple(values[name].contiguous() for name in self.makes)
