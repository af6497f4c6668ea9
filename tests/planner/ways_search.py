"""Every plan of a small case, layer by layer: what no search may miss.

All stages on all groups of nodes, and on each group every way of every layer with every conversion
that leads there and every level of sparsity, costed from sets of elements. Of two beginnings that
use the same nodes and leave all tensors alike, one that is behind in everything is not gone on
with.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from planner.case import Case
from planner.domain.positions import SAME
from planner.domain.request import Request
from tests.planner.ways_oracle import Choice, Cost, GroupOracle, Lies, Run, WaysOracle, main

Lying = tuple[tuple[str, Lies], ...]
_TOLERANCE = 1 + 1e-9


class Label(NamedTuple):
    """What a beginning has used; less is better in everything."""

    latency_s: float
    loss: float
    medium_s: float
    longest_s: float
    comm_s: float
    compute_s: float
    weights: tuple[int, ...]
    live: tuple[int, ...]

    def beats(self, other: Label) -> bool:
        """Whether it is nowhere behind."""
        numbers = all(mine <= theirs for mine, theirs in zip(self[:6], other[:6], strict=True))
        return (
            numbers
            and all(a <= b for a, b in zip(self.weights, other.weights, strict=True))
            and all(a <= b for a, b in zip(self.live, other.live, strict=True))
        )


@dataclass(frozen=True)
class Place:
    """Where a beginning stands: on which group, with which nodes used, and how tensors lie."""

    group: tuple[str, ...]
    used: frozenset[str]
    lies: Lying


@dataclass
class Everything:
    """All plans of a case and a request.

    Attributes
    ----------
    runs : bool
        Whether layers may share one widened halo, wherever that is possible.
    anywhere : bool
        Whether layers that only change values may have conversions of their own.
    """

    case: Case
    request: Request
    points: float = 1.0
    runs: bool = False
    anywhere: bool = False

    def __post_init__(self) -> None:
        case = self.case
        self.oracle = WaysOracle(case.profile, case.cluster, case.settings, self.points)
        self._limits = {node.name: node.memory_bytes for node in case.cluster.nodes}
        self._remembers = any(self._limits.values())
        limits, objective = self.request.limits, self.request.objective
        self._counts_busy = objective == "throughput" or limits.min_throughput_per_s is not None
        self._counts_latency = objective == "latency" or limits.max_latency_s is not None
        self._counts_loss = limits.max_accuracy_drop is not None
        dropping = self._counts_loss or self.request.max_sparsity is not None
        most = self.request.max_sparsity
        self._levels = tuple(
            level for level in case.levels if not level or (dropping and level <= (most or 1.0))
        )
        self._starts = {unit.start for unit in case.units} - {0}
        self.tried = 0

    def _types(self) -> list[tuple[str, ...]]:
        """Nodes that are alike in all but their name, by their place in the ring."""
        cluster, settings = self.case.cluster, self.case.settings
        names = [node.name for node in cluster.nodes]
        source = names.index(cluster.source_node or names[0])
        ring = names[source:] + names[:source]
        apart = {name for pair in cluster.pair_links for name in pair.between}
        if settings.count_input or settings.count_output:
            apart.add(ring[0])
        by_name = {node.name: node for node in cluster.nodes}
        found: dict[object, list[str]] = {}
        for name in ring:
            node = by_name[name].model_copy(update={"name": name if name in apart else "-"})
            found.setdefault(node.model_dump_json(), []).append(name)
        return [tuple(alike) for alike in found.values()]

    def _groups(self, used: frozenset[str]) -> Iterator[tuple[str, ...]]:
        """Groups of nodes that are left; of nodes that are alike the first ones."""
        free = [[name for name in alike if name not in used] for alike in self._types()]
        for counts in itertools.product(*(range(len(alike) + 1) for alike in free)):
            names = tuple(name for alike, k in zip(free, counts, strict=True) for name in alike[:k])
            if not names or len(names) + len(used) > self.request.max_nodes:
                continue
            if len(names) == 1 or self.request.parallelism != "pipeline":
                yield names

    def best(self) -> float | None:
        """The least latency, or time between two results; None where nothing fits."""
        rows = len(self.case.profile.layers)
        front: list[dict[Place, list[Label]]] = [{} for _ in range(rows + 1)]
        for names in self._groups(frozenset()):
            seconds, occupied, medium = self.oracle.hand_out(names)
            nothing = (0,) * len(names)
            place = Place(names, frozenset(names), _lying(self.oracle.begin(0, {})))
            label = Label(seconds, 0.0, medium, occupied, 0.0, 0.0, nothing, nothing)
            self._keep(front[0], place, label)
        for row in range(rows):
            begun = [(place, label) for place, labels in front[row].items() for label in labels]
            if row in self._starts and self.request.parallelism != "within-layer":
                for place, label in begun:
                    for other, after in self._cut(row, place, label):
                        self._keep(front[row], other, after)
            for place, labels in list(front[row].items()):
                for stop, lies, costs in self._through(row, place):
                    behind = replace(place, lies=lies)
                    for label in labels:
                        self._keep(front[stop], behind, self._after(label, costs, len(place.group)))
        ends = [
            value
            for place, labels in front[rows].items()
            for label in labels
            if (value := self._value(place, label)) is not None
        ]
        return min(ends, default=None)

    def _keep(self, front: dict[Place, list[Label]], place: Place, label: Label) -> None:
        if not self._may_fit(place, label):
            return
        self.tried += 1
        counted = Label(
            label.latency_s if self._counts_latency else 0.0,
            label.loss if self._counts_loss else 0.0,
            *(label[2:6] if self._counts_busy else (0.0,) * 4),
            *(label[6:] if self._remembers else ((), ())),
        )
        others = front.setdefault(place, [])
        if any(other.beats(counted) for other in others):
            return
        others[:] = [other for other in others if not counted.beats(other)] + [counted]

    def _may_fit(self, place: Place, label: Label) -> bool:
        limits = self.request.limits
        for most, value in (
            (limits.max_latency_s, label.latency_s),
            (limits.max_accuracy_drop, label.loss),
        ):
            if most is not None and value > most * _TOLERANCE + 1e-15:
                return False
        if not self._remembers:
            return True
        return all(
            (most := self._limits[name]) is None or stored + live <= most
            for name, stored, live in zip(place.group, label.weights, label.live, strict=True)
        )

    def _after(self, label: Label, costs: Sequence[Cost], nodes: int) -> Label:
        """A label behind some layers."""
        for cost in costs:
            both = max if self.case.settings.overlap else _sum
            remembers = self._remembers
            label = Label(
                label.latency_s + both(cost.comm_s, cost.compute_s),
                label.loss + cost.loss,
                label.medium_s + cost.medium_s,
                label.longest_s,
                label.comm_s + cost.wire_s,
                label.compute_s + cost.compute_s,
                _each(_sum, label.weights, cost.weights) if remembers else (0,) * nodes,
                _each(max, label.live, cost.live) if remembers else (0,) * nodes,
            )
        return label

    def _through(self, row: int, place: Place) -> Iterator[tuple[int, Lying, list[Cost]]]:
        """All that may be done with a layer, or with a run of them: where that ends."""
        group, lies = self.oracle.group(place.group), dict(place.lies)
        if group.count == 1:
            cost, after = group.step(row, Choice("features"), lies)
            yield row + 1, _lying(after), [cost]
            return
        stop = len(self.case.profile.layers)
        for choice in self._choices(row, group, lies):
            cost, after = group.step(row, choice, lies)
            yield row + 1, _lying(after), [cost]
            if self.runs:
                for run in group.runs_from(row, choice, lies, stop):
                    yield self._run(group, choice, run, lies)

    def _run(
        self, group: GroupOracle, choice: Choice, run: Run, lies: dict[str, Lies]
    ) -> tuple[int, Lying, list[Cost]]:
        costs = []
        for row in range(run.start, run.stop):
            mine = choice._replace(run=run) if row == run.start else Choice("positions", run=run)
            cost, lies = group.step(row, mine, lies)
            costs.append(cost)
        return run.stop, _lying(lies), costs

    def _choices(self, row: int, group: GroupOracle, lies: dict[str, Lies]) -> list[Choice]:
        found = list(group.choices(row, lies, self.request.ways, self._levels))
        if self.anywhere or not self._is_plain(row, group):
            return found
        as_found = [c for c in found if all(source == "sums" for _, source, _ in c.conversions)]
        return as_found or found

    def _is_plain(self, row: int, group: GroupOracle) -> bool:
        """Whether a layer changes only the values of a tensor that nothing else reads."""
        layer = self.case.profile.layers[row]
        geometries = [g for g in (layer.positions, layer.samples) if g is not None]
        return (
            layer.feature_flow == "local"
            and layer.inputs == layer.inputs[:1]
            and not (layer.macs or layer.statistics_bytes or layer.measured_s)
            and layer.inputs[0] in {other.name for other in self.case.profile.layers}
            and group.last[layer.inputs[0]] == row
            and (layer.in_features, layer.input_bytes) == (layer.out_features, layer.output_bytes)
            and all(g.reads == (SAME,) and not g.statistics_bytes for g in geometries)
        )

    def _cut(self, row: int, place: Place, label: Label) -> Iterator[tuple[Place, Label]]:
        """Every change of group before a layer, and every way in which tensors may arrive."""
        if any("sums" in layouts for _, layouts in place.lies):
            return
        inputs = {spec.name for spec in self.case.profile.inputs}
        lies = {name: main(layouts) for name, layouts in place.lies}
        live = [name for name in self.oracle.crossing(row) if name not in inputs]
        for names in self._groups(place.used):
            ways: list[dict[str, str]] = [{name: lies[name] for name in live}]
            if len(names) == 1:
                ways = [dict.fromkeys(live, "features")]
            elif len(place.group) == 1:
                group = self.oracle.group(names)
                layouts = ("features", "positions", "samples", "whole", "one-node")
                each = [[x for x in layouts if group.can_lie(name, x)] for name in live]
                ways = [dict(zip(live, x, strict=True)) for x in itertools.product(*each)]
            for arrives in ways:
                there = {**dict.fromkeys(inputs, "whole"), **arrives}
                seconds, occupied, medium = self.oracle.handover(
                    place.group, names, row, {**dict.fromkeys(inputs, "whole"), **lies}, there
                )
                nothing = (0,) * len(names)
                busy = self._busy(label)
                after = Label(
                    label.latency_s + seconds,
                    label.loss,
                    label.medium_s + medium,
                    max(label.longest_s, busy, occupied),
                    0.0,
                    0.0,
                    nothing,
                    nothing,
                )
                behind = _lying(self.oracle.begin(row, arrives))
                yield Place(names, place.used | set(names), behind), after

    def _busy(self, label: Label) -> float:
        both = max if self.case.settings.overlap else _sum
        return both(label.comm_s, label.compute_s)

    def _value(self, place: Place, label: Label) -> float | None:
        """Of a whole plan; None where it breaks a limit."""
        limits, lies = self.request.limits, dict(place.lies)
        outputs = self.case.profile.outputs
        if any("sums" in layouts for layouts in lies.values()):
            return None
        if self.request.exactly and len(place.used) < self.request.max_nodes:
            return None
        seconds, occupied, medium = self.oracle.collect(
            place.group, {name: main(lies[name]) for name in outputs}
        )
        latency_s = label.latency_s + seconds
        longest_s = max(label.longest_s, self._busy(label), occupied, label.medium_s + medium)
        if limits.max_latency_s is not None and latency_s > limits.max_latency_s * _TOLERANCE:
            return None
        rate = limits.min_throughput_per_s
        if rate is not None and longest_s * rate > _TOLERANCE:
            return None
        return latency_s if self.request.objective == "latency" else longest_s


def _sum(one: float, other: float) -> float:
    return one + other


def _each(join, one, other):  # type: ignore[no-untyped-def]
    return tuple(join(a, b) for a, b in zip(one, other, strict=True))


def _lying(lies: dict[str, Lies]) -> Lying:
    return tuple(sorted(lies.items()))
