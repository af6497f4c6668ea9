"""A stage's layers one after another, each in its way: who holds what, what is sent and stored.

What a tensor lies in is followed from layer to layer (docs/model.md, eq. 31 to 38). A plan whose
layers all gather features needs none of this: `planner.cost.layers` has all its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.exchange import (
    Exchanged,
    Links,
    bytes_on_wire,
    time_exchange,
    whole_on_wire,
)
from planner.cost.layouts import Bytes, GroupLayouts, Messages
from planner.cost.overlap import layer_s
from planner.cost.table import CostTable
from planner.cost.ways import MADE_IN, NeededPositions, Work, layouts_read, work_of
from planner.cost.work import work_s
from planner.domain.cluster import Cluster
from planner.domain.layouts import WHOLE, Holding, Layout, Way, holds, joined, settled
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.positions import Geometry, Mask
from planner.domain.settings import CostSettings
from planner.errors import BadInputError


@dataclass(frozen=True)
class Step:
    """One layer of a stage on its group.

    Attributes
    ----------
    row : int
    way : Way
    conversions : tuple of Messages
        One exchange each, before the layer.
    work : Work or None
        None where the layer gathers features: the cost table has it.
    held_bytes : int array, shape (n,)
        Of all live tensors, with what the layer makes and, for a while, the parts of sums.
    """

    row: int
    way: Way
    conversions: tuple[Messages, ...]
    work: Work | None
    held_bytes: Bytes


def in_ways(stage: StagePlan) -> bool:
    """Whether anything on a stage's nodes lies otherwise than by features."""
    return bool(stage.arrives) or any(
        layer.way not in (None, "features") or layer.conversions for layer in stage.layers
    )


def follow_steps(
    on: GroupLayouts,
    layers: Sequence[LayerPlan],
    first: int,
    arrives: Mapping[str, Layout],
) -> tuple[list[Step], dict[str, Holding]]:
    """The steps of a stage, and in which layouts the live tensors lie behind it.

    Parameters
    ----------
    on : GroupLayouts
    layers : sequence of LayerPlan
    first : int
        Row of the first of them.
    arrives : mapping of str to Layout
        Of the live tensors that the group before hands over; by features where it is not said.

    Raises
    ------
    BadInputError
        A layer cannot run in its way, or what it reads does not lie as it must; names the layer.
    """
    walk = _Walk(on, first, arrives)
    steps = [walk.step(first + offset, plan, layers[offset:]) for offset, plan in enumerate(layers)]
    return steps, walk.holdings


