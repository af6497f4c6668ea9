"""Plans in every way against a second computation, from sets of elements."""

from __future__ import annotations

from random import Random

import pytest

from planner.case import Case
from planner.cost.stage import StageCosts
from planner.domain.layouts import Conversion
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.strategies.costed import cost_stages, predict
from tests.planner.builders import linear_loss
from tests.planner.spread_nets import SpreadNet, random_net
from tests.planner.way_cases import random_cluster, random_settings, random_stages
from tests.planner.ways_oracle import Cost, WaysOracle

CLOSE = {"rel": 1e-12, "abs": 0.0}


def is_costed_alike(seed: int) -> None:
    """A random plan of a random model: to the byte, to the MAC, and to 1e-12 in seconds."""
    rng = Random(seed)
    profile = random_net(rng, rng.randint(2, 7), samples=rng.choice([1, 1, 2]))
    group, conventions = random_cluster(rng, rng.randint(2, 4)), random_settings(rng)
    oracle = WaysOracle(profile, group, conventions)
    stages = tuple(random_stages(rng, oracle, profile))
    wanted = oracle.cost(stages)
    case = Case(profile, group, conventions, loss_model=linear_loss(profile))
    found = cost_stages(case, stages)
    for stage, costs in zip(found.stages, wanted.layers, strict=True):
        for row, cost in enumerate(costs, start=stage.rows.start):
            is_layer(stage, row, cost)
    assert found.memory_bytes == wanted.memory_bytes
    for handed, other in zip(found.handovers, wanted.handovers, strict=True):
        assert handed.columns[:3] == pytest.approx(other, **CLOSE)
    for end, other in zip(found.ends, (wanted.input_s, wanted.output_s), strict=True):
        assert end.columns[:3] == pytest.approx(other, **CLOSE)
    assert found.latency_s == pytest.approx(wanted.latency_s, **CLOSE)
    assert found.bottleneck_s == pytest.approx(wanted.bottleneck_s, **CLOSE)
    if found.bottleneck_s:
        assert predict(case, stages).accuracy_drop == pytest.approx(wanted.loss, abs=1e-9)


def is_layer(stage: StageCosts, row: int, cost: Cost) -> None:
    table, at = stage.table, (row, 0)
    for name, numbers in (
        ("macs", cost.macs),
        ("weight_bytes", cost.weights),
        ("live_bytes", cost.live),
        ("sent_bytes", cost.sent),
    ):
        assert tuple(getattr(table, name)[at].tolist()) == numbers, (name, row)
    for name, seconds in (
        ("comm_s", cost.comm_s),
        ("wire_s", cost.wire_s),
        ("compute_s", cost.compute_s),
        ("medium_s", cost.medium_s),
    ):
        assert float(getattr(table, name)[at]) == pytest.approx(seconds, **CLOSE), (name, row)


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_plans_are_costed_as_their_elements_are(first: int) -> None:
    for seed in range(first, first + 100):
        is_costed_alike(seed)


@pytest.mark.thorough
@pytest.mark.parametrize("first", range(400, 2400, 200))
def test_no_plan_is_costed_otherwise(first: int) -> None:
    for seed in range(first, first + 200):
        is_costed_alike(seed)


def two_convolutions() -> SpreadNet:
    net = SpreadNet(2, rows=8)
    net.window(net.window("image", 4), 4)
    return net


def parted(*layers: LayerPlan) -> tuple[StagePlan, ...]:
    return (StagePlan(nodes=("a", "b"), layers=layers),)


def test_the_halo_of_a_run_is_held_once() -> None:
    """Two fused convolutions of three rows on eight rows: a node fetches two and makes five."""
    profile = two_convolutions().profile()
    group = random_cluster(Random(0), 2, equal=True)
    counted = Case(profile, group, CostSettings())
    layers = [
        LayerPlan(name=layer.name, nodes=2, way="positions", until="conv_1")
        for layer in profile.layers
    ]
    (stage,) = cost_stages(counted, parted(*layers)).stages
    row = 4  # bytes of a feature's row; the image is on every node, so that nothing is fetched
    assert stage.table.live_bytes[:, 0].tolist() == [
        [(2 * 8 + 4 * 5) * row] * 2,
        [(4 * 5 + 4 * 4) * row] * 2,
    ]
    assert stage.table.macs[:, 0].tolist() == [[3 * 2 * 4 * 5] * 2, [3 * 4 * 4 * 4] * 2]
    assert stage.table.sent_bytes.sum() == 0
    # behind another layer by rows, the two rows that a node lacks are fetched, and kept
    net = two_convolutions()
    net.window("conv_1", 2)
    profile = net.profile()
    layers = [LayerPlan(name="conv_0", nodes=2, way="positions")]
    layers += [
        LayerPlan(name=name, nodes=2, way="positions", until="conv_2")
        for name in ("conv_1", "conv_2")
    ]
    (stage,) = cost_stages(Case(profile, group), parted(*layers)).stages
    halo = 2 * 4 * row
    assert stage.table.sent_bytes[1:, 0].tolist() == [[halo] * 2, [0, 0]]
    assert stage.table.live_bytes[1:, 0].tolist() == [
        [4 * 4 * row + halo + 4 * 5 * row] * 2,
        [4 * 5 * row + halo + 2 * 4 * row] * 2,
    ]


@pytest.mark.parametrize(
    ("source", "target"),
    [("whole", "features"), ("features", "features"), ("positions", "sums"), ("sums", "whole")],
)
def test_conversions_that_lead_nowhere_are_refused(source: str, target: str) -> None:
    profile = two_convolutions().profile()
    way = {"sums": "sums", "whole": "whole", "positions": "positions"}.get(source, "features")
    conversion = Conversion(tensor="conv_0", source=source, target=target)  # type: ignore[arg-type]
    layers = (
        LayerPlan(name="conv_0", nodes=2, way=way),  # type: ignore[arg-type]
        LayerPlan(name="conv_1", nodes=2, way="whole", conversions=(conversion,)),
    )
    case = Case(profile, random_cluster(Random(0), 2, equal=True))
    with pytest.raises(BadInputError, match=f"cannot be brought from '{source}' to '{target}'"):
        cost_stages(case, parted(*layers))


def test_a_layer_without_work_writes_over_the_models_input_in_every_way() -> None:
    """What all nodes hold of the input, all make of the output: no room of its own is needed."""
    net = SpreadNet(2, rows=8)
    net.window(net.pointwise("image"), 4)
    profile = net.profile()
    case = Case(profile, random_cluster(Random(0), 2, equal=True))
    handed = Conversion(tensor="relu_0", source="features", target="positions")
    for last in (
        LayerPlan(name="conv_1", nodes=2),
        LayerPlan(name="conv_1", nodes=2, way="positions", conversions=(handed,)),
    ):
        first = LayerPlan(name="relu_0", nodes=2, way="features")
        (stage,) = cost_stages(case, parted(first, last)).stages
        assert stage.table.live_bytes[0, 0].tolist() == [2 * 8 * 4] * 2
