"""What the planner answers: how many nodes, what wins a tie, why nothing fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.accuracy.model import curve_model
from planner.accuracy.spreading import SpreadingRule
from planner.case import Case, sparsifiable_layers
from planner.domain.layouts import WAYS, Way
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits, Objective
from planner.errors import BadInputError, InfeasibleError, SolverStoppedError
from planner.solve.deadline import Deadline
from planner.solve.solver import solve
from planner.strategies.baselines import single_node, uniform
from planner.strategies.groups import all_groups
from planner.strategies.optimise import (
    find_plan,
    optimal_allocation,
    optimal_sparsity,
    optimise,
)
from planner.strategies.problem_of import cost_groups, problem_of
from profiles.catalog import load_cluster, load_curve, load_model
from tests.planner.builders import Net, best, chain, cluster, linear_loss

LEVELS = (0.0, 0.5, 0.8, 0.9, 1.0)
OBJECTIVES: tuple[Objective, ...] = ("latency", "throughput")


@pytest.mark.parametrize("parallelism", ["within-layer", "pipeline", "hybrid"])
@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_the_exact_number_of_nodes_is_honoured(nodes: int, parallelism: Any) -> None:
    case = Case(chain(8, 8, 8, 8), cluster(4, bandwidth_bytes_per_s=10.0))
    for objective in OBJECTIVES:
        request = Request(nodes, parallelism, objective, exactly=True)
        plan = optimise(case, request)
        assert plan.node_count == nodes
        working = {name for stage in plan.stages for name in stage.nodes}
        assert working == {"a", "b", "c", "d"} & set("abcd"[:nodes])


def test_more_nodes_than_layers_cannot_each_have_one() -> None:
    case = Case(chain(8, 8), cluster(4))
    with pytest.raises(InfeasibleError, match="4 nodes cannot each have one of 2 layers"):
        optimise(case, Request(4, "pipeline", exactly=True))


def test_more_nodes_than_the_cluster_has_are_refused() -> None:
    case = Case(chain(8, 8), cluster(2))
    with pytest.raises(BadInputError, match="3 nodes: cluster cluster has 1 to 2"):
        optimise(case, Request(3))


@pytest.mark.parametrize(
    "rule, drop", [("equal", 0.0), ("equal", 0.3), ("activations", 0.5), ("macs", 0.3)]
)
def test_the_head_mounted_pair_is_better_off_with_one_node(
    rule: SpreadingRule, drop: float
) -> None:
    profile = load_model("resnet50")
    curve = load_curve("resnet50-imagenet")
    case = Case(
        profile,
        load_cluster("head-mounted"),
        loss_model=curve_model(curve, profile, sparsifiable_layers(profile), rule),
    )
    plan = best(case, drop, ways=("features",))
    assert (plan.strategy, plan.node_count) == ("single-node", 1)
    assert plan.predicted.latency_s == single_node(case).predicted.latency_s
    pair = next(other for other in plan.alternatives if other.strategy == "optimal-sparsity")
    assert pair.nodes == 2 and pair.reason.endswith("slower")


def test_in_every_way_the_head_mounted_pair_gains_no_more_than_its_halos_leave() -> None:
    """Without loss both nodes compute half at best: whatever is gained, no plan beats that."""
    case = Case(load_model("resnet50"), load_cluster("head-mounted"))
    alone = single_node(case).predicted.latency_s
    plan = best(case)
    assert alone / 2 < plan.predicted.latency_s < alone
    assert plan.predicted.compute_s > alone / 2 and plan.predicted.energy_loss is None


def test_ties_go_to_fewer_nodes() -> None:
    # one feature cannot be shared out: a second node is idle and the latency the same
    case = Case(chain(1, 1, image=1), cluster(3, bandwidth_bytes_per_s=1e20))
    assert best(case).node_count == 1
    # two heads can be on two nodes, and on four they are on two as well
    net = Net(1, 1)
    second = net.conv(net.conv("image", 4, granularity=2), 4, granularity=2)
    net.conv(second, 4, granularity=2)
    case = Case(net.profile(), cluster(4, bandwidth_bytes_per_s=1e20))
    assert best(case, parallelism="within-layer").node_count == 2


def test_a_tie_between_kinds_of_parallelism_goes_to_fewer_nodes() -> None:
    # three nodes share the two heads of each layer, two nodes take a layer each: as busy
    net = Net(1, 1)
    net.conv(net.conv("image", 4, granularity=2), 4, granularity=2)
    one, other = net.profile().layers
    profile = net.profile().model_copy(
        update={"layers": (one.model_copy(update={"macs": other.macs}), other)}
    )
    case = Case(profile, cluster(3, bandwidth_bytes_per_s=1e20), levels=(0.0,))
    within, _ = optimal_sparsity(case, Request(3, objective="throughput"))
    staged, _ = optimal_allocation(case, Request(3, objective="throughput"))
    assert within is not None and staged is not None
    assert (within.node_count, staged.node_count) == (3, 2)
    assert within.predicted.throughput_per_s == pytest.approx(
        staged.predicted.throughput_per_s, rel=1e-9
    )
    plan = optimise(case, Request(3, objective="throughput"))
    # with one input at a time, two nodes that share every layer are done sooner
    assert (plan.strategy, plan.node_count) == ("optimal-sparsity", 2)


def test_limits_without_an_accuracy_model_are_refused() -> None:
    case = Case(chain(8, 8), cluster(2))
    with pytest.raises(BadInputError, match="has no accuracy model"):
        optimise(case, Request(2, limits=Limits(max_accuracy_drop=0.5)))


@pytest.mark.parametrize(
    "limits, words",
    [
        (Limits(max_latency_s=1e-6), r"latency binds: the limit is 1e-06 s"),
        (Limits(min_throughput_per_s=1e6), r"throughput binds: the limit is 1e\+06 inputs/s"),
        (Limits(max_accuracy_drop=0.0, max_latency_s=1e-3), r"binds"),
    ],
)
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("ways", [("features",), WAYS], ids=["features", "all"])
def test_why_nothing_fits(limits: Limits, words: str, overlap: bool, ways: tuple[Way, ...]) -> None:
    profile = chain(8, 8, 8)
    case = Case(
        profile,
        cluster(2, macs_per_s=1e5, bandwidth_bytes_per_s=1e5),
        CostSettings(overlap=overlap),
        loss_model=linear_loss(profile),
    )
    with pytest.raises(InfeasibleError, match=words):
        optimise(case, Request(2, "within-layer", limits=limits, exactly=True, ways=ways))


def test_why_the_latency_does_not_fit_counts_input_and_output() -> None:
    profile = chain(8, 8)
    case = Case(
        profile, cluster(2), CostSettings(count_input=True, count_output=True), levels=LEVELS
    )
    least = min(uniform(case, 2, level).predicted.latency_s for level in LEVELS)
    limits = Limits(max_latency_s=least / 100)
    asked = Request(
        2, "within-layer", limits=limits, exactly=True, ways=("features",), max_sparsity=1.0
    )
    with pytest.raises(InfeasibleError) as raised:
        optimise(case, asked)
    assert f"the limit is {least / 100:.6g} s" in str(raised.value)
    named = float(str(raised.value).split("works is ")[1].split(" s")[0])
    assert named == pytest.approx(least, rel=2e-6)
    fits = optimise(case, replace(asked, limits=Limits(max_latency_s=named)))
    assert fits.predicted.latency_s == pytest.approx(least, rel=1e-9)


def test_in_every_way_the_least_latency_is_named_that_works() -> None:
    case = Case(chain(8, 8), cluster(2), CostSettings(count_input=True, count_output=True))
    asked = Request(2, "within-layer", exactly=True)
    least = optimise(case, asked).predicted.latency_s
    with pytest.raises(InfeasibleError) as raised:
        optimise(case, replace(asked, limits=Limits(max_latency_s=least / 100)))
    named = float(str(raised.value).split("works is ")[1].split(" s")[0])
    assert named == pytest.approx(least, rel=2e-6)
    fits = optimise(case, replace(asked, limits=Limits(max_latency_s=named)))
    assert fits.predicted.latency_s == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_without_any_time_a_simple_plan_is_the_answer(objective: Objective) -> None:
    profile = load_model("resnet50")
    curve = load_curve("resnet50-imagenet")
    case = Case(
        profile,
        load_cluster("small-nodes"),
        CostSettings(overlap=True),
        loss_model=curve_model(curve, profile, sparsifiable_layers(profile)),
    )
    limits = Limits(max_accuracy_drop=0.5)
    for solver in ("auto", "ilp"):
        request = Request(8, "within-layer", objective, limits, solver=solver, time_limit_s=0.0)
        plan = optimise(case, request)
        assert plan.strategy == "single-node"
        assert plan.certificate is not None and plan.certificate.status == "feasible"
        assert plan.certificate.bound is None  # nothing is known of groups that were not costed


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_solver_without_time_says_so(objective: Objective) -> None:
    profile = chain(64, 64, 64, 64)  # more than one node's memory
    case = Case(profile, cluster(4, memory_bytes=profile.totals.param_bytes // 2))
    request = Request(4, objective=objective, time_limit_s=0.0)
    with pytest.raises(SolverStoppedError, match="stopped after 0 s without a plan"):
        optimise(case, request)
    assert optimise(case, replace(request, time_limit_s=None)).node_count > 1


@pytest.mark.parametrize("speeds", [[1e6] * 10, range(1, 11)], ids=["alike", "unlike"])
@pytest.mark.parametrize("parallelism", ["within-layer", "pipeline", "hybrid"])
def test_without_any_time_the_one_node_that_holds_everything_is_found(
    parallelism: Any, speeds: Any
) -> None:
    profile = chain(64, 64, 64, 64)
    half = profile.totals.param_bytes // 2
    case = Case(profile, cluster(speeds, memory_bytes=[half] * 8 + [8 * half, half]))
    plan = optimise(case, Request(10, parallelism, time_limit_s=0.0))
    assert [stage.nodes for stage in plan.stages] == [("i",)]
    assert plan.certificate is not None and plan.certificate.status == "feasible"


def test_input_and_output_share_a_shared_medium() -> None:
    # all bytes / B is the bottleneck once the nodes are fast enough
    profile = chain(8, 8, image=64)
    settings_ = CostSettings(count_input=True, count_output=True)
    case = Case(profile, cluster(2, macs_per_s=1e12, medium="shared"), settings_, levels=(0.0,))
    image, output = 64 * 4 * 4, 8 * 4 * 4
    exchanged = 8 * 4 * 4
    plan, _ = optimal_sparsity(case, Request(2, objective="throughput"))
    assert plan is not None and plan.certificate is not None
    busy = (image + exchanged + output / 2) / 1e6
    assert plan.predicted.throughput_per_s == pytest.approx(1 / busy)
    assert plan.certificate.bound == pytest.approx(1 / busy)
    # both do everything: the source has the output then, and only the input is sent
    plan, _ = find_plan(case, Request(2, "within-layer", "throughput", exactly=True))
    assert plan is not None and plan.certificate is not None
    busy = image / 1e6
    assert plan.predicted.throughput_per_s == pytest.approx(1 / busy)
    assert plan.certificate.bound == pytest.approx(1 / busy)
    staged, _ = optimal_allocation(case, Request(2, objective="throughput", exactly=True))
    assert staged is not None and staged.certificate is not None
    busy = (exchanged + output) / 1e6  # the source has the input already
    assert staged.predicted.throughput_per_s == pytest.approx(1 / busy)
    assert staged.certificate.bound == pytest.approx(1 / busy)


@pytest.mark.parametrize("solver", ["auto", "ilp", "exhaustive"])
def test_the_delay_of_input_and_output_occupies_no_medium(solver: str) -> None:
    profile, ends = chain(8, 8, image=64), CostSettings(count_input=True, count_output=True)
    group = cluster(2, macs_per_s=1e12, latency_s=0.0001, medium="shared", source_node="b")
    case = Case(profile, group, ends, levels=(0.0,))
    request = Request(2, "pipeline", objective="throughput", exactly=True, solver=solver)
    plan = optimise(case, request)
    sent = (8 + 8) * 4 * 4 / 1e6  # the source has the input already
    assert plan.predicted.throughput_per_s == pytest.approx(1 / sent)


def test_memory_forces_a_plan_onto_more_nodes() -> None:
    profile = chain(64, 64, 64, 64)
    size = profile.totals.param_bytes // 2
    case = Case(profile, cluster(4, bandwidth_bytes_per_s=10.0, memory_bytes=size))
    plan = best(case)
    assert plan.node_count > 1
    alone = next(other for other in plan.alternatives if other.nodes == 1)
    assert alone.reason.startswith("does not fit: memory of a binds: its limit is")


def test_a_plan_names_its_accuracy_model() -> None:
    profile = load_model("resnet50")
    model = curve_model(load_curve("resnet50-imagenet"), profile, sparsifiable_layers(profile))
    plan = uniform(Case(profile, load_cluster("head-mounted"), loss_model=model), 2, 0.9)
    assert plan.accuracy_model == "curve:resnet50-imagenet/equal-squares"
    assert uniform(Case(profile, load_cluster("head-mounted")), 2, 0.9).accuracy_model is None


def test_where_time_ends_before_the_handovers_single_nodes_still_follow_each_other() -> None:
    case = Case(chain(16, 8, 32, 8), cluster([1e6 * (1 + n) for n in range(5)]))
    (groups,) = all_groups(case, "hybrid")
    request = Request(5)
    whole = cost_groups(case, groups, case.levels, False, Deadline())
    # the costs of layers are known by now, so that only the handovers meet the deadline
    cut = cost_groups(case, groups, case.levels, False, LateDeadline(looks=len(groups.uses)))
    assert whole.complete and not cut.complete
    alone = cut.groups.uses.sum(axis=1) == 1
    assert np.array_equal(cut.groups.follows, groups.follows & alone[:, None] & alone)
    assert np.array_equal(cut.latency_s, whole.latency_s)
    one = cut.groups.may_follow()
    assert np.array_equal(cut.transfer_s[one], whole.transfer_s[one])
    assert solve(problem_of(case, cut, request)).choice is not None


class LateDeadline(Deadline):
    """One that passes after so many looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__(None)
        object.__setattr__(self, "looks", looks)

    @property
    def passed(self) -> bool:
        object.__setattr__(self, "looks", self.looks - 1)  # type: ignore[attr-defined]
        return self.looks < 0  # type: ignore[attr-defined,no-any-return]
