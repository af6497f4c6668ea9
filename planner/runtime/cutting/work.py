"""One node's part of one layer, while it is being cut out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import Layout, Way
from planner.domain.owners import REPLICATED
from planner.errors import BadInputError, InconsistentResultError
from planner.runtime.cutting.gathering import Source, gathered
from planner.runtime.cutting.holdings import Holdings
from planner.runtime.cutting.regions import Positions, Region, Sets, box_positions, everything
from planner.runtime.cutting.stock import Stored
from planner.runtime.cutting.transfers import Transfer
from planner.runtime.reading.template import Template
from planner.runtime.running.extents import Extent
from planner.runtime.running.records import Operand, Pattern, Ref
from planner.weights.masks import LayerMask


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
    way : Way
    reads : mapping of str to (Stored, Layout)
        Each input: as it is stored, and as the way reads it.
    makes : tuple of Extent
        What every node makes of the output.
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
    way: Way
    reads: Mapping[str, tuple[Stored, Layout]]
    makes: tuple[Extent, ...]
    received: dict[tuple[str, int], list[tuple[str, Transfer]]]
    mask: LayerMask | None

    @property
    def where(self) -> str:
        """For messages."""
        return f"layer {self.layer.name!r} ({self.layer.op})"

    @property
    def tells(self) -> bool:
        """Whether nodes may tell each other partial results in this way."""
        layer = self.layer
        if self.way in ("positions", "samples"):
            geometry = layer.positions if self.way == "positions" else layer.samples
            return geometry is not None and geometry.statistics_bytes > 0
        return self.way == "features"

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
    picks, macs
        As a `planner.runtime.running.records.Step` has them.
    """

    view: LayerOnGroup
    node: int
    operands: list[Operand] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    picks: Pattern | None = None
    macs: int | None = None

    @cached_property
    def out(self) -> Region:
        """What the node makes."""
        return self.view.holdings.region(self.view.layer.name, self.view.makes[self.node])

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
        stored, layout = self.view.reads[name]
        places = holdings.region(name, stored.extents[self.node]).positions
        if stored.layout == "whole" and (layout == "features" or self.view.way == "sums"):
            # its own alone: others are sent, as the cost model counts, or added by other nodes
            mine = holdings.region(name, holdings.held(name, layout, self.node)).positions
            if len(mine) != len(places):
                places = np.where(np.isin(places, mine), places, -1)
        return [(stored.key, places)] + [
            (message, holdings.region(name, item.extent).positions)
            for message, item in self.view.received.get((name, self.node), [])
        ]

    def features(self, name: str) -> NDArray[np.int64]:
        """Features of a mixing layer's input that the node's outputs read.

        As they come, its own first and those of every message behind them: the columns of its
        weight can stand in any order, and so what it reads is put together in no other.
        """
        owners, mask = self.view.holdings.owners[name], self.view.mask
        if self.view.way == "sums":
            mine = (owners == self.node) | ((owners == REPLICATED) & (self.node == 0))
            return np.flatnonzero(mine).astype(np.int64)
        if self.view.way != "features":
            return np.arange(len(owners), dtype=np.int64)
        reads = (owners == self.node) | (owners == REPLICATED)
        for of_sender in mask.sent if mask else ():
            reads[of_sender[self.node]] = True
        numbers = self.view.holdings.numbers(name).reshape(-1)
        come = [numbers[places[places >= 0]] for _, places in self.sources(name)]
        found, first = np.unique(np.concatenate(come), return_index=True)
        in_order = found[np.argsort(first)]
        rest = np.setdiff1d(np.flatnonzero(reads), found)  # what nobody sent is missed when taken
        return np.concatenate([in_order[reads[in_order]], rest]).astype(np.int64)

    @property
    def adds_bias(self) -> bool:
        """Whether the node's part is the one with the bias."""
        return self.view.way != "sums" or self.node == 0

    def makes_part_of(self, axes: Iterable[int]) -> bool:
        """Whether these dimensions are made in parts, of what some of the input's entries give.

        Also a node with all of an output's positions has no more of the input than these need.
        """
        cut = (len(self.box[axis]) != self.view.out_shape[axis] for axis in axes)
        return self.view.way == "positions" or any(cut)

    def reads_all(self) -> bool:
        """Whether it can read all elements of all operands."""
        return all(self._reads_all_of(name) for name in self.template.slots)

    def _reads_all_of(self, name: str) -> bool:
        there = np.zeros(prod(self.view.shape(name)), dtype=np.bool_)
        for _, places in self.sources(name):
            there[places[places >= 0]] = True
        return bool(there.all())

    def take(
        self,
        name: str,
        sets: Sets | None = None,
        shape: tuple[int, ...] | None = None,
        fill: float | None = None,
    ) -> Ref:
        """The box of a tensor with these indices; the whole tensor by default.

        Parameters
        ----------
        name : str
        sets : Sets, optional
            Indices of −1 stand for padding.
        shape : tuple of int, optional
            Another shape for the box.
        fill : float, optional
            What padding is.
        """
        whole = self.view.shape(name)
        sets = everything(whole) if sets is None else sets
        positions = box_positions(whole, tuple(np.maximum(s, 0) for s in sets))
        shape = tuple(len(s) for s in sets) if shape is None else shape
        if fill is not None:
            padded = np.zeros((), dtype=np.bool_)
            for indices in sets:
                padded = padded[..., None] | (indices < 0)
            positions = np.where(padded.reshape(-1), -1, positions)
        return self.gather([name], positions, shape, fill=fill)

    def take_known(self, name: str, fill: float) -> Ref:
        """A whole tensor with ``fill`` in place of what the node cannot read."""
        shape = self.view.shape(name)
        places = np.full(prod(shape), -1, dtype=np.int64)
        for _, found in self.sources(name):
            known = found[found >= 0]
            places[known] = known
        return self.gather([name], places, shape, fill=fill)

    def gather(
        self,
        names: Sequence[str],
        positions: Positions,
        shape: tuple[int, ...],
        constants: dict[str, torch.Tensor] | None = None,
        fill: float | None = None,
    ) -> Ref:
        """Elements of tensors whose flattened elements are numbered one behind the other.

        Parameters
        ----------
        names : sequence of str
            Of the tensors, and of the constants, in the order of the numbers.
        positions : int array
            Numbers of the elements, in the order of the result; −1 where ``fill`` stands.
        shape : tuple of int
        constants : dict of str to tensor, optional
            By name; they become weights of the node, cut to what it takes of them.
        fill : float, optional

        Raises
        ------
        InconsistentResultError
            The node neither holds nor receives one of them: cost model and graph disagree.
        """
        sources: list[Source] = []
        start = 0
        for name in names:
            if constants and name in constants:
                size = constants[name].numel()
                used = np.unique(positions[(positions >= start) & (positions < start + size)])
                if len(used):
                    flat = constants[name].reshape(-1)
                    self.weights[name] = flat[torch.from_numpy(used - start)].clone()
                    sources.append((self.own(name), used))
            else:
                size = prod(self.view.shape(name))
                sources += [
                    (key, np.where(found < 0, -1, found + start))
                    for key, found in self.sources(name)
                ]
            start += size
        if fill is not None and (positions < 0).all():
            nothing = self.template.constant_of(np.full(1, fill))
            self.weight("padding", nothing)
            sources = [(self.own("padding"), np.zeros(1, dtype=np.int64))]
            positions = np.zeros_like(positions)
        alone = len(names) == 1 and names[0] not in (constants or {})
        whole = self.view.shape(names[0]) if alone else None
        operand = gathered(sources, positions, shape, fill, whole)
        if operand is None:
            raise InconsistentResultError(
                f"{self.view.where}: node {self.view.group[self.node]!r} needs elements of "
                f"{names[0]!r} that the cost model neither leaves there nor sends there"
            )
        self.operands.append(operand)
        return Ref(operand=len(self.operands) - 1)

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