class _Walk:
    def __init__(self, on: GroupLayouts, first: int, arrives: Mapping[str, Layout]) -> None:
        self._on = on
        self.holdings: dict[str, Holding] = {spec.name: WHOLE for spec in on.profile.inputs}
        for layer in on.profile.layers[:first]:
            self.holdings[layer.name] = frozenset((arrives.get(layer.name, "features"),))
        self._free(first - 1)
        self._run: NeededPositions | None = None
        self._entered = False
        self._run_buffers = np.zeros(on.nodes, dtype=np.int64)

    def _free(self, row: int) -> None:
        """Forget what no layer behind this one reads."""
        for name in [name for name in self.holdings if 0 <= self._on.last[name] <= row]:
            del self.holdings[name]

    def step(self, row: int, plan: LayerPlan, behind: Sequence[LayerPlan]) -> Step:
        on = self._on
        layer = on.profile.layers[row]
        way: Way = plan.way or "features"
        conversions, buffers = self._convert(plan)
        reads = layouts_read(layer, way)
        if reads is None:
            raise BadInputError(f"layer {plan.name!r}: cannot run in the way {way!r}")
        needs = self._fused(row, plan, behind)
        found: list[Layout] = []
        for name, layout in zip(layer.inputs, reads, strict=True):
            holding = self.holdings[name]
            if not on.can_lie(name, layout):
                layout = "whole"
            if not holds(holding, layout):
                raise BadInputError(
                    f"layer {plan.name!r}: reads {name!r} as {layout!r}, but it lies as "
                    f"{' and '.join(sorted(holding))}"
                )
            found.append("whole" if "whole" in holding else layout)
        made_in = MADE_IN[way]
        if plan.layout not in (None, made_in):
            raise BadInputError(
                f"layer {plan.name!r}: layout: found {plan.layout!r}; the way {way!r} makes "
                f"{made_in!r}"
            )
        work: Work | None = None
        if way not in ("features", "outputs"):
            work = work_of(on, row, way, found, needs)
            if work is None:
                raise BadInputError(f"layer {plan.name!r}: cannot run in the way {way!r} here")
        output = on.held_bytes(layer.name, made_in) if work is None else work.output_bytes
        kept = self._run_buffers  # of the layers before: what arrives now is counted as received
        if needs is not None and work is not None:
            exchange = self._enter_run(row, plan, behind, needs)
            work = replace(work, exchange=work.exchange + exchange)
        held = self._held()
        in_place = on.writes_in_place(row, self.holdings[layer.inputs[0]], made_in)
        total = held + buffers + kept + (0 if in_place else output)
        for name in layer.inputs:
            self.holdings[name] = settled(self.holdings[name])
        self.holdings[layer.name] = frozenset((made_in,))
        self._free(row)
        if self._run is not None and plan.name == plan.until:
            self._run, self._run_buffers = None, np.zeros(on.nodes, dtype=np.int64)
        return Step(row, way, tuple(conversions), work, total)

    def _held(self) -> Bytes:
        """Bytes of all live tensors in all their layouts."""
        total = np.zeros(self._on.nodes, dtype=np.int64)
        for name, holding in self.holdings.items():
            made = self._run.made.get(name) if self._run else None
            for layout in holding:
                if made is not None and self._run and layout == self._run.axis:
                    total = total + self._on.bytes_of(name, layout, made)
                else:
                    total = total + self._on.held_bytes(name, layout)
        return total

    def _convert(self, plan: LayerPlan) -> tuple[list[Messages], Bytes]:
        """Carry out the conversions before a layer; what they send, and buffers for sums."""
        messages: list[Messages] = []
        buffers = np.zeros(self._on.nodes, dtype=np.int64)
        for item in plan.conversions:
            holding = self.holdings.get(item.tensor, frozenset())
            found = None
            if item.source in holding:
                found = self._on.conversion(item.tensor, item.source, item.target)
            if found is None:
                raise BadInputError(
                    f"layer {plan.name!r}: conversions: {item.tensor!r} cannot be brought from "
                    f"{item.source!r} to {item.target!r}"
                )
            if item.source == "sums":
                buffers = buffers + self._on.adding_bytes(item.tensor, item.target)
            self.holdings[item.tensor] = joined(holding, item.target)
            messages.append(found)
        return messages, buffers

    def _fused(
        self, row: int, plan: LayerPlan, behind: Sequence[LayerPlan]
    ) -> NeededPositions | None:
        """The run of fused halos that a layer belongs to; begins it at its first layer."""
        if plan.until is None:
            if self._run is not None:
                raise BadInputError(f"layer {plan.name!r}: until: is inside of a run of halos")
            return None
        if self._run is None:
            run = [item for item in behind if item.until == plan.until]
            layers = self._on.profile.layers[row : row + len(run)]
            names = [layer.name for layer in layers]
            if names[-1] != plan.until or any(item.way != plan.way for item in run):
                raise BadInputError(
                    f"layer {plan.name!r}: until: the layers up to {plan.until!r} are no run of "
                    f"one way"
                )
            self._run = needed_in_run(self._on, row, row + len(run), MADE_IN[plan.way or "whole"])
            self._entered = False
        return self._run

    def _enter_run(
        self,
        row: int,
        plan: LayerPlan,
        behind: Sequence[LayerPlan],
        needs: NeededPositions,
    ) -> Messages:
        """The one exchange of a run: all positions that its layers need from outside."""
        if self._entered:
            return Messages.none(self._on.nodes)
        self._entered = True
        stop = row + sum(item.until == plan.until for item in behind)
        lying = {n for n, holding in self.holdings.items() if "whole" not in holding}
        found = halo_of_run(self._on, row, stop, needs, lying)
        self._run_buffers = found.pairs.sum(axis=0)
        return found


