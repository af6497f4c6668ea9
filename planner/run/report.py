"""Predicted beside measured: from what all nodes say of their runs to one document.

The layers of a run are cut where nodes exchange something. A group of layers begins when the last
message of its first exchange is both ready and waited for, and ends where the next one begins; so
the groups' times add up to that of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.domain.plan import Plan
from planner.run.layers import measured_layers
from planner.run.loop import Job
from planner.run.measured import (
    BytesMeasured,
    ClockMeasured,
    GroupMeasured,
    Measured,
    MessageMeasured,
    SegmentMeasured,
    Spread,
)
from planner.run.messages import INPUTS, OUTPUTS, START
from planner.run.share import Share
from planner.run.timing import ActionDocument, NodeTimes
from planner.runtime.running.times import LayerTime
from planner.runtime.running.transport import Pair

Nanoseconds = NDArray[np.int64]
_S = 1e-9


class Runs:
    """The runs of all nodes, the first ones left out.

    Parameters
    ----------
    nodes : sequence of NodeTimes
    source : str
    readers, holders : collections of str
        Nodes that need an input, and that hold parts of outputs.
    times : mapping of str to LayerTime
        In order.
    stretches : sequence of str
        In order.
    warmup : int
    """

    def __init__(
        self,
        nodes: Sequence[NodeTimes],
        source: str,
        readers: Sequence[str],
        holders: Sequence[str],
        times: Mapping[str, LayerTime],
        stretches: Sequence[str],
        warmup: int,
    ) -> None:
        self.nodes = {item.node: item for item in nodes}
        self.times, self._warmup = times, warmup
        self._layer_of = {name: layer_of(name, times) for name in stretches}
        self.start = np.min([self.nodes[name].starts[warmup:] for name in readers], axis=0)
        ends = [self._last(self.nodes[name]) for name in holders]
        self.end = np.maximum(np.max(ends, axis=0), self.start)
        self.whole = self.nodes[source].wholes[warmup:]
        # by sender, receiver and name
        self._posted = {
            (node, action.peer, action.name): self._begins(node, place)
            for node, place, action in self._actions("post")
        }
        self._awaited = {
            (action.peer, node, action.name): self._begins(node, place)
            for node, place, action in self._actions("await")
        }
        self.groups = self._groups(stretches)

    def _last(self, node: NodeTimes) -> Nanoseconds:
        """When a node was done."""
        if not node.actions:
            return node.starts[self._warmup :]
        return node.ends[self._warmup :, -1]

    def _groups(self, stretches: Sequence[str]) -> list[tuple[str, ...]]:
        """Layers, cut before each that begins with an exchange."""
        posted = {action.stretches[0] for _, _, action in self._actions("post")}
        self._exchanges: dict[str, str] = {}  # by layer, its first exchange
        for name in stretches:
            if name in posted:
                self._exchanges.setdefault(self._layer_of[name], name)
        groups: list[list[str]] = []
        for layer in self.times:
            if layer in self._exchanges or not groups:
                groups.append([])
            groups[-1].append(layer)
        return [tuple(group) for group in groups]

    def boundaries(self) -> Nanoseconds:
        """When each group begins, and behind the last one the end; shape (G + 1, runs)."""
        found = [self.start]
        for group in self.groups[1:]:
            exchanged = [
                np.maximum(self._begins(node, place), self._awaited[node, action.peer, action.name])
                for node, place, action in self._actions("post", self._exchanges[group[0]])
            ]
            found.append(np.max(exchanged, axis=0))
        found.append(self.end)
        rising = np.maximum.accumulate(np.array(found), axis=0)
        bounds: Nanoseconds = np.minimum(rising, self.end)
        return bounds

    def longest(self, kind: str, group: Sequence[str]) -> Nanoseconds:
        """By run, what a kind of action takes in a group on the node where it takes longest."""
        sums: dict[str, Nanoseconds] = {}
        for node, place, action in self._actions(kind):
            if self._layer_of[action.stretches[0]] in group:
                sums[node] = sums.get(node, 0) + self.lasted(node, place)
        longest: Nanoseconds = np.max([*sums.values(), np.zeros_like(self.start)], axis=0)
        return longest

    def _begins(self, node: str, place: int) -> Nanoseconds:
        begins: Nanoseconds = self.nodes[node].begins[self._warmup :, place]
        return begins

    def lasted(self, node: str, place: int) -> Nanoseconds:
        """By run, what an action takes."""
        times = self.nodes[node]
        lasted: Nanoseconds = (times.ends - times.begins)[self._warmup :, place]
        return lasted

    def segments(self) -> list[SegmentMeasured]:
        """What every node computes."""
        return [
            SegmentMeasured(
                node=node,
                name=action.name,
                stretches=action.stretches,
                measured=spread(self.lasted(node, place)),
            )
            for node, place, action in self._actions("compute")
        ]

    def messages(self) -> list[MessageMeasured]:
        """Every message, from its post to where it is taken in."""
        return [
            MessageMeasured(
                sender=action.peer,
                receiver=node,
                name=action.name,
                stretch=action.stretches[0],
                size_bytes=action.size_bytes,
                took=spread(
                    self.nodes[node].ends[self._warmup :, place]
                    - self._posted[action.peer, node, action.name]
                ),
                waited=spread(self.lasted(node, place)),
            )
            for node, place, action in self._actions("await")
        ]

    def _actions(self, kind: str, stretch: str = "") -> list[tuple[str, int, ActionDocument]]:
        return [
            (name, place, action)
            for name, node in self.nodes.items()
            for place, action in enumerate(node.actions)
            if action.kind == kind and stretch in ("", action.stretches[0])
        ]


def measured_run(
    share: Share, plan: Plan, nodes: Sequence[NodeTimes], job: Job, **facts: Any
) -> Measured:
    """The document of a run.

    Parameters
    ----------
    share : Share
        The source's.
    plan : Plan
    nodes : sequence of NodeTimes
        All of them.
    job : Job
    **facts
        ``measured_at``, ``engine`` and ``threads`` of the document.
    """
    readers = [name for name, inputs in share.reads.items() if inputs] or [share.source]
    holders = list(dict.fromkeys(name for parts in share.parts.values() for name in parts))
    runs = Runs(nodes, share.source, readers, holders, share.times, share.stretches, job.warmup)
    segments = runs.segments()
    return Measured(
        model=share.model,
        macs=plan.model.macs,
        cluster=plan.cluster.name,
        plan_digest=share.plan_digest,
        window=job.window,
        runs=job.runs - job.warmup,
        warmup=job.warmup,
        predicted_latency_s=sum(x.latency_s for x in share.times.values()),
        latency=spread(runs.end - runs.start),
        end_to_end=spread(runs.whole - runs.start),
        predicted_throughput_per_s=plan.predicted.throughput_per_s,
        throughput_per_s=throughput_per_s(runs) if job.window > 1 else None,
        groups=tuple(measured_groups(runs)),
        segments=tuple(segments),
        layers=tuple(
            measured_layers(
                [(item, [layer_of(x, share.times) for x in item.stretches]) for item in segments],
                share.times,
                share.predicted.macs,
                plan.cluster,
            )
        ),
        messages=tuple(runs.messages()),
        payload=tuple(measured_payload(nodes, share.predicted.sent_bytes, job.runs)),
        clocks=tuple(
            ClockMeasured(node=item.node, error_s=item.clock_error_ns * _S) for item in nodes
        ),
        **facts,
    )


def measured_groups(runs: Runs) -> list[GroupMeasured]:
    """Every group's prediction and its times."""
    bounds = runs.boundaries()
    found = []
    for number, group in enumerate(runs.groups):
        told = [runs.times[layer] for layer in group]
        found.append(
            GroupMeasured(
                layers=group,
                predicted_s=sum(x.latency_s for x in told),
                predicted_comm_s=sum(x.comm_s for x in told),
                predicted_compute_s=sum(x.compute_s for x in told),
                measured=spread(bounds[number + 1] - bounds[number]),
                compute=spread(runs.longest("compute", group)),
                waiting=spread(runs.longest("await", group)),
            )
        )
    return found


