"""Plans in which every layer runs in a way of its own, drawn at random or written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from planner.case import Case
from planner.cost.ways import MADE_IN, layouts_read
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import (
    WAYS,
    WHOLE,
    Conversion,
    Holding,
    Layout,
    Way,
    holds,
    joined,
    settled,
)
from planner.domain.plan import LayerPlan, Plan, StagePlan
from planner.domain.settings import CostSettings
from planner.runtime.reading.traced import TracedModel
from planner.strategies.costed import cost_plan
from planner.structure import allocation_units, last_uses, tensors_across
from tests.runtime.cases import cluster

ARRIVALS: tuple[Layout, ...] = ("features", "positions", "samples", "whole", "one-node")


class Walk:
    """The layers of one stage, each in a way that is possible, with the conversions it needs."""

    def __init__(
        self, case: Case, nodes: tuple[str, ...], rows: range, rng: np.random.Generator
    ) -> None:
        self.rng, self.rows = rng, rows
        self.layers = case.profile.layers
        self.on = case.layouts(nodes)
        self.shares = case.shares(nodes)
        self.nodes = len(nodes)
        self.last = last_uses(case.profile)
        self.holdings: dict[str, Holding] = {spec.name: WHOLE for spec in case.profile.inputs}

    def arrive(self, names: Sequence[str]) -> tuple[tuple[str, Layout], ...]:
        found = []
        for name in names:
            if name in self.holdings:
                continue
            possible = [layout for layout in ARRIVALS if self.on.can_lie(name, layout)]
            layout = possible[self.rng.integers(len(possible))]
            self.holdings[name] = frozenset((layout,))
            found.append((name, layout))
        return tuple(found)

    def plans(self, wanted: Mapping[str, Way] | None = None) -> tuple[LayerPlan, ...]:
        found: list[LayerPlan] = []
        row = self.rows.start
        while row < self.rows.stop:
            run = self._run(row) if wanted is None else 1
            if run > 1:
                found += self._fused(row, row + run)
            else:
                layer = self.layers[row]
                found.append(self.plan(row, None if wanted is None else wanted.get(layer.name)))
            row += run
        return tuple(found)

    def plan(self, row: int, wanted: Way | None = None, until: str | None = None) -> LayerPlan:
        layer = self.layers[row]
        if self.nodes == 1:
            return LayerPlan(name=layer.name, nodes=1)
        ways = [WAYS[number] for number in self.rng.permutation(len(WAYS))]
        for way in ways if wanted is None else [wanted, *ways]:
            conversions = self.conversions([layer], way)
            if conversions is not None:
                break
        for item in conversions or ():
            self.holdings[item.tensor] = joined(self.holdings[item.tensor], item.target)
        self._settle(layer, MADE_IN[way])
        return LayerPlan(
            name=layer.name,
            nodes=self.nodes,
            way=way,
            layout=MADE_IN[way],
            conversions=tuple(conversions or ()),
            until=until,
            kept_features=self.kept(row) if way == "features" else None,
        )

    def _settle(self, layer: LayerProfile, made: Layout) -> None:
        for name in layer.inputs:
            self.holdings[name] = settled(self.holdings[name])
        self.holdings[layer.name] = frozenset((made,))

    def kept(self, row: int) -> tuple[tuple[int, ...], ...] | None:
        owned = self.shares.owned[row]
        if not self.shares.mixing[row] or not owned.any():
            return None
        return tuple(
            tuple(int(self.rng.integers(0, k + 1)) * (i != j) for j in range(self.nodes))
            for i, k in enumerate(owned.tolist())
        )

    def conversions(
        self, layers: Sequence[LayerProfile], way: Way, made: Sequence[str] = ()
    ) -> list[Conversion] | None:
        """What brings all inputs from outside to where the way reads them; None: nothing does."""
        found: list[Conversion] = []
        holdings = dict(self.holdings)
        for layer in layers:
            reads = layouts_read(layer, way)
            if reads is None or not self.on.can_lie(layer.name, MADE_IN[way]):
                return None
            if way == "sums" and not self.rows.start <= self.last[layer.name] < self.rows.stop:
                return None  # nobody of this group would add its parts up
            if way == "sums" and self._unread(layer.name):
                return None
            for name, layout in zip(layer.inputs, reads, strict=True):
                if name in made:
                    continue
                if way == "sums" and not self.on.can_lie(name, layout):
                    return None
                wanted: Layout = layout if self.on.can_lie(name, layout) else "whole"
                steps = self._path(name, holdings[name], wanted)
                if steps is None:
                    return None
                for item in steps:
                    holdings[name] = joined(holdings[name], item.target)
                found += steps
        return found

    def _unread(self, name: str) -> bool:
        return not any(name in layer.inputs for layer in self.layers)

    def _path(self, name: str, holding: Holding, wanted: Layout) -> list[Conversion] | None:
        if holds(holding, wanted):
            return []
        sources = sorted(holding)
        source = sources[self.rng.integers(len(sources))]
        if source == "sums" and wanted == "whole":
            middle: Layout = "positions" if self.rng.random() < 0.5 else "features"
            if not self.on.can_lie(name, middle):
                middle = "features"
            first = Conversion(tensor=name, source="sums", target=middle)
            return [first, Conversion(tensor=name, source=middle, target="whole")]
        if self.on.conversion(name, source, wanted) is None:
            return None
        return [Conversion(tensor=name, source=source, target=wanted)]

    def _run(self, row: int) -> int:
        """Layers that may be fused from here on; 1 where they are not."""
        length = int(self.rng.integers(1, 6))
        if self.nodes == 1 or length == 1 or self.rng.random() < 0.8:
            return 1
        layers: list[LayerProfile] = []
        for layer in self.layers[row : min(row + length, self.rows.stop)]:
            geometry = layer.positions
            names = [item.name for item in layers]
            if geometry is None or not geometry.parts or geometry.statistics_bytes:
                break
            if not self.on.can_lie(layer.name, "positions"):
                break
            whole = [n for n, w in zip(layer.inputs, geometry.reads, strict=True) if w is None]
            if set(whole) & set(names):
                break
            if self.conversions([*layers, layer], "positions", [*names, layer.name]) is None:
                break
            layers.append(layer)
        return max(len(layers), 1)

    def _fused(self, start: int, stop: int) -> list[LayerPlan]:
        layers = self.layers[start:stop]
        names = [layer.name for layer in layers]
        conversions = self.conversions(layers, "positions", names) or []
        for item in conversions:
            self.holdings[item.tensor] = joined(self.holdings[item.tensor], item.target)
        found = []
        for layer in layers:
            self._settle(layer, "positions")
            found.append(
                LayerPlan(
                    name=layer.name,
                    nodes=self.nodes,
                    way="positions",
                    layout="positions",
                    conversions=tuple(conversions),
                    until=names[-1],
                )
            )
            conversions = []
        return found


def way_plan(
    model: TracedModel,
    groups: Sequence[Sequence[float]],
    rng: np.random.Generator,
    *,
    casting: str = "unicast",
    wanted: Mapping[str, Way] | None = None,
    settings: CostSettings | None = None,
) -> Plan:
    """Stages at random cuts; on every layer any way that is possible, the wanted one first."""
    speeds = [speed for group in groups for speed in group]
    case = Case(model.profile, cluster(speeds, casting), settings or CostSettings())
    starts = [unit.start for unit in allocation_units(model.profile)][1:]
    count = min(len(groups) - 1, len(starts))
    cuts = [
        0,
        *sorted(rng.choice(starts, count, replace=False).tolist()),
        len(model.profile.layers),
    ]
    names = iter(node.name for node in case.cluster.nodes)
    across = tensors_across(model.profile, with_inputs=False)
    stages: list[StagePlan] = []
    for group, start, stop in zip(groups, cuts, cuts[1:], strict=False):
        members = tuple(next(names) for _ in group)
        walk = Walk(case, members, range(start, stop), rng)
        arrives: tuple[tuple[str, Layout], ...] = ()
        if start and len(members) > 1:
            arrives = walk.arrive(across[start - 1])
        stages.append(StagePlan(nodes=members, arrives=arrives, layers=walk.plans(wanted)))
    return cost_plan(case, tuple(stages), "drawn")