def needed_in_run(on: GroupLayouts, start: int, stop: int, axis: Layout) -> NeededPositions:
    """Which positions every node makes of each tensor of a run, from its last layer back.

    A node makes its own share of what is read behind the run, and what the run's later layers
    need of the earlier ones (docs/model.md, eq. 38).

    Raises
    ------
    BadInputError
        A layer of the run is not made by positions.
    """
    key = "needed in run", start, stop, axis
    return NeededPositions(axis, on.once(key, lambda: _needed_in_run(on, start, stop, axis)))


def _needed_in_run(on: GroupLayouts, start: int, stop: int, axis: Layout) -> dict[str, Mask]:
    profile = on.profile
    last = on.last
    made: dict[str, Mask] = {}
    layers = profile.layers[start:stop]
    for layer in layers:
        count = on.count(layer.name, axis)
        told: Geometry | None = getattr(layer, axis)
        if not count or told is None:
            raise BadInputError(f"layer {layer.name!r}: is not made by {axis}")
        if told.statistics_bytes:  # positions made twice would count twice
            raise BadInputError(
                f"layer {layer.name!r}: is no part of a run of halos: its nodes tell each other "
                "their statistics"
            )
        outside = last[layer.name] >= stop or layer is layers[-1]
        own = on.mask(count)
        made[layer.name] = own if outside else np.zeros_like(own)
    for layer in reversed(layers):
        geometry: Geometry = getattr(layer, axis)
        for source, name in enumerate(layer.inputs):
            if name in made and geometry.reads[source] is not None:
                made[name] = made[name] | on.needed(geometry, source, name, made[layer.name], axis)
            elif name in made:
                raise BadInputError(
                    f"layer {layer.name!r}: reads all of {name!r}, which the run makes in parts"
                )
    return made


def halo_of_run(
    on: GroupLayouts, start: int, stop: int, needs: NeededPositions, lying: set[str]
) -> Messages:
    """What a run of fused halos sends at its beginning.

    Parameters
    ----------
    lying : set of str
        Tensors that are not held whole.
    """
    key = "halo of run", start, stop, needs.axis, frozenset(lying)
    return on.once(key, lambda: _halo_of_run(on, start, stop, needs, lying))


def _halo_of_run(
    on: GroupLayouts, start: int, stop: int, needs: NeededPositions, lying: set[str]
) -> Messages:
    axis = needs.axis
    needed: dict[str, Mask] = {}
    for layer in on.profile.layers[start:stop]:
        geometry: Geometry = getattr(layer, axis)
        for source, name in enumerate(layer.inputs):
            if name in needs.made or name not in lying or geometry.reads[source] is None:
                continue
            mine = on.needed(geometry, source, name, needs.made[layer.name], axis)
            needed[name] = needed[name] | mine if name in needed else mine
    total = Messages.none(on.nodes)
    for name, mask in needed.items():
        total += on.halo(name, axis, mask)
    return total


