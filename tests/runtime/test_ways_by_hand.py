"""Plans written by hand: what is sent and executed, counted on paper or element by element."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from planner.case import Case
from planner.domain.layouts import Conversion, Layout, Way
from planner.domain.owners import REPLICATED
from planner.domain.plan import LayerPlan, Plan, StagePlan
from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.slices import Slices
from planner.strategies.costed import cost_plan
from tests.runtime.cases import check, cluster, traced

Row = tuple[str, Way, Sequence[tuple[str, Layout, Layout]]]
"""A layer, its way, and what is converted before it: tensor, source, target."""


def written(
    model: TracedModel,
    *stages: tuple[Sequence[float], Sequence[Row]],
    casting: str = "unicast",
    arrives: dict[str, Layout] | None = None,
    until: dict[str, str] | None = None,
) -> Plan:
    """The plan of some stages; tensors arrive in the second one as it is said."""
    speeds = [speed for group, _ in stages for speed in group]
    case = Case(model.profile, cluster(speeds, casting))
    names = iter(node.name for node in case.cluster.nodes)
    found = []
    for number, (group, rows) in enumerate(stages):
        layers = tuple(
            LayerPlan(
                name=name,
                nodes=len(group),
                way=way if len(group) > 1 else None,
                conversions=tuple(
                    Conversion(tensor=tensor, source=source, target=target)
                    for tensor, source, target in conversions
                ),
                until=(until or {}).get(name),
            )
            for name, way, conversions in rows
        )
        arriving = tuple((arrives or {}).items()) if number else ()
        nodes = tuple(next(names) for _ in group)
        found.append(StagePlan(nodes=nodes, layers=layers, arrives=arriving))
    return cost_plan(case, tuple(found), "written")


class Two(nn.Module):
    """Two convolutions of 8 rows and 8 columns; a mean over both and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.b(torch.relu(self.a(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def two() -> TracedModel:
    return traced(Two(), 2, 2, 8, 8)


ROW_OF_FOUR = 2 * 4 * 8 * 4  # bytes of a row: samples, features, columns, bytes of a number
MACS_A, MACS_B = 2 * 4 * 64 * 2 * 9, 2 * 6 * 64 * 4 * 9


def sent(slices: Slices, name: str) -> dict[tuple[str, str], int]:
    return dict(slices.predicted.sent_bytes.get(name, {}))


def test_rows_with_halos(two: TracedModel) -> None:
    """Of 8 rows on speeds 1 and 3 the nodes have 2 and 6; each sends the one at the border."""
    rows: list[Row] = [
        ("a", "positions", []),
        ("relu", "positions", []),
        ("b", "positions", []),
        ("mean", "sums", []),
        ("head", "one-node", [("mean", "sums", "one-node")]),
    ]
    slices = check(two, written(two, ([1.0, 3.0], rows)))
    assert not sent(slices, "a")  # the image is on both nodes
    assert sent(slices, "b") == {("n0", "n1"): ROW_OF_FOUR, ("n1", "n0"): ROW_OF_FOUR}
    assert slices.predicted.macs["b"] == {"n0": MACS_B // 4, "n1": MACS_B * 3 // 4}
    assert sent(slices, "head (mean to one-node)") == {("n1", "n0"): 2 * 6 * 4}
    assert slices.predicted.macs["head"] == {"n0": 2 * 6 * 3}


def test_a_run_of_fused_halos(two: TracedModel) -> None:
    """One exchange before two layers, and the rows at the border are made by both nodes."""
    rows: list[Row] = [
        ("a", "positions", []),
        ("relu", "positions", []),
        ("b", "positions", []),
        ("mean", "sums", []),
        ("head", "whole", [("mean", "sums", "features"), ("mean", "features", "whole")]),
    ]
    fused = dict.fromkeys(("a", "relu", "b"), "b")
    slices = check(two, written(two, ([1.0, 1.0], rows), until=fused))
    assert not any(sent(slices, name) for name in fused)
    assert slices.predicted.macs["a"] == {"n0": MACS_A * 5 // 8, "n1": MACS_A * 5 // 8}
    assert slices.predicted.macs["b"] == {"n0": MACS_B // 2, "n1": MACS_B // 2}


def test_a_run_of_fused_halos_that_begins_in_the_middle(two: TracedModel) -> None:
    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
            self.c = nn.Conv2d(4, 4, 5, padding=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.b(self.a(x))
            return self.c(y) + y

    model = traced(Three(), 2, 2, 8, 8)
    rows: list[Row] = [(name, "positions", []) for name in ("a", "b", "c", "add")]
    slices = check(model, written(model, ([1.0, 1.0], rows), until={"b": "c", "c": "c"}))
    both = {("n0", "n1"): 3 * ROW_OF_FOUR, ("n1", "n0"): 3 * ROW_OF_FOUR}
    assert slices.predicted.sent_bytes == {"b": both}
    whole = 2 * 4 * 64 * 4 * 9
    assert slices.predicted.macs["b"] == {"n0": whole * 6 // 8, "n1": whole * 6 // 8}


@pytest.mark.parametrize("casting", ["unicast", "broadcast"])
def test_parts_of_a_sum(two: TracedModel, casting: str) -> None:
    """Each node multiplies the features that it has, and is sent what it adds up."""
    rows: list[Row] = [
        ("a", "outputs", []),
        ("relu", "features", []),
        ("b", "sums", []),
        ("mean", "features", [("b", "sums", "features")]),
        ("head", "outputs", [("mean", "features", "whole")]),
    ]
    slices = check(two, written(two, ([1.0, 1.0, 2.0], rows), casting=casting))
    assert slices.predicted.macs["a"] == {"n0": MACS_A // 4, "n1": MACS_A // 4, "n2": MACS_A // 2}
    assert slices.predicted.macs["b"] == {"n0": MACS_B // 4, "n1": MACS_B // 4, "n2": MACS_B // 2}
    feature, name = 2 * 64 * 4, "mean (b to features)"
    counts = {"n0": 2, "n1": 1, "n2": 3}
    assert sent(slices, name) == {
        (i, j): feature * counts[j] for i, j in product(counts, counts) if i != j
    }
    told = {"n0": 2 * 2 * 4, "n1": 2 * 4, "n2": 2 * 3 * 4}
    assert sent(slices, "head (mean to whole)") == {
        (i, j): told[i] for i, j in product(counts, counts) if i != j
    }
    once = casting == "broadcast"
    assert slices.predicted.wire_bytes["head (mean to whole)"] == sum(told.values()) * (2 - once)


LAYOUTS: tuple[Layout, ...] = ("features", "positions", "samples", "whole", "one-node")
MADE_BY: dict[Layout, Way] = {
    "features": "outputs",
    "positions": "positions",
    "samples": "samples",
    "whole": "whole",
    "one-node": "one-node",
    "sums": "sums",
}


def holders(model: TracedModel, name: str, layout: Layout, speeds: Sequence[float]) -> np.ndarray:
    """Which node holds which element, shape (n, *shape): as the layouts are defined."""
    case = Case(model.profile, cluster(speeds))
    group = tuple(node.name for node in case.cluster.nodes)
    owners = case.shares(group).owners[name]
    shape = model.tensor(name).shape
    found = np.zeros((len(speeds), *shape), dtype=np.bool_)
    parts = {"samples": (0, 2), "features": (1, len(owners)), "positions": (2, 8)}
    for node in range(len(speeds)):
        if layout == "features":
            mine = (owners == node) | (owners == REPLICATED)
            found[node] = mine[None, :, None, None]
        elif layout in ("positions", "samples"):
            axis, count = parts[layout]
            exact = np.array(speeds) * count / sum(speeds)
            sizes = np.floor(exact).astype(int)
            for late in np.argsort(-(exact - sizes), kind="stable")[: count - sizes.sum()]:
                sizes[late] += 1
            start = sizes[:node].sum()
            rows = np.isin(np.arange(count), np.arange(start, start + sizes[node]))
            found[node] = rows.reshape([-1 if a == axis else 1 for a in range(4)])
        elif layout == "whole" or node == 0:
            found[node] = True
    return found


CONVERSIONS = [
    (source, target)
    for source in ("features", "positions", "samples", "one-node", "sums")
    for target in LAYOUTS
    if source != target and (source, target) != ("sums", "whole")
]


@pytest.mark.parametrize("speeds", [[1.0, 1.0], [1.0, 3.0, 2.0], [1.0, 9.0, 1.0, 4.0]])
@pytest.mark.parametrize(("source", "target"), CONVERSIONS)
def test_conversions_element_by_element(
    two: TracedModel, source: Layout, target: Layout, speeds: list[float]
) -> None:
    if source == "sums":
        rows: list[Row] = [("a", "outputs", []), ("relu", "features", []), ("b", "sums", [])]
    else:
        way = MADE_BY[source]
        rows = [("a", way, []), ("relu", "whole", [("a", source, "whole")]), ("b", way, [])]
    rows += [
        ("mean", "one-node" if target == "one-node" else "whole", _then(source, target)),
        ("head", "one-node", []),
    ]
    slices = check(two, written(two, (speeds, rows)))
    needs = holders(two, "b", target, speeds)
    has = np.ones_like(needs) if source == "sums" else holders(two, "b", source, speeds)
    counted = {}
    for i, j in product(range(len(speeds)), repeat=2):
        lacks = needs[j] if source == "sums" else needs[j] & ~has[j]
        size = int((has[i] & lacks).sum()) * 4
        if i != j and size:
            counted[f"n{i}", f"n{j}"] = size
    assert sent(slices, f"mean (b to {target})") == counted


def _then(source: Layout, target: Layout) -> list[tuple[str, Layout, Layout]]:
    """The conversion in question, and then one that lets all read it."""
    first = [("b", source, target)]
    return first if target in ("whole", "one-node") else [*first, ("b", target, "whole")]


@pytest.mark.parametrize("before", LAYOUTS)
@pytest.mark.parametrize("after", LAYOUTS)
@pytest.mark.parametrize("groups", [([1.0, 3.0], [2.0, 1.0, 1.0]), ([1.0, 1.0, 1.0], [1.0])])
def test_changes_of_group_element_by_element(
    two: TracedModel, before: Layout, after: Layout, groups: tuple[list[float], list[float]]
) -> None:
    senders, receivers = groups
    kept: Way = "features" if before == "features" else MADE_BY[before]
    first: list[Row] = [("a", MADE_BY[before], []), ("relu", kept, [])]
    reads: list[tuple[str, Layout, Layout]] = [("relu", after, "whole")]
    alone = len(receivers) == 1
    then: list[Row] = [
        ("b", "whole", [] if after == "whole" or alone else reads),
        ("mean", "whole", []),
        ("head", "whole", []),
    ]
    arrives: dict[str, Layout] = {} if alone else {"relu": after}
    slices = check(two, written(two, (senders, first), (receivers, then), arrives=arrives))
    has = holders(two, "relu", before, senders)
    has[1:] &= ~has[:1]  # what several hold comes from the first
    needs = holders(two, "relu", "whole" if alone else after, receivers)
    counted = {
        (f"n{i}", f"n{len(senders) + j}"): int((mine & theirs).sum()) * 4
        for i, mine in enumerate(has)
        for j, theirs in enumerate(needs)
    }
    assert sent(slices, "(into stage 2)") == {pair: n for pair, n in counted.items() if n}


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4)
        self.b = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.norm(self.a(x)))


@pytest.mark.parametrize("casting", ["unicast", "broadcast"])
def test_statistics_of_rows(casting: str) -> None:
    """Two numbers of every group of every sample, from each node to all others."""
    model = traced(Normed(), 3, 2, 6, 5)
    rows: list[Row] = [(name, "positions", []) for name in ("a", "norm", "b")]
    slices = check(model, written(model, ([1.0, 1.0, 1.0], rows), casting=casting))
    assert set(sent(slices, "norm").values()) == {2 * 3 * 2 * 4}
    assert len(sent(slices, "norm")) == 6
    on_wire = 3 * (1 if casting == "broadcast" else 2) * 48
    assert slices.predicted.wire_bytes["norm"] == on_wire
    with pytest.raises(BadInputError, match="layer 'norm': is no part of a run of halos"):
        fused = dict.fromkeys(("a", "norm", "b"), "b")
        slice_model(model, written(model, ([1.0, 1.0], rows), until=fused))


def test_an_output_whose_parts_are_not_added_up(two: TracedModel) -> None:
    rows: list[Row] = [
        ("a", "whole", []),
        ("relu", "whole", []),
        ("b", "whole", []),
        ("mean", "features", []),
        ("head", "sums", []),
    ]
    with pytest.raises(BadInputError, match="'head'"):
        slice_model(two, written(two, ([1.0, 1.0], rows)))


def test_a_layer_whose_input_does_not_lie_as_it_reads_it(two: TracedModel) -> None:
    rows: list[Row] = [("a", "positions", []), ("relu", "samples", [])]
    rows += [(name, "whole", []) for name in ("b", "mean", "head")]
    with pytest.raises(BadInputError, match="layer 'relu': reads 'a' as 'samples'"):
        written(two, ([1.0, 1.0], rows))


class Divided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(self.a(x), 2, divisor_override=3)


def test_an_operator_without_a_rule_for_rows() -> None:
    model = traced(Divided(), 1, 2, 6, 6)
    names = [layer.name for layer in model.profile.layers]
    rows: list[Row] = [(name, "positions", []) for name in names]
    with pytest.raises(BadInputError, match=r"avg_pool2d.*its maps are not whole"):
        slice_model(model, written(model, ([1.0, 1.0], rows)))
