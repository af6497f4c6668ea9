"""Plans in every way, costed a second time from sets of elements.

Of every tensor and node there is the explicit set of elements (feature, position, sample) that the
node holds; what must be sent is counted from these sets. Nothing of the cost
model is used but the ratio of shares.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from planner.cost.shares import share_ratios
from planner.domain.cluster import Cluster, Node
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.positions import Geometry, Window
from planner.domain.settings import CostSettings

Elements = np.ndarray
"""Which elements of a tensor, bool, shape (features, positions, samples)."""
Lies = frozenset[str]
Holdings = Mapping[str, Lies]
Matrix = list[list[int]]

EVERYWHERE: Lies = frozenset(("whole",))
ALL = -1
"""The owner of a feature that every node holds."""
MAKES = {"outputs": "features"}
ORDER = ("features", "positions", "samples", "whole", "one-node", "sums")
AXES = {"positions": 1, "samples": 2}


class Run(NamedTuple):
    """A run of fused halos: its first row, one behind its last, and what it fetches parts of."""

    start: int
    stop: int
    fetched: frozenset[str] = frozenset()


class Choice(NamedTuple):
    """What a plan says of a layer on several nodes."""

    way: str
    conversions: tuple[tuple[str, str, str], ...] = ()
    kept: tuple[tuple[int, ...], ...] | None = None
    run: Run | None = None

    @property
    def makes(self) -> str:
        """The layout of the output."""
        return MAKES.get(self.way, self.way)


@dataclass(frozen=True)
class Cost:
    """A layer on a group."""

    comm_s: float
    wire_s: float
    compute_s: float
    medium_s: float
    loss: float
    macs: tuple[int, ...]
    weights: tuple[int, ...]
    live: tuple[int, ...]
    sent: tuple[int, ...]
    pairs: tuple[tuple[int, ...], ...]


def cut(count: int, speeds: Sequence[Fraction], unit: int = 1) -> list[int]:
    """Whole units by speed: the whole parts, and what is left to the largest remainders."""
    exact = [Fraction(count // unit) * speed / sum(speeds) for speed in speeds]
    whole = [int(share) for share in exact]
    order = sorted(range(len(speeds)), key=lambda j: (whole[j] - exact[j], j))
    for j in order[: count // unit - sum(whole)]:
        whole[j] += 1
    return [units * unit for units in whole]


def reads_of(window: Window, position: int, count: int) -> set[int]:
    """The positions of an input that one position of the output is made of."""
    first = (position * window.step + window.first) // window.per
    last = (position * window.step + window.last) // window.per
    found = range(first, last + 1)
    if window.wraps:
        return {place % count for place in found}
    return {place for place in found if 0 <= place < count}


def up(number: int, parts: int, of: int) -> int:
    """number · parts / of, rounded up."""
    return -(-number * parts // of)


class Wires:
    """Seconds of bytes on the links of some nodes."""

    def __init__(self, cluster: Cluster, settings: CostSettings, scope: Sequence[str]) -> None:
        self._cluster = cluster
        self.medium = settings.medium or cluster.medium
        self.casting = settings.casting or cluster.casting
        pairs = [(a, b) for a in scope for b in scope if a != b]
        self._fastest = {
            a: max((self._of(a, b)[0] for b in scope if b != a), default=1.0) for a in scope
        }
        self._slowest = min((self._of(a, b)[0] for a, b in pairs), default=float("inf"))

    def _of(self, one: str, other: str) -> tuple[float, float]:
        for pair in self._cluster.pair_links:
            if set(pair.between) == {one, other}:
                return pair.bandwidth_bytes_per_s, pair.latency_s
        return self._cluster.link.bandwidth_bytes_per_s, self._cluster.link.latency_s

    def exchange(
        self,
        senders: Sequence[str],
        receivers: Sequence[str],
        shared: Matrix,
        single: Matrix,
    ) -> Sent:
        """How long an exchange takes, and what it occupies for how long."""
        n, m = range(len(senders)), range(len(receivers))
        total = [[shared[i][j] + single[i][j] for j in m] for i in n]
        once = max if self.casting == "broadcast" else sum
        sent = [once(shared[i]) + sum(single[i]) for i in n]
        received = [sum(total[i][j] for i in n) for j in m]
        pairs = [(i, j) for i in n for j in m if total[i][j]]
        delay = max((self._of(senders[i], receivers[j])[1] for i, j in pairs), default=0.0)
        if self.medium == "shared":
            busy = sum(sent) / self._slowest
            return Sent(busy + delay, busy, busy, sent)
        out = {name: float(sent[i]) for i, name in enumerate(senders)}
        back = {name: float(received[j]) for j, name in enumerate(receivers)}
        if self.medium == "half_duplex" and set(senders) & set(receivers):
            out = back = {name: out[name] + back[name] for name in senders}
        times = [size / self._fastest[name] for side in (out, back) for name, size in side.items()]
        times += [total[i][j] / self._of(senders[i], receivers[j])[0] for i, j in pairs]
        return Sent(max(times) + delay, max(times), 0.0, sent)


class Sent(NamedTuple):
    """Seconds until all has arrived, of the busiest link and of a shared medium; bytes sent."""

    latency_s: float
    busy_s: float
    medium_s: float
    sent: list[int]


Between = tuple[float, float, float]
"""Seconds until all has arrived, of the busiest link, and of a shared medium."""


class GroupOracle:
    """One group of nodes: who holds which elements, and what layers cost there."""

    def __init__(
        self,
        profile: ModelProfile,
        cluster: Cluster,
        settings: CostSettings,
        names: tuple[str, ...],
        points: float = 1.0,
    ) -> None:
        self.profile, self.names, self._points = profile, names, points
        self._settings = settings
        by_name = {node.name: node for node in cluster.nodes}
        self.nodes: list[Node] = [by_name[name] for name in names]
        self.count = len(names)
        self._wires = Wires(cluster, settings, names)
        # in which ratio is a rule of its own (tests/planner/test_share_ratio.py)
        ratios = share_ratios(profile, self.nodes, settings.shares)
        self.speeds = [Fraction(part) for part in ratios.whole]
        self.bytes: dict[str, int] = {spec.name: spec.bytes for spec in profile.inputs}
        self.shape = {
            spec.name: (spec.features, max(spec.positions, 1), max(spec.samples, 1))
            for spec in profile.inputs
        }
        self.owners: dict[str, list[int]] = {s.name: [ALL] * s.features for s in profile.inputs}
        self.needed: list[list[list[int] | None]] = []
        self.last = dict.fromkeys(self.bytes, -1)
        for row, layer in enumerate(profile.layers):
            axes = (layer.positions, layer.samples)
            self.shape[layer.name] = (
                layer.out_features,
                *(max(geometry.count, 1) if geometry else 1 for geometry in axes),
            )  # type: ignore[assignment]
            self.bytes[layer.name] = layer.output_bytes
            by_layer = [Fraction(part) for part in ratios.of(row)]
            output, needed = self._follow(layer, by_layer)
            self.owners[layer.name] = output
            self.needed.append(needed)
            self.last[layer.name] = row
            self.last |= dict.fromkeys(layer.inputs, row)
        self.last |= dict.fromkeys(profile.outputs, len(profile.layers))
        self._known: dict[Any, Any] = {}

    # Who holds what.

    def _follow(
        self, layer: LayerProfile, speeds: list[Fraction]
    ) -> tuple[list[int], list[list[int] | None]]:
        """Owners of the output's features, and those that each input needs."""
        sources = [self.owners[name] for name in layer.inputs]
        stay: list[list[int] | None] = [None] * len(sources)
        whole = all(set(source) == {ALL} for source in sources)
        if layer.feature_flow == "mixing":
            run = layer.out_features // layer.segments
            one = [j for j, k in enumerate(cut(run, speeds, layer.granularity)) for _ in [0] * k]
            return one * layer.segments, stay
        if layer.feature_flow == "concat":
            return list(itertools.chain(*sources)), stay
        if layer.feature_flow == "slice":
            return sources[0][layer.feature_start :][: layer.out_features], stay
        if layer.feature_flow == "reduce":
            holder = sources[0][0] if len(set(sources[0])) == 1 else ALL
            return [holder] * layer.out_features, stay
        if layer.feature_flow == "one-node":
            if whole:
                return [ALL] * layer.out_features, stay
            return [0] * layer.out_features, [[0] * len(source) for source in sources]
        if layer.feature_flow == "grouped":
            size = len(sources[0]) // layer.groups
            runs = [sources[0][g * size : (g + 1) * size] for g in range(layer.groups)]
            of_group = [run[0] for run in runs]
            if any(len(set(run)) > 1 for run in runs) or of_group[0] == ALL:
                of_group = [j for j, k in enumerate(cut(layer.groups, speeds)) for _ in [0] * k]
            wide = layer.out_features // layer.groups
            need = [
                [g for g in of_group for _ in range(len(source) // layer.groups)]
                for source in sources
            ]
            return [g for g in of_group for _ in range(wide)], [*need]
        assert layer.feature_flow == "local"
        if whole:
            return [ALL] * layer.out_features, stay
        leader = next(source for source in sources if set(source) != {ALL})
        wide = layer.out_features // len(leader)
        return [owner for owner in leader for _ in range(wide)], [leader] * len(sources)

    def can_lie(self, name: str, layout: str) -> bool:
        """Whether a tensor has anything to be parted by."""
        return layout not in AXES or self.shape[name][AXES[layout]] > 1

    def part(self, count: int, node: int) -> set[int]:
        """Positions or samples of a node: one run behind the other."""
        shares = cut(count, self.speeds)
        begin = sum(shares[:node])
        return set(range(begin, begin + shares[node]))

    def set_of(self, name: str, **along: Sequence[int] | set[int]) -> Elements:
        """Elements at some features, positions, samples; all of those that are not named."""
        found = np.ones(self.shape[name], dtype=bool)
        for axis, key in enumerate(("features", "positions", "samples")):
            if key in along:
                inside = np.zeros(self.shape[name][axis], dtype=bool)
                inside[sorted(along[key])] = True
                found &= inside.reshape([-1 if a == axis else 1 for a in range(3)])
        return found

    def owned(self, name: str, owner: int) -> list[int]:
        """Features of one owner."""
        return [f for f, o in enumerate(self.owners[name]) if o == owner]

    def held(self, name: str, layout: str, node: int) -> Elements:
        """All elements that a node holds in a layout."""
        key = "held", name, layout, node
        if key not in self._known:
            if layout == "features":
                mine = [*self.owned(name, node), *self.owned(name, ALL)]
                found = self.set_of(name, features=mine)
            elif layout in AXES:
                here = self.part(self.shape[name][AXES[layout]], node)
                found = self.set_of(name, **{layout: here})
            else:
                found = np.full(self.shape[name], layout != "one-node" or node == 0)
            self._known[key] = found
        return self._known[key]

    def supplied(self, name: str, layout: str, node: int, first: int = 0) -> Elements:
        """What a node hands on: each element comes from one node."""
        if layout == "features":
            mine = self.owned(name, node) + (self.owned(name, ALL) if node == first else [])
            return self.set_of(name, features=mine)
        if layout in AXES:
            return self.held(name, layout, node)
        return np.full(self.shape[name], node == (0 if layout == "one-node" else first))

    def size(self, name: str, elements: Elements) -> int:
        """Bytes of some elements."""
        each, rest = divmod(self.bytes[name], elements.size)
        assert rest == 0
        return int(elements.sum()) * each

    # Messages: what is the same for all receivers, and what is for one alone.

    def _nothing(self) -> Matrix:
        return [[0] * self.count for _ in range(self.count)]

    def _send(self, matrix: Matrix, name: str, sender: int, receiver: int, what: Elements) -> None:
        if sender != receiver:
            matrix[sender][receiver] += self.size(name, what)

    def converts(self, name: str, source: str, target: str) -> bool:
        """Whether anything leads directly from a layout to another."""
        possible = self.can_lie(name, source) and self.can_lie(name, target)
        summed = target == "sums" or (source, target) == ("sums", "whole")
        return possible and not summed and source not in ("whole", target)

    def conversion(self, name: str, source: str, target: str) -> tuple[Matrix, Matrix]:
        """Every node gets what it will hold and does not hold."""
        shared, single = self._nothing(), self._nothing()
        nodes = range(self.count)
        common = self.set_of(name, features=self.owned(name, ALL))
        for i, j in itertools.product(nodes, nodes):
            has, needs = self.held(name, source, i), self.held(name, target, j)
            if source == "sums":  # a part of each sum, from everyone
                to_all = common if target == "features" else np.zeros_like(common)
                self._send(shared, name, i, j, needs & to_all)
                self._send(single, name, i, j, needs & ~to_all)
            elif target == "whole":
                self._send(shared, name, i, j, has & ~self._held_by_all(name, source))
            else:
                lacking = needs & has & ~self.held(name, source, j)
                to_all = common if target == "features" else np.zeros_like(common)
                self._send(shared, name, i, j, lacking & to_all)
                self._send(single, name, i, j, lacking & ~to_all)
        return shared, single

    def _held_by_all(self, name: str, layout: str) -> Elements:
        found = np.ones(self.shape[name], dtype=bool)
        for node in range(self.count):
            found &= self.held(name, layout, node)
        return found

    # Layers.

    def reads(self, layer: LayerProfile, way: str) -> list[str] | None:
        """The layout in which each input is read; None where the layer cannot run so."""
        if not self.can_lie(layer.name, MAKES.get(way, way)):
            return None
        if way in ("features", "one-node"):
            return [way] * len(layer.inputs)
        if way in ("outputs", "whole"):
            return ["whole"] * len(layer.inputs)
        if way == "sums":
            if len(layer.inputs) > 1:
                return None
            if layer.feature_flow == "mixing" and layer.weight_params:
                return ["features"]
            adds = layer.positions is not None and layer.positions.adds
            parted = adds and layer.positions is not None and layer.positions.count < 2
            return ["positions"] if parted and self.can_lie(layer.inputs[0], "positions") else None
        geometry: Geometry | None = getattr(layer, way)
        if geometry is None:
            return None
        return [
            way if window is not None and self.can_lie(name, way) else "whole"
            for name, window in zip(layer.inputs, geometry.reads, strict=True)
        ]

    def _positions_read(
        self, layer: LayerProfile, way: str, source: int, made: set[int]
    ) -> set[int] | None:
        """Positions of an input that some of the output's are made of; None: all of it."""
        window = getattr(layer, way).reads[source]
        name = layer.inputs[source]
        if window is None or not self.can_lie(name, way):
            return None
        count = self.shape[name][AXES[way]]
        return set().union(*(reads_of(window, place, count) for place in made))

    def made_in_run(self, run: Run, node: int) -> dict[str, set[int]]:
        """Positions that a node makes of every tensor of a run of fused halos."""
        layers = self.profile.layers[run.start : run.stop]
        made: dict[str, set[int]] = {}
        for layer in reversed(layers):
            mine = made.setdefault(layer.name, set())
            if layer is layers[-1] or self.last[layer.name] >= run.stop:
                mine |= self.part(self.shape[layer.name][1], node)
            for source, name in enumerate(layer.inputs):
                needs = self._positions_read(layer, "positions", source, mine)
                if name in {inside.name for inside in layers}:
                    assert needs is not None
                    made.setdefault(name, set()).update(needs)
        return made

    def halo_of_run(self, run: Run) -> Matrix:
        """What a run fetches at its beginning."""
        single = self._nothing()
        layers = self.profile.layers[run.start : run.stop]
        for j in range(self.count):
            made = self.made_in_run(run, j)
            needs: dict[str, set[int]] = {}
            for layer in layers:
                for source, name in enumerate(layer.inputs):
                    read = self._positions_read(layer, "positions", source, made[layer.name])
                    if name in run.fetched and read is not None:
                        needs.setdefault(name, set()).update(read)
            for name, places in needs.items():
                wanted = self.set_of(name, positions=places)
                for i in range(self.count):
                    self._send(single, name, i, j, wanted & self.held(name, "positions", i))
        return single

    def work(
        self, row: int, choice: Choice, lies: Holdings
    ) -> tuple[list[int], list[int], list[float], list[int], Matrix, Matrix]:
        """MACs, bytes of weights, bytes touched and of outputs per node, and the exchange."""
        layer, way, nodes = self.profile.layers[row], choice.way, range(self.count)
        shared, single = self._nothing(), self._nothing()
        total = layer.param_bytes + layer.input_bytes + layer.output_bytes
        if way in ("whole", "one-node"):
            runs = [int(way == "whole" or j == 0) for j in nodes]
            return (
                [layer.macs * r for r in runs],
                [layer.param_bytes * r for r in runs],
                [float(total * r) for r in runs],
                [layer.output_bytes * r for r in runs],
                shared,
                single,
            )
        each = layer.param_bytes // layer.params if layer.params else 0
        kernels = layer.weight_params * each
        if way == "sums" and layer.feature_flow == "mixing":
            of = [len(self.owned(layer.inputs[0], j)) for j in nodes]
            of[0] += len(self.owned(layer.inputs[0], ALL))
            weights = [kernels * k // layer.in_features for k in of]
            weights[0] += layer.param_bytes - kernels
            read = [layer.input_bytes * k // layer.in_features for k in of]
            touched = [
                float(w + r + layer.output_bytes) for w, r in zip(weights, read, strict=True)
            ]
            macs = [layer.macs * k // layer.in_features for k in of]
            return macs, weights, touched, [layer.output_bytes] * self.count, shared, single
        if way == "sums":
            count = self.shape[layer.inputs[0]][1]
            of = [len(self.part(count, j)) for j in nodes]
            return (
                [up(layer.macs, k, count) for k in of],
                [layer.param_bytes * (k > 0) for k in of],
                [layer.input_bytes * k / count + layer.output_bytes for k in of],
                [layer.output_bytes] * self.count,
                shared,
                single,
            )
        if way in AXES:
            return self._parted(row, choice, lies)
        return self._by_features(row, choice, kernels)

    def _parted(
        self, row: int, choice: Choice, lies: Holdings
    ) -> tuple[list[int], list[int], list[float], list[int], Matrix, Matrix]:
        layer, way = self.profile.layers[row], choice.way
        shared, single = self._nothing(), self._nothing()
        geometry: Geometry = getattr(layer, way)
        count = self.shape[layer.name][AXES[way]]
        macs, weights, touched, outputs = [], [], [], []
        busy = []
        for j in range(self.count):
            made = self.part(count, j)
            if choice.run is not None:
                made = self.made_in_run(choice.run, j)[layer.name]
            read = 0.0
            for source, name in enumerate(layer.inputs):
                needs = self._positions_read(layer, way, source, made)
                share = 1.0 if needs is None else len(needs) / self.shape[name][AXES[way]]
                if source == 0 or layer.feature_flow not in ("mixing", "grouped"):
                    read += self.bytes[name] * share
                if needs is None or "whole" in lies[name] or choice.run is not None:
                    continue
                wanted = self.set_of(name, **{way: needs})
                for i in range(self.count):
                    self._send(single, name, i, j, wanted & self.held(name, way, i))
            busy.append(bool(made))
            macs.append(up(layer.macs, len(made), count))
            weights.append(layer.param_bytes * bool(made))
            outputs.append(layer.output_bytes * len(made) // count)
            touched.append(weights[-1] + read + outputs[-1])
        for i, j in itertools.permutations(range(self.count), 2):
            shared[i][j] += geometry.statistics_bytes * (busy[i] and busy[j])
        if choice.run is not None and choice.run.start == row:
            single = self.halo_of_run(choice.run)
        return macs, weights, touched, outputs, shared, single

    def dense(self, row: int) -> tuple[tuple[int, ...], ...]:
        """All features from everyone who holds some to everyone who makes some."""
        layer, nodes = self.profile.layers[row], range(self.count)
        makes = [self._makes(layer.name, j) for j in nodes]
        holds = [len(self.owned(layer.inputs[0], i)) for i in nodes]
        mixes = layer.feature_flow == "mixing"
        return tuple(
            tuple(holds[i] * (mixes and i != j and makes[j] > 0) for j in nodes) for i in nodes
        )

    def at_level(self, row: int, level: float) -> tuple[tuple[int, ...], ...]:
        """The nearest whole number of each sender's features, one at least below 100 %."""
        density = 1 - Fraction(str(level))

        def kept(features: int) -> int:
            nearest = int(density * features + Fraction(1, 2))
            return max(nearest, min(1, features)) if density else 0

        return tuple(tuple(map(kept, line)) for line in self.dense(row))

    def _makes(self, name: str, node: int) -> int:
        return len(self.owned(name, node)) + len(self.owned(name, ALL))

    def _by_features(
        self, row: int, choice: Choice, kernels: int
    ) -> tuple[list[int], list[int], list[float], list[int], Matrix, Matrix]:
        layer, nodes = self.profile.layers[row], range(self.count)
        shared, single = self._nothing(), self._nothing()
        mixes = layer.feature_flow == "mixing"
        dense = self.dense(row)
        kept = dense if choice.way == "outputs" else choice.kept or self.nothing_kept
        first = layer.inputs[0]
        holds = [len(self.owned(first, i)) for i in nodes]
        makes = [self._makes(layer.name, j) for j in nodes]
        ins, outs = layer.in_features, layer.out_features
        macs, weights, touched = [], [], []
        for j in nodes:
            there = holds[j] + len(self.owned(first, ALL)) + sum(line[j] for line in kept)
            rest = up(layer.param_bytes - kernels * mixes, makes[j], outs)
            read = layer.input_bytes * makes[j] / outs
            if mixes:
                macs.append(layer.macs * makes[j] * there // (ins * outs))
                weights.append(kernels * makes[j] * there // (ins * outs) + rest)
                read = float(there * layer.input_feature_bytes)
            else:
                macs.append(up(layer.macs, makes[j], outs))
                weights.append(rest)
            touched.append(weights[-1] + read + layer.output_bytes * makes[j] / outs)
        outputs = [makes[j] * (layer.output_bytes // outs) for j in nodes]
        if choice.way == "outputs":
            return macs, weights, touched, outputs, shared, single
        for i, j in itertools.permutations(nodes, 2):
            shared[i][j] += kept[i][j] * layer.input_feature_bytes
            for name, needed in zip(layer.inputs, self.needed[row], strict=True):
                moved = [
                    f
                    for f, (now, then) in enumerate(
                        zip(self.owners[name], needed or self.owners[name], strict=True)
                    )
                    if now == i and then in (j, ALL) and then != i and needed is not None
                ]
                self._send(single, name, i, j, self.set_of(name, features=moved))
            if layer.statistics_bytes and holds[i] and makes[j]:
                single[i][j] += layer.statistics_bytes
        return macs, weights, touched, outputs, shared, single

    @property
    def nothing_kept(self) -> tuple[tuple[int, ...], ...]:
        """No feature from anyone."""
        return tuple((0,) * self.count for _ in range(self.count))

    def loss(self, row: int, choice: Choice) -> float:
        """Points, where each layer that mixes loses so many times its sparsity."""
        dense = sum(map(sum, self.dense(row)))
        if choice.way != "features" or not dense:
            return 0.0
        return self._points * (1 - sum(map(sum, choice.kept or ())) / dense)

    def _seconds(self, node: Node, layer: LayerProfile, macs: int, touched: float) -> float:
        if layer.kind is None or (not macs and layer.kind != "element-wise"):
            return 0.0
        seconds = macs / node.macs_per_s_by_kind.get(layer.kind, node.macs_per_s)
        memory = node.memory_bytes_per_s_by_kind.get(layer.kind, node.memory_bytes_per_s)
        if memory is not None:
            seconds = max(seconds, touched / memory)
        return seconds + (node.layer_overhead_s if macs else 0.0)

    def step(self, row: int, choice: Choice, holdings: Holdings) -> tuple[Cost, dict[str, Lies]]:
        """What a layer costs, and how all live tensors lie behind it."""
        key = "step", row, choice, tuple(sorted(holdings.items()))
        if key not in self._known:
            self._known[key] = self._step(row, choice, holdings)
        cost, behind = self._known[key]
        return cost, dict(behind)

    def _step(self, row: int, choice: Choice, before: Holdings) -> tuple[Cost, dict[str, Lies]]:
        layer, nodes = self.profile.layers[row], range(self.count)
        lies = dict(before)
        exchanges: list[tuple[Matrix, Matrix]] = []
        buffers = [0] * self.count
        for name, source, target in choice.conversions:
            assert source in lies[name] and self.converts(name, source, target)
            exchanges.append(self.conversion(name, source, target))
            if source == "sums":  # the parts, and those of others until they are added up
                for j in nodes:
                    buffers[j] += self.bytes[name] + sum(
                        part[i][j] for part in exchanges[-1] for i in nodes
                    )
            kept = lies[name] - {"sums"}
            lies[name] = EVERYWHERE if target == "whole" else kept | {target}
        for name, layout in zip(layer.inputs, self.reads(layer, choice.way) or [], strict=True):
            assert layout in lies[name] or "whole" in lies[name]
        macs, weights, touched, outputs, *exchange = self.work(row, choice, lies)
        exchanges.insert(0, (exchange[0], exchange[1]))
        timed = [self._wires.exchange(self.names, self.names, *each) for each in exchanges]
        compute = [
            self._seconds(node, layer, m, t)
            for node, m, t in zip(self.nodes, macs, touched, strict=True)
        ]
        received = [sum(part[i][j] for part in exchanges[0] for i in nodes) for j in nodes]
        inside = self._inside(row, choice)
        live = []
        first = layer.inputs[0]
        in_place = (
            layer.macs == 0
            and self.last[first] == row
            and self.bytes[first] >= layer.output_bytes
            and self._lies_like(lies[first], layer.name, choice.makes)
        )
        for j in nodes:
            held = sum(
                inside[1][j].get(name, self.size(name, self.held(name, layout, j)))
                for name, layouts in lies.items()
                for layout in layouts
            )
            made = 0 if in_place else outputs[j]
            live.append(held + buffers[j] + inside[0][j] + received[j] + made)
        behind = {
            name: layouts - {"one-node"} if name in layer.inputs and len(layouts) > 1 else layouts
            for name, layouts in lies.items()
        } | {layer.name: frozenset((choice.makes,))}
        gone = [name for name in behind if 0 <= self.last[name] <= row]
        for name in gone:
            del behind[name]
        pairs = [
            [sum(part[i][j] for both in exchanges for part in both) for j in nodes] for i in nodes
        ]
        cost = Cost(
            comm_s=sum(each.latency_s for each in timed),
            wire_s=sum(each.busy_s for each in timed),
            compute_s=max(compute),
            medium_s=sum(each.medium_s for each in timed),
            loss=self.loss(row, choice),
            macs=tuple(macs),
            weights=tuple(weights),
            live=tuple(live),
            sent=tuple(sum(each.sent[i] for each in timed) for i in nodes),
            pairs=tuple(map(tuple, pairs)),
        )
        return cost, behind

    def _lies_like(self, lies: Lies, name: str, makes: str) -> bool:
        """Whether what is made lies as what it is made of, which is in one layout alone."""
        everywhere = self.count == 1 or (makes == "features" and set(self.owners[name]) == {ALL})
        return lies == {makes} or (everywhere and lies == EVERYWHERE)

    def _inside(self, row: int, choice: Choice) -> tuple[list[int], list[dict[str, int]]]:
        """In a run behind its first layer: the halo that is kept, and what is made of tensors."""
        nodes = range(self.count)
        if choice.run is None:
            return [0] * self.count, [{} for _ in nodes]
        names = [layer.name for layer in self.profile.layers[choice.run.start : row]]
        made = [self.made_in_run(choice.run, j) for j in nodes]
        sizes = [
            {n: self.size(n, self.set_of(n, positions=made[j][n])) for n in names} for j in nodes
        ]
        halo = self.halo_of_run(choice.run) if row > choice.run.start else self._nothing()
        return [sum(halo[i][j] for i in nodes) for j in nodes], sizes

    # What a layer may do.

    def choices(
        self, row: int, holdings: Holdings, ways: Sequence[str], levels: Sequence[float] = (0.0,)
    ) -> Iterator[Choice]:
        """Every way with every conversion of its inputs that leads there, and every level."""
        found = [c for way in ways for c in self._of_way(row, holdings, way)]
        for choice in found or self._of_way(row, holdings, "features"):
            layer = self.profile.layers[row]
            lies = self.converted(holdings, choice)[layer.inputs[0]]
            if choice.way != "features" or not any(map(any, self.dense(row))):
                yield choice
                continue
            offered = (0.0,) if "whole" in lies else levels
            for kept in sorted({self.at_level(row, level) for level in offered}, reverse=True):
                yield choice._replace(kept=kept)

    def converted(self, holdings: Holdings, choice: Choice) -> dict[str, Lies]:
        """How tensors lie behind the conversions of a layer."""
        lies = dict(holdings)
        for name, _, target in choice.conversions:
            lies[name] = EVERYWHERE if target == "whole" else (lies[name] - {"sums"}) | {target}
        return lies

    def runs_from(self, row: int, choice: Choice, holdings: Holdings, stop: int) -> list[Run]:
        """Runs of fused halos of two or more layers that may begin with a layer's choice."""
        found: list[Run] = []
        if choice.way != "positions" or self.count == 1:
            return found
        lies, inside = self.converted(holdings, choice), list[str]()
        for end in range(row, stop):
            layer = self.profile.layers[end]
            geometry = layer.positions
            if geometry is None or geometry.count < 2 or geometry.statistics_bytes:
                break
            fits = True
            for name, window in zip(layer.inputs, geometry.reads, strict=True):
                wanted = "positions" if window and self.can_lie(name, "positions") else "whole"
                if name in inside:
                    fits &= wanted == "positions"
                else:
                    fits &= wanted in lies[name] or "whole" in lies[name]
            if not fits:
                break
            inside.append(layer.name)
            if end > row:
                found.append(self.entered(Run(row, end + 1), lies))
        return found

    def entered(self, run: Run, lies: Holdings) -> Run:
        """A run that knows what does not lie whole where it begins."""
        layers = self.profile.layers[run.start : run.stop]
        read = {name for layer in layers for name in layer.inputs}
        outside = read - {layer.name for layer in layers}
        return run._replace(fetched=frozenset(n for n in outside if "whole" not in lies[n]))

    def _of_way(self, row: int, holdings: Holdings, way: str) -> Iterator[Choice]:
        layer = self.profile.layers[row]
        reads = self.reads(layer, way)
        if reads is None:
            return
        todo = [(dict(holdings), ())]
        for name, wanted in zip(layer.inputs, reads, strict=True):
            behind: list[Any] = []
            for lies, done in todo:
                if wanted in lies[name] or "whole" in lies[name]:
                    behind.append((lies, done))
                    continue
                for path in self._paths(name, lies[name], wanted):
                    after = self.converted(lies, Choice(way, path))
                    behind.append((after, (*done, *path)))
            todo = behind
        for _, done in todo:
            yield Choice(way, done)

    def _paths(
        self, name: str, lies: Lies, wanted: str
    ) -> Iterator[tuple[tuple[str, str, str], ...]]:
        for source in sorted(lies):
            if self.converts(name, source, wanted):
                yield ((name, source, wanted),)
            if (source, wanted) != ("sums", "whole"):
                continue
            for middle in ("features", "positions"):  # parts are added up before
                if self.converts(name, source, middle):
                    first = (name, source, middle)
                    # what else it lies in may be what is sent to all
                    for origin in sorted((lies - {"sums"}) | {middle}):
                        yield first, (name, origin, "whole")


class WaysOracle:
    """A case costed from sets of elements."""

    def __init__(
        self, profile: ModelProfile, cluster: Cluster, settings: CostSettings, points: float = 1.0
    ) -> None:
        self.profile, self.cluster, self.settings, self.points = profile, cluster, settings, points
        self._groups: dict[tuple[str, ...], GroupOracle] = {}
        self._wires = Wires(cluster, settings, [node.name for node in cluster.nodes])
        self._source = cluster.source_node or cluster.nodes[0].name

    def group(self, names: tuple[str, ...]) -> GroupOracle:
        """A group of nodes, once."""
        if names not in self._groups:
            self._groups[names] = GroupOracle(
                self.profile, self.cluster, self.settings, names, self.points
            )
        return self._groups[names]

    def begin(self, row: int, arrives: Mapping[str, str]) -> dict[str, Lies]:
        """How live tensors lie where a stage begins."""
        last = self.group((self._source,)).last
        lies = {spec.name: EVERYWHERE for spec in self.profile.inputs}
        for layer in self.profile.layers[:row]:
            lies[layer.name] = frozenset((arrives.get(layer.name, "features"),))
        return {name: layouts for name, layouts in lies.items() if not 0 <= last[name] < row}

    def handover(
        self,
        sender: tuple[str, ...],
        receiver: tuple[str, ...],
        row: int,
        lies: Mapping[str, str],
        arrives: Mapping[str, str],
    ) -> Between:
        """Every element that is read behind a cut goes to every node that will hold it."""
        one, other = self.group(sender), self.group(receiver)
        pairs = [[0] * len(receiver) for _ in sender]
        for name in self.crossing(row):
            for i, j in itertools.product(range(len(sender)), range(len(receiver))):
                has = one.supplied(name, "whole" if len(sender) == 1 else lies[name], i)
                needs = other.held(name, "whole" if len(receiver) == 1 else arrives[name], j)
                pairs[i][j] += one.size(name, has & needs)
        nothing = [[0] * len(receiver) for _ in sender]
        return self._wires.exchange(sender, receiver, nothing, pairs)[:3]

    def crossing(self, row: int) -> list[str]:
        """Tensors that are alive before a layer."""
        last = self.group((self._source,)).last
        made = [layer.name for layer in self.profile.layers[:row]]
        inputs = [s.name for s in self.profile.inputs if self.settings.count_input]
        return [name for name in [*inputs, *made] if last[name] >= row]

    def hand_out(self, names: tuple[str, ...]) -> Between:
        """The model's inputs from the source to all others of the first group."""
        others = [name for name in names if name != self._source]
        if not self.settings.count_input or not others:
            return 0.0, 0.0, 0.0
        size = sum(spec.bytes for spec in self.profile.inputs)
        nothing = [[0] * len(others)]
        return self._wires.exchange([self._source], others, [[size] * len(others)], nothing)[:3]

    def collect(self, names: tuple[str, ...], lies: Mapping[str, str]) -> Between:
        """All elements of the outputs that the source does not hold, to the source."""
        others = [k for k, name in enumerate(names) if name != self._source]
        if not self.settings.count_output or not others:
            return 0.0, 0.0, 0.0
        group = self.group(names)
        first = names.index(self._source) if self._source in names else 0
        sizes = [
            sum(
                group.size(
                    name, group.supplied(name, "whole" if len(names) == 1 else lies[name], k, first)
                )
                for name in self.profile.outputs
            )
            for k in others
        ]
        column, nothing = [[size] for size in sizes], [[0] for _ in sizes]
        senders = [names[k] for k in others]
        return self._wires.exchange(senders, [self._source], nothing, column)[:3]

    def cost(self, stages: Sequence[StagePlan]) -> PlanCost:
        """All numbers of a plan."""
        row, layers, handovers = 0, [], []
        lies: dict[str, Lies] = {}
        before: tuple[str, ...] = ()
        for stage in stages:
            group = self.group(stage.nodes)
            arrives = {name: "features" for name in self.crossing(row)}
            arrives |= {spec.name: "whole" for spec in self.profile.inputs}
            arrives |= dict(stage.arrives)
            if row:
                mains = {name: main(layouts) for name, layouts in lies.items()}
                handovers.append(self.handover(before, stage.nodes, row, mains, arrives))
            lies = self.begin(row, arrives)
            costs = []
            run = None
            for choice in choices_of(stage.layers, row):
                if choice.run is not None:
                    if run is None or choice.run.start == row:
                        run = group.entered(choice.run, group.converted(lies, choice))
                    choice = choice._replace(run=run)
                cost, lies = group.step(row, choice, lies)
                costs.append(cost)
                row += 1
            layers.append(costs)
            before = stage.nodes
        mains = {name: main(layouts) for name, layouts in lies.items()}
        return PlanCost(
            tuple(stage.nodes for stage in stages),
            layers,
            handovers,
            self.hand_out(stages[0].nodes),
            self.collect(before, mains),
            self.settings.overlap,
        )


def main(layouts: Lies) -> str:
    """The layout in which a tensor is handed on."""
    return next(layout for layout in ORDER if layout in layouts)


def choices_of(layers: Sequence[LayerPlan], row: int) -> Iterator[Choice]:
    """What a stage's plan says of its layers, with the rows of runs."""
    begin = row
    for at, layer in enumerate(layers):
        kept: Any = layer.kept_features
        if isinstance(kept, int):
            kept = tuple(
                tuple(kept * (i != j) for j in range(layer.nodes)) for i in range(layer.nodes)
            )
        run = None
        if layer.until is not None:
            if at == 0 or layers[at - 1].until != layer.until:
                begin = row + at
            stop = row + 1 + [item.name for item in layers].index(layer.until)
            run = Run(begin, stop)
        yield Choice(
            layer.way or "features",
            tuple((item.tensor, item.source, item.target) for item in layer.conversions),
            kept,
            run,
        )


@dataclass(frozen=True)
class PlanCost:
    """A plan's numbers; handovers and ends as `Between`."""

    nodes: tuple[tuple[str, ...], ...]
    layers: list[list[Cost]]
    handovers: list[Between]
    input_s: Between
    output_s: Between
    overlap: bool

    @property
    def latency_s(self) -> float:
        """Of one input."""
        join = max if self.overlap else lambda a, b: a + b
        inside = sum(join(c.comm_s, c.compute_s) for costs in self.layers for c in costs)
        return inside + sum(s for s, _, _ in self.handovers) + self.input_s[0] + self.output_s[0]

    @property
    def bottleneck_s(self) -> float:
        """Between two results."""
        busy = [s for _, s, _ in (*self.handovers, self.input_s, self.output_s)]
        medium = sum(m for _, _, m in (*self.handovers, self.input_s, self.output_s))
        for costs in self.layers:
            comm, compute = sum(c.wire_s for c in costs), sum(c.compute_s for c in costs)
            busy += [comm, compute] if self.overlap else [comm + compute]
            medium += sum(c.medium_s for c in costs)
        return max(*busy, medium)

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Of every node: all weights, and the most that is held at a time."""
        return {
            name: sum(c.weights[k] for c in costs) + max(c.live[k] for c in costs)
            for names, costs in zip(self.nodes, self.layers, strict=True)
            for k, name in enumerate(names)
        }

    @property
    def loss(self) -> float:
        """Points."""
        return sum(c.loss for costs in self.layers for c in costs)