@dataclass(frozen=True)
class Seconds:
    """Times of M exchanges on the links of a group.

    Attributes
    ----------
    exchanged : Exchanged
        Arrays of shape (M,) and (M, n).
    sent, received : int array, shape (M, n)
        Bytes on the wire, and bytes of what arrives: as wide as they are computed.
    """

    exchanged: Exchanged
    sent: Bytes
    received: Bytes

    @classmethod
    def of(cls, messages: Sequence[Messages], links: Links) -> Seconds:
        """Time some exchanges; layers that are alike have the same ones, timed once."""
        numbers: dict[tuple[bytes, ...], int] = {}
        distinct: list[Messages] = []
        which = []
        for item in messages:
            key = tuple(part.tobytes() for part in (item.selected, item.moved, item.added))
            if key not in numbers:
                numbers[key] = len(distinct)
                distinct.append(item)
            which.append(numbers[key])
        nodes = links.pair_latency_s.shape[-1]
        shape = (len(distinct), nodes, nodes)
        selected, moved, added = (
            np.array([getattr(item, part) for item in distinct], dtype=np.int64).reshape(shape)
            for part in ("selected", "moved", "added")
        )
        sent, received = bytes_on_wire(selected, moved + added, links.casting)
        exchanged = time_exchange(selected, moved, links, added)
        return cls(exchanged.at(which), whole_on_wire(sent, links)[which], received[which])


def cost_steps(
    on: GroupLayouts,
    group: Cluster,
    settings: CostSettings,
    table: CostTable,
    steps: Sequence[Step],
) -> CostTable:
    """The cost table of one option with these steps in place of its rows.

    Parameters
    ----------
    on : GroupLayouts
    group : Cluster
        Every node takes part.
    settings : CostSettings
    table : CostTable
        Of the same group with one option, in which all layers gather features: the counts of
        those that do, all features for the others.
    steps : sequence of Step
    """
    links = Links.of(group, settings, element_bytes=on.profile.element_bytes)
    changed = {
        name: getattr(table, name).copy()
        for name in (
            "macs", "weight_bytes", "live_bytes", "sent_bytes", "node_comm_s", "node_compute_s",
            "comm_s", "compute_s", "latency_s", "wire_s", "software_s", "medium_s",
        )
    }  # fmt: skip
    nothing = Messages.none(on.nodes)
    own = [nothing if step.work is None else step.work.exchange for step in steps]
    # per step its own exchange, and those of its conversions
    starts = np.cumsum([0, *(1 + len(step.conversions) for step in steps)])
    messages = [
        each for first, step in zip(own, steps, strict=True) for each in (first, *step.conversions)
    ]
    times = Seconds.of(messages, links)
    for step, (start, stop) in zip(steps, pairwise(starts), strict=True):
        at = step.row, 0
        received = times.received[start]
        keeps = step.way == "features"
        if keeps:
            received = table.received_bytes[at]
        for name, values in (
            ("comm_s", times.exchanged.latency_s),
            ("wire_s", times.exchanged.wire_s),
            ("software_s", times.exchanged.software_s),
            ("medium_s", times.exchanged.medium_s),
            ("node_comm_s", times.exchanged.node_s),
            ("sent_bytes", times.sent),
        ):
            here = values[start:stop].sum(axis=0)
            changed[name][at] = here + (changed[name][at] if keeps else 0)
        changed["live_bytes"][at] = step.held_bytes + received
    _count_work(on, group, steps, changed)
    changed["latency_s"] = layer_s(
        changed["comm_s"], changed["software_s"], changed["compute_s"], settings.overlap
    )
    return replace(table, **changed)


def _count_work(
    on: GroupLayouts, group: Cluster, steps: Sequence[Step], changed: dict[str, NDArray[Any]]
) -> None:
    """Put the work of the steps that have one into a table's columns."""
    found = [(step.row, step.work) for step in steps if step.work is not None]
    if not found:
        return
    rows = [row for row, _ in found]
    macs, touched, share = (
        np.stack([getattr(work, name) for _, work in found])
        for name in ("macs", "touched_bytes", "share")
    )
    seconds = work_s([on.profile.layers[row] for row in rows], group.nodes, macs, touched, share)
    changed["macs"][rows, 0] = macs
    changed["weight_bytes"][rows, 0] = np.stack([work.weight_bytes for _, work in found])
    changed["node_compute_s"][rows, 0] = seconds
    changed["compute_s"][rows, 0] = seconds.max(axis=-1)
