"""Every source's model in the pieces of its route, as slices with one stage a worker.

A piece is the program of one stage: what it awaits comes in one message from the worker before, and
what it posts leaves in one message to the worker behind. Messages have the sizes that the slices
say, and begin with the numbers of the run and of the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.compiling.compiled import compiled
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.program import Await, Compute, Form, Post, Program
from planner.simulation.network import Network
from planner.strategies.baselines import plan_of_workers, single_node
from profiles.from_torch.saved_slices import load_share, save_slices

Tensors = dict[str, torch.Tensor]
_WHOLE = "whole"
_NUMBERS = 2
_ALIGNED = 8


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a model that one worker runs without a break.

    Attributes
    ----------
    program : Program
    receives, sends : dict of str to Form
        The values that make up the one message of either kind, in its order.
    """

    program: Program
    receives: dict[str, Form]
    sends: dict[str, Form]

    @classmethod
    def of(cls, program: Program) -> Piece:
        """A stage's program."""
        forms, actions = program.forms, program.actions
        awaited = sorted(a.message for a in actions if isinstance(a, Await))
        posted = {a.message: forms[a.value] for a in actions if isinstance(a, Post)}
        return cls(
            program,
            {name: forms[name] for name in awaited},
            {name: posted[name] for name in sorted(posted)},
        )

    def run(self, values: Mapping[str, torch.Tensor]) -> tuple[Tensors, Tensors]:
        """Compute it.

        Parameters
        ----------
        values : mapping of str to tensor
            The model's inputs, or what `receives` says.

        Returns
        -------
        (dict, dict)
            What it sends, and the model's outputs where it makes them.
        """
        known, posted = dict(values), {}
        for action in self.program.actions:
            if isinstance(action, Compute):
                made = action.module(*[known[name] for name in action.reads])
                known.update(zip(action.makes, made, strict=True))
            elif isinstance(action, Post):
                posted[action.message] = known[action.value]
        return posted, {name: known[key] for name, key in self.program.outputs.items()}


@dataclass(frozen=True)
class Letter:
    """How values lie in a message: two numbers, then one value behind the other.

    Attributes
    ----------
    forms : dict of str to Form
    """

    forms: Mapping[str, Form]

    @property
    def size_bytes(self) -> int:
        """Of the whole message."""
        return _NUMBERS * 8 + sum(_padded(form.size_bytes) for form in self.forms.values())

    def empty(self) -> torch.Tensor:
        """A message for what comes."""
        return torch.zeros(self.size_bytes, dtype=torch.uint8)

    def written(
        self, numbers: tuple[int, int], values: Mapping[str, torch.Tensor] | None
    ) -> torch.Tensor:
        """A message with two numbers, and values or none."""
        message = self.empty()
        message[: _NUMBERS * 8].view(torch.int64).copy_(torch.tensor(numbers))
        if values is not None:
            for name, place in self.values(message).items():
                place.copy_(values[name])
        return message

    @staticmethod
    def numbers(message: torch.Tensor) -> tuple[int, int]:
        """The two numbers."""
        first, second = message[: _NUMBERS * 8].view(torch.int64).tolist()
        return first, second

    def values(self, message: torch.Tensor) -> Tensors:
        """The values, where they lie."""
        found, begin = {}, _NUMBERS * 8
        for name, form in self.forms.items():
            content = message[begin : begin + form.size_bytes]
            found[name] = content.view(form.dtype).reshape(form.shape)
            begin += _padded(form.size_bytes)
        return found


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNED) * _ALIGNED


def save_pieces(traced: TracedModel, cluster: Cluster, network: Network, folder: Path) -> None:
    """Cut the whole model, and each source's route, into slices below a folder.

    Raises
    ------
    BadInputError
        A route does not begin at its source, or comes to a worker twice.
    """
    whole = single_node(Case(traced.profile, cluster))
    save_slices(slice_model(traced, whole, select=True), folder / _WHOLE)
    for source, node in enumerate(network.source_node.tolist()):
        first = cluster.model_copy(update={"source_node": network.names[node]})
        case = Case(traced.profile, first, CostSettings(count_input=True))
        names = case.names(len(network.names))
        workers = [worker for worker, _, _ in network.route(source)]
        if workers[0] != node or len(set(workers)) < len(workers):
            raise BadInputError(
                f"source {names[0]!r}: its route must begin there and come to a worker once; "
                "give it more of the model, by a smaller factor"
            )
        ranks = np.array([names.index(name) for name in network.names])
        plan = plan_of_workers(case, len(names), ranks[network.owner[0, source]], "ar-mdi")
        save_slices(slice_model(traced, plan, select=True), folder / f"route-{source}")


def load_whole(folder: Path, cluster: Cluster) -> tuple[Piece, dict[str, Form]]:
    """The whole model as one piece, and the forms of its inputs."""
    share = load_share(folder / _WHOLE, cluster.nodes[cluster.source_index].name)
    return Piece.of(compiled(share.program)), share.inputs


def load_piece(folder: Path, source: int, node: str) -> Piece:
    """A worker's piece of a source's route."""
    share = load_share(folder / f"route-{source}", node)
    return Piece.of(compiled(share.program))