def measured_payload(
    nodes: Sequence[NodeTimes], planned: Mapping[str, Mapping[Pair, int]], runs: int
) -> list[BytesMeasured]:
    """Bytes of one input by stretch and pair, measured and planned; of the plan's stretches alone.

    Parameters
    ----------
    nodes : sequence of NodeTimes
    planned : mapping
        By stretch and pair.
    runs : int
        All of them.
    """
    sent = {
        (item.stretch, (node.node, item.receiver)): item.size_bytes // runs
        for node in nodes
        for item in node.sent
        if item.stretch not in (INPUTS, OUTPUTS, START)
    }
    told = {
        (stretch, pair): size for stretch, pairs in planned.items() for pair, size in pairs.items()
    }
    return [
        BytesMeasured(
            stretch=stretch,
            sender=pair[0],
            receiver=pair[1],
            measured_bytes=sent.get((stretch, pair), 0),
            planned_bytes=told.get((stretch, pair), 0),
        )
        for stretch, pair in dict.fromkeys((*told, *sent))
    ]


def throughput_per_s(runs: Runs) -> float | None:
    """Inputs a second, from the first one's start to the last one's whole outputs."""
    between = int(runs.whole[-1] - runs.start[0])
    return len(runs.whole) / (between * _S) if between > 0 else None


def layer_of(stretch: str, times: Mapping[str, LayerTime]) -> str:
    """The layer, or the change of group, that a stretch belongs to."""
    if stretch in times:
        return stretch
    owners = [layer for layer in times if stretch.startswith(f"{layer} ")]
    return max(owners, key=len, default="")


def spread(nanoseconds: Nanoseconds) -> Spread:
    """Median and quartiles."""
    low, median, high = np.quantile(nanoseconds, (0.25, 0.5, 0.75)) * _S
    return Spread(median_s=float(median), low_s=float(low), high_s=float(high))
