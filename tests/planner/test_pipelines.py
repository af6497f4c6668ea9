"""AR-MDI by hand, and what any pipeline of single nodes must be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from planner.domain.cluster import Cluster, Link, Node, PairLink
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.settings import CostSettings, Objective
from planner.solve.ring.shares import ar_mdi_workers
from planner.strategies.optimise import Request, optimise
from planner.strategies.pipeline import (
    Distance,
    ar_mdi,
    ar_mdi_macs,
    distance_to_optimum,
    optimal_allocation,
    pipeline_equal,
    plan_of_workers,
)
from planner.strategies.study import Study
from tests.planner.builders import Net, chain, cluster
from tests.planner.generators import clusters, networks

OBJECTIVES: tuple[Objective, ...] = ("latency", "throughput")


def test_among_equal_bottlenecks_the_least_latency_is_taken() -> None:
    # the second unit is the bottleneck wherever the others are; cutting twice costs more
    net = Net(1, 1)
    first = net.conv("image", 4)
    net.conv(net.conv(first, 1000), 4)
    study = Study(net.profile(), cluster(3, macs_per_s=1e3, bandwidth_bytes_per_s=1e3))
    plan, _ = optimal_allocation(study, 3, "throughput")
    assert plan is not None
    units = study.chain(3).units
    choices = [np.array([a, b, c]) for a in range(3) for b in range(a, 3) for c in range(b, 3)]
    assert len(units) == 3
    plans = [plan_of_workers(study, 3, workers, "any").predicted for workers in choices]
    top = max(p.throughput_per_s for p in plans)
    assert plan.predicted.throughput_per_s == pytest.approx(top, rel=1e-9)
    fastest = min(p.latency_s for p in plans if p.throughput_per_s >= top * (1 - 1e-9))
    assert plan.predicted.latency_s == pytest.approx(fastest, rel=1e-9)


def test_a_shared_medium_is_the_whole_clusters() -> None:
    slow = PairLink(between=("a", "c"), bandwidth_bytes_per_s=10.0)
    group = cluster(3, medium="shared", pair_links=(slow,))
    study = Study(chain(8, 8, 8), group)
    for objective in OBJECTIVES:
        plan = optimise(study, Request(2, "pipeline", objective, exactly=True))
        assert plan.node_count == 2


def test_one_unit_whose_input_and_output_share_the_medium() -> None:
    group = cluster(2, medium="shared")
    study = Study(chain(8), group, CostSettings(count_input=True, count_output=True))
    plan = optimise(study, Request(2, "pipeline", "throughput"))
    assert plan.certificate is not None
    assert plan.certificate.bound == pytest.approx(plan.predicted.throughput_per_s)


def stages_of(plan: Plan) -> list[int]:
    return [len(stage.layers) for stage in plan.stages]


@pytest.mark.parametrize(
    "gamma, stages",
    [
        # W = 12·4 parameters; ρ = W·(1/γ)/Σ(1/γ)
        ([1.0, 1.0, 1.0], [4, 4, 4]),
        ([1.0, 2.0], [8, 4]),  # ρ = 2/3, 1/3
        ([1.0, 2.0, 2.0], [6, 3, 3]),  # 1/2, 1/4, 1/4
        ([3.0, 1.0], [3, 9]),
        ([1.0, 3.0, 6.0], [8, 3, 1]),  # 2/3, 2/9, 1/9: cuts at 8 and 10.67
        ([1.0, 100.0], [12]),  # the second worker's share is nearer to none
    ],
)
def test_ar_mdi_cuts_at_the_shares_of_equation_1(gamma: list[float], stages: list[int]) -> None:
    net = Net(2, 1)
    last = "image"
    for _ in range(12):
        last = net.conv(last, 2)
    nodes = tuple(
        Node(name=f"n{index}", macs_per_s=1e6, seconds_per_param=value)
        for index, value in enumerate(gamma)
    )
    group = Cluster(name="ring", nodes=nodes, link=Link(bandwidth_bytes_per_s=1e6))
    plan = ar_mdi(Study(net.profile(), group), len(gamma))
    assert stages_of(plan) == stages
    assert [stage.nodes[0] for stage in plan.stages] == [f"n{i}" for i in range(len(stages))]


def test_ar_mdi_weighs_parameters_not_layers() -> None:
    net = Net(1, 1)
    net.conv(net.conv(net.conv(net.conv("image", 4), 4), 16), 2)
    study = Study(net.profile(), cluster(2))
    assert study.chain(2).params.tolist() == [4, 16, 64, 32]
    # half of 116 is nearer to the cut behind 84 than to the one behind 20
    assert stages_of(ar_mdi(study, 2)) == [3, 1]


def test_without_a_measured_gamma_speed_decides() -> None:
    net = Net(2, 1)
    last = "image"
    for _ in range(9):
        last = net.conv(last, 2)
    assert stages_of(ar_mdi(Study(net.profile(), cluster([2e6, 1e6])), 2)) == [6, 3]


def test_a_gamma_that_changes_moves_the_cut() -> None:
    params, gamma = np.full(12, 4), np.array([1.0, 1.0, 1.0])
    assert np.bincount(ar_mdi_workers(params, gamma)).tolist() == [4, 4, 4]
    # the first worker is now busy with something else, and takes three times as long
    assert np.bincount(ar_mdi_workers(params, gamma * [3, 1, 1])).tolist() == [2, 5, 5]
    assert np.bincount(ar_mdi_workers(params, gamma)).tolist() == [4, 4, 4]


def test_gamma_per_mac_cuts_where_the_work_is() -> None:
    # the parameters are at the end, the operations at the beginning
    net = Net(1, 256)
    body = net.conv(net.conv("image", 8, kernel=3), 8, kernel=3)
    net.conv(net.conv(body, 64, pixels=1), 64)
    study = Study(net.profile(), cluster([1e6, 1e6]))
    assert study.chain(2).params.tolist() == [72, 576, 512, 4096]
    assert study.chain(2).macs.tolist() == [18432, 147456, 512, 4096]
    # half of 5,256 is nearest to the cut behind 1,160; half of 170,496 to that behind 18,432
    by_params, by_macs = ar_mdi(study, 2), ar_mdi_macs(study, 2)
    assert stages_of(by_params) == [3, 1]
    assert stages_of(by_macs) == [1, 3]


def test_a_measured_gamma_counts_per_mac_as_well() -> None:
    net = Net(2, 1)
    last = "image"
    for _ in range(12):
        last = net.conv(last, 2)
    nodes = tuple(
        Node(name=f"n{index}", macs_per_s=1e6, seconds_per_param=value)
        for index, value in enumerate([1.0, 3.0, 6.0])
    )
    group = Cluster(name="ring", nodes=nodes, link=Link(bandwidth_bytes_per_s=1e6))
    assert stages_of(ar_mdi_macs(Study(net.profile(), group), 3)) == [8, 3, 1]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_distance_to_the_optimum(objective: Objective) -> None:
    study = Study(chain(8, 16, 32, 8), cluster([1e6, 3e6, 2e6]))
    best, _ = optimal_allocation(study, 3, objective)
    assert best is not None
    own = distance_to_optimum(study, 3, best)
    assert own is not None and own.proven
    of_the_other = own.throughput if objective == "latency" else own.latency
    assert (own.latency if objective == "latency" else own.throughput) == pytest.approx(0)
    assert of_the_other >= -1e-12
    for workers in ([0, 0, 0, 0], [0, 1, 1, 2], [0, 0, 2, 2]):
        plan = plan_of_workers(study, 3, np.array(workers), "any")
        found = distance_to_optimum(study, 3, plan)
        assert found is not None and found.latency >= -1e-12 and found.throughput >= -1e-12


def test_distances_in_words() -> None:
    assert Distance(0.12, 0.03, True).in_words() == (
        "12 % above the best allocation's latency, 3 % below its throughput"
    )
    assert Distance(-0.5, 0.0, False).in_words() == (
        "50 % below the best known allocation's latency, at its throughput"
    )


def test_no_distance_where_no_allocation_fits() -> None:
    study = Study(chain(64, 64), cluster(2, memory_bytes=100))
    assert distance_to_optimum(study, 2, ar_mdi(study, 2)) is None


@given(networks(), clusters(least=2))
def test_pipelines_cover_the_model_in_order(profile: ModelProfile, group: Cluster) -> None:
    study = Study(profile, group)
    ring = [node.name for node in group.first(len(group.nodes)).nodes]
    for make in (ar_mdi, ar_mdi_macs, pipeline_equal):
        plan = make(study, len(ring))
        named = [layer.name for stage in plan.stages for layer in stage.layers]
        assert named == [layer.name for layer in profile.layers]
        used = [stage.nodes[0] for stage in plan.stages]
        assert used == [name for name in ring if name in used]
