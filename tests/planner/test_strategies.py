"""What must hold between plans: none is beaten by a baseline, and more of anything never hurts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planner.accuracy.model import curve_model
from planner.accuracy.spreading import SPREADING_RULES, SpreadingRule
from planner.case import Case, sparsifiable_layers
from planner.domain.cluster import Cluster, Link
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits, Objective
from planner.errors import InfeasibleError
from planner.strategies.baselines import (
    ar_mdi,
    pipeline_equal,
    uniform,
)
from planner.strategies.costed import predict
from planner.strategies.optimise import optimal_sparsity, optimise
from profiles.catalog import load_cluster, load_curve, load_model
from tests.examples import some
from tests.planner.builders import best, linear_loss, with_nodes
from tests.planner.generators import chains, clusters, networks

LEVELS = (0.0, 0.5, 0.8, 0.9, 1.0)
OBJECTIVES: tuple[Objective, ...] = ("latency", "throughput")


@st.composite
def studies(draw: st.DrawFn, least: int = 1, equal: bool | None = None) -> Case:
    """A small model on a small cluster, every setting, with an accuracy model."""
    profile = draw(networks(most=5) | chains())
    options = {
        name: draw(st.booleans())
        for name in ("overlap", "share_inputs", "count_input", "count_output")
    }
    return Case(
        profile,
        draw(clusters(least=least, equal=equal)),
        CostSettings(**options),
        loss_model=linear_loss(profile),
        levels=LEVELS,
    )


def seconds(plan: Plan, objective: Objective) -> float:
    predicted = plan.predicted
    return predicted.latency_s if objective == "latency" else 1 / predicted.throughput_per_s


drops = st.sampled_from([0.0, 0.3, 1.0, 2.5])


@given(studies(least=2), st.sampled_from(LEVELS), st.sampled_from(OBJECTIVES))
def test_at_equal_accuracy_the_best_levels_are_no_slower_than_uniform_ones(
    case: Case, level: float, objective: Objective
) -> None:
    nodes = len(case.cluster.nodes)
    before = uniform(case, nodes, level)
    limits = Limits(max_accuracy_drop=before.predicted.accuracy_drop)
    plan, result = optimal_sparsity(case, Request(nodes, objective=objective, limits=limits))
    assert result.certificate.status == "optimal" and plan is not None
    assert seconds(plan, objective) <= seconds(before, objective) * (1 + 1e-9)
    assert before.predicted.accuracy_drop is not None and plan.predicted.accuracy_drop is not None
    assert plan.predicted.accuracy_drop <= before.predicted.accuracy_drop * (1 + 1e-9)


@pytest.mark.parametrize("rule", SPREADING_RULES)
@pytest.mark.parametrize("nodes", [2, 3, 4])
def test_at_equal_accuracy_resnet50_is_no_slower_than_uniform(
    rule: SpreadingRule, nodes: int
) -> None:
    profile = load_model("resnet50")
    curve = load_curve("resnet50-imagenet")
    model = curve_model(curve, profile, sparsifiable_layers(profile), rule)
    case = Case(profile, load_cluster("small-nodes"), loss_model=model)
    for sparsity in (0.0, 0.5, 0.8, 0.9, 0.95, 0.99):
        before = uniform(case, nodes, sparsity).predicted
        limits = Limits(max_accuracy_drop=before.accuracy_drop)
        plan, _ = optimal_sparsity(case, Request(nodes, limits=limits))
        assert plan is not None
        assert plan.predicted.latency_s <= before.latency_s * (1 + 1e-9)


def changed(
    group: Cluster, *, speed: float = 1.0, bandwidth: float = 1.0, delay: float = 1.0
) -> Cluster:
    """The cluster with all its speeds, bandwidths and delays multiplied."""
    nodes = tuple(
        node.model_copy(
            update={
                "macs_per_s": node.macs_per_s * speed,
                "layer_overhead_s": node.layer_overhead_s * delay,
                "memory_bytes_per_s": node.memory_bytes_per_s and node.memory_bytes_per_s * speed,
            }
        )
        for node in group.nodes
    )

    def link(old: Link) -> dict[str, float]:
        return {
            "bandwidth_bytes_per_s": old.bandwidth_bytes_per_s * bandwidth,
            "latency_s": old.latency_s * delay,
        }

    return group.model_copy(
        update={
            "nodes": nodes,
            "link": group.link.model_copy(update=link(group.link)),
            "pair_links": tuple(pair.model_copy(update=link(pair)) for pair in group.pair_links),
        }
    )


def on(case: Case, group: Cluster) -> Case:
    return replace(case, cluster=group)


@given(
    studies(),
    drops,
    st.sampled_from(OBJECTIVES),
    st.sampled_from(["speed", "bandwidth", "fewer delays"]),
)
def test_faster_nodes_or_links_never_hurt(
    case: Case, drop: float, objective: Objective, what: str
) -> None:
    before = best(case, drop, objective=objective)
    factor = {"fewer delays": {"delay": 0.5}}.get(what, {what: 3.0})
    after = best(on(case, changed(case.cluster, **factor)), drop, objective=objective)
    assert seconds(after, objective) <= seconds(before, objective) * (1 + 1e-9)


@given(studies(), drops, st.sampled_from(OBJECTIVES), st.floats(0.1, 1.0))
@some(0.5)
def test_more_memory_never_hurts(
    case: Case, drop: float, objective: Objective, share: float
) -> None:
    size = max(int(case.profile.totals.param_bytes * share), 1)
    tight = on(case, with_nodes(case.cluster, memory_bytes=size))
    try:
        before = best(tight, drop, objective=objective)
    except InfeasibleError:
        return
    wide = on(case, with_nodes(case.cluster, memory_bytes=2 * size))
    after = best(wide, drop, objective=objective)
    assert seconds(after, objective) <= seconds(before, objective) * (1 + 1e-9)
    for plan, most in ((before, size), (after, 2 * size)):
        assert max(plan.predicted.memory_bytes.values()) <= most


@given(studies(), st.sampled_from(OBJECTIVES))
@some(0.5)
def test_a_larger_loss_never_hurts(case: Case, objective: Objective) -> None:
    found = [
        seconds(best(case, drop, objective=objective), objective) for drop in (0.0, 0.5, 2.0, 1e6)
    ]
    # where no loss was allowed, nothing is dropped, whether it would be missed or not
    kept = best(case, objective=objective)
    assert all(not layer.sparsity for stage in kept.stages for layer in stage.layers)
    assert found[0] <= seconds(kept, objective) * (1 + 1e-9)
    for before, after in itertools.pairwise(found):
        assert after <= before * (1 + 1e-9)


@given(studies(least=2), drops, st.sampled_from(OBJECTIVES))
def test_being_allowed_more_nodes_never_hurts(
    case: Case, drop: float, objective: Objective
) -> None:
    limits = Limits(max_accuracy_drop=drop)
    found = [
        seconds(
            optimise(case, Request(most, objective=objective, limits=limits)),
            objective,
        )
        for most in range(1, len(case.cluster.nodes) + 1)
    ]
    for before, after in itertools.pairwise(found):
        assert after <= before * (1 + 1e-9)


@given(studies(least=2, equal=True), drops, st.sampled_from(OBJECTIVES), st.randoms())
def test_equal_nodes_can_be_renamed(
    case: Case, drop: float, objective: Objective, random: Any
) -> None:
    names = [node.name for node in case.cluster.nodes]
    random.shuffle(names)
    nodes = tuple(
        node.model_copy(update={"name": name})
        for node, name in zip(case.cluster.nodes, names, strict=True)
    )
    renamed = case.cluster.model_copy(update={"nodes": nodes, "source_node": names[0]})
    start = case.cluster.model_copy(update={"source_node": case.cluster.nodes[0].name})
    before = best(on(case, start), drop, objective=objective).predicted
    after = best(on(case, renamed), drop, objective=objective).predicted
    assert after.latency_s == before.latency_s
    assert after.throughput_per_s == before.throughput_per_s


@given(studies(), drops, st.sampled_from(OBJECTIVES), st.sampled_from([0.25, 8.0]))
def test_slowing_everything_down_scales_the_objective(
    case: Case, drop: float, objective: Objective, factor: float
) -> None:
    slow = changed(case.cluster, speed=1 / factor, bandwidth=1 / factor, delay=factor)
    before = seconds(best(case, drop, objective=objective), objective)
    after = seconds(best(on(case, slow), drop, objective=objective), objective)
    assert after == pytest.approx(factor * before, rel=1e-9)


@given(studies(), drops, st.sampled_from(OBJECTIVES))
def test_the_certificate_speaks_of_the_plan(case: Case, drop: float, objective: Objective) -> None:
    plan = best(case, drop, objective=objective)
    certificate = plan.certificate
    assert certificate is not None and certificate.status == "optimal"
    value = plan.predicted.latency_s
    if objective == "throughput":
        value = plan.predicted.throughput_per_s
    assert certificate.bound == pytest.approx(value, rel=1e-9)
    assert certificate.gap == pytest.approx(0, abs=1e-9)
    assert plan.predicted.accuracy_drop is not None
    assert plan.predicted.accuracy_drop <= drop * (1 + 1e-9)
    for other in plan.alternatives:
        if other.latency_s is not None and objective == "latency":
            assert other.latency_s >= value * (1 - 1e-9)
        if other.throughput_per_s is not None and objective == "throughput":
            assert other.throughput_per_s <= value * (1 + 1e-9)


@given(studies(), drops, st.sampled_from(OBJECTIVES))
def test_plans_survive_a_round_trip_through_json(
    case: Case, drop: float, objective: Objective
) -> None:
    nodes = len(case.cluster.nodes)
    for plan in (
        best(case, drop, objective=objective),
        uniform(case, nodes, 0.8),
        uniform(case, nodes, 1.0),
        pipeline_equal(case, nodes),
        ar_mdi(case, nodes),
    ):
        read = Plan.model_validate_json(plan.model_dump_json())
        assert read == plan
        fresh = Case(
            ModelProfile.model_validate_json(case.profile.model_dump_json()),
            read.cluster,
            read.settings,
            loss_model=case.loss_model,
        )
        assert fresh.reference == read.model
        assert predict(fresh, read.stages) == plan.predicted


@given(studies(least=2))
def test_independent_branches_say_that_they_send_nothing(case: Case) -> None:
    plan = uniform(case, len(case.cluster.nodes), 1.0)
    exchanging = case.table(case.names(len(case.cluster.nodes)), (0.0,)).sparsifiable
    for row, layer in enumerate(plan.stages[0].layers):
        expected = (0, 1.0) if exchanging[row] else (None, None)
        assert (layer.kept_features, layer.sparsity) == expected
    assert (plan.predicted.origin["accuracy"] == "assumed") == exchanging.any()


@given(studies(least=2), st.sampled_from(OBJECTIVES))
@some(0.3)
def test_exhaustive_search_the_ilp_and_the_fast_path_agree(
    case: Case, objective: Objective
) -> None:
    case = replace(case, levels=(0.0, 0.8, 1.0))
    assume(3 ** int(case.table(case.names(2)).sparsifiable.sum()) < 100)
    fast, ilp = (best(case, 1.0, objective=objective, solver=name) for name in ("auto", "ilp"))
    assert seconds(fast, objective) == pytest.approx(seconds(ilp, objective), rel=1e-8)
    for parallelism in ("within-layer", "pipeline"):
        one, tried = (
            best(case, 1.0, objective=objective, parallelism=parallelism, solver=name)
            for name in ("auto", "exhaustive")
        )
        assert seconds(tried, objective) == pytest.approx(seconds(one, objective), rel=1e-8)


@given(studies(least=2), drops, st.floats(0.2, 5.0))
def test_a_throughput_limit_is_kept_or_refused(case: Case, drop: float, factor: float) -> None:
    rate = best(case, drop, objective="throughput").predicted.throughput_per_s
    limits = Limits(max_accuracy_drop=drop, min_throughput_per_s=rate * factor)
    nodes = len(case.cluster.nodes)
    if factor > 1 + 1e-6:
        with pytest.raises(InfeasibleError, match="no plan fits"):
            optimise(case, Request(nodes, limits=limits))
    elif factor < 1 - 1e-6:
        plan = optimise(case, Request(nodes, limits=limits))
        assert plan.predicted.throughput_per_s >= rate * factor * (1 - 1e-9)
