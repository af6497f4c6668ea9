"""One node's part of one layer, while it is being cut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from planner.domain.layer_profile import LayerProfile
from planner.domain.owners import REPLICATED
from planner.errors import BadInputError, InconsistentResultError
from planner.runtime.cutting.regions import (
    Holdings,
    Positions,
    Region,
    Sets,
    box_positions,
    everything,
)
from planner.runtime.cutting.transfers import Transfer
from planner.runtime.reading.template import Template
from planner.runtime.running.records import Operand, Ref
from planner.weights.masks import LayerMask

Source = tuple[str, Positions]
"""A stored tensor or message and the positions of its elements."""


@dataclass(frozen=True, eq=False)
class LayerOnGroup:
    """A layer with what its nodes hold and receive.

    Attributes
    ----------
    layer : LayerProfile
    template : Template
    holdings : Holdings
    group : tuple of str
        Names of the nodes.
    received : dict of tuple to list of tuple
        (tensor, node): messages that the node can read when the layer runs, with the transfer
        that each of them is.
    mask : LayerMask or None
        What a mixing layer reads.
    """

    layer: LayerProfile
    template: Template
    holdings: Holdings
    group: tuple[str, ...]
    received: dict[tuple[str, int], list[tuple[str, Transfer]]]
    mask: LayerMask | None

    @property
    def where(self) -> str:
        """For messages."""
        return f"layer {self.layer.name!r} ({self.layer.op})"

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a whole tensor."""
        return self.holdings.tensors[name].shape

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        """Of the layer's whole output."""
        return self.shape(self.layer.name)

    def unknown(self, why: str) -> BadInputError:
        """The refusal of an operator."""
        return BadInputError(
            f"{self.where}: the runtime cannot run {self.template.target} in slices: {why}"
        )


@dataclass(eq=False)
class Work:
    """Operands, weights and the operator of one node's part, as they are found.

    Attributes
    ----------
    view : LayerOnGroup
    node : int
        Position in the group.
    """

    view: LayerOnGroup
    node: int
    operands: list[Operand] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    @cached_property
    def out(self) -> Region:
        """What the node makes."""
        return self.view.holdings.held(self.view.layer.name, self.node)

    @property
    def box(self) -> Sets:
        """The index sets of what the node makes.

        Raises
        ------
        BadInputError
            It is no product of index sets.
        """
        if self.out.box is None:
            raise self.view.unknown(f"{self.view.group[self.node]!r} makes no whole rows of it")
        return self.out.box

    @property
    def template(self) -> Template:
        """What the layer computes."""
        return self.view.template

    def sources(self, name: str) -> list[Source]:
        """What the node can read of a tensor: what it holds, then every message."""
        holdings = self.view.holdings
        if name not in self.view.layer.inputs:
            return []
        held = [(name, holdings.held(name, self.node).positions)]
        return held + [
            (message, holdings.features_at(name, item.features))
            for message, item in self.view.received.get((name, self.node), [])
        ]

    def features(self, name: str) -> NDArray[np.int64]:
        """Features of a mixing layer's input that the node's outputs read, ascending."""
        owners, mask = self.view.holdings.owners[name], self.view.mask
        reads = (owners == self.node) | (owners == REPLICATED)
        for of_sender in mask.sent if mask else ():
            reads[of_sender[self.node]] = True
        return np.flatnonzero(reads).astype(np.int64)

    def reads_all(self) -> bool:
        """Whether it can read all elements of all operands."""
        return all(
            sum(len(p) for _, p in self.sources(name)) >= prod(self.view.shape(name))
            for name in self.template.slots
        )

    def take(self, name: str, sets: Sets | None = None) -> Ref:
        """The box of a tensor with these indices; the whole tensor by default."""
        shape = self.view.shape(name)
        sets = everything(shape) if sets is None else sets
        return self.gather([name], box_positions(shape, sets), tuple(len(s) for s in sets))

    def gather(
        self,
        names: Sequence[str],
        positions: Positions,
        shape: tuple[int, ...],
        constants: dict[str, torch.Tensor] | None = None,
    ) -> Ref:
        """Elements of tensors whose flattened elements are numbered one behind the other.

        Parameters
        ----------
        names : sequence of str
            Of the tensors, and of the constants, in the order of the numbers.
        positions : int array
            Numbers of the elements, in the order of the result.
        shape : tuple of int
        constants : dict of str to tensor, optional
            By name; they become weights of the node, cut to what it takes of them.

        Raises
        ------
        InconsistentResultError
            The node neither holds nor receives one of them: cost model and graph disagree.
        """
        numbers, keys, start = [], [], 0
        for name in names:
            if constants and name in constants:
                size = constants[name].numel()
                used = np.unique(positions[(positions >= start) & (positions < start + size)])
                if len(used):
                    flat = constants[name].reshape(-1)
                    self.weights[name] = flat[torch.from_numpy(used - start)].clone()
                    numbers.append(used)
                    keys.append(self.own(name))
            else:
                size = prod(self.view.shape(name))
                used = positions[(positions >= start) & (positions < start + size)]
                for key, found in self.sources(name) if len(used) else []:
                    if len(found):
                        numbers.append(found + start)
                        keys.append(key)
            start += size
        stored = np.concatenate(numbers) if numbers else np.array([], dtype=np.int64)
        index = None
        if not np.array_equal(stored, positions):
            index = torch.from_numpy(self._places(stored, positions, names[0]))
        self.operands.append(Operand(tuple(keys), index, shape))
        return Ref(operand=len(self.operands) - 1)

    def _places(self, stored: Positions, wanted: Positions, name: str) -> Positions:
        order = np.argsort(stored, kind="stable")
        places = np.searchsorted(stored, wanted, sorter=order)
        inside = places < len(stored)
        found = np.zeros(len(wanted), dtype=np.bool_)
        found[inside] = stored[order[places[inside]]] == wanted[inside]
        if not found.all():
            raise InconsistentResultError(
                f"{self.view.where}: node {self.view.group[self.node]!r} needs elements of "
                f"{name!r} that the cost model neither leaves there nor sends there"
            )
        taken: Positions = order[places]
        return taken

    def own(self, name: str) -> str:
        """What a weight is called among the node's tensors."""
        return f"{self.view.layer.name}/{name}"

    def weight(self, name: str, value: torch.Tensor | None) -> Ref | None:
        """Keep a tensor as the node's own; None where there is none."""
        if value is None:
            return None
        self.weights[name] = value.clone(memory_format=torch.contiguous_format)
        return Ref(weight=name)


def cut(value: torch.Tensor, sets: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    """The entries of a tensor that broadcasts with a whole one, at the whole one's indices.

    Parameters
    ----------
    value : tensor
        Its last dimensions belong to the last index sets; those of size 1 stay.
    sets : sequence of int arrays
    """
    for axis in range(value.dim()):
        indices = sets[len(sets) - value.dim() + axis]
        if value.shape[axis] > 1:
            value = value.index_select(axis, torch.from_numpy(np.ascontiguousarray(indices)))
    return value


def broadcast_sets(shape: tuple[int, ...], sets: Sets) -> Sets:
    """The index sets of an operand that broadcasts to a box."""
    found = []
    for axis, size in enumerate(shape):
        indices = sets[len(sets) - len(shape) + axis]
        found.append(indices if size > 1 else np.zeros(min(len(indices), 1), dtype=np.int64))
    return tuple(found)


Finding = tuple[str, Any, dict[str, Any]]
"""Kernel, target and arguments of a node's part."""
