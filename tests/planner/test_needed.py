"""What it would take: held against brute force, and against what algebra says."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.accuracy.model import curve_model
from planner.case import Case, sparsifiable_layers
from planner.domain.cluster import tuned_cluster
from planner.domain.layouts import WAYS
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits
from planner.errors import BadInputError
from planner.solve.check import exceeds
from planner.strategies.optimise import find_plan, optimise
from planner.strategies.what_if.needed import Needed, Resource, needed
from planner.strategies.what_if.quantities import Value, present_value
from profiles.catalog import load_cluster, load_curve, load_model
from tests.examples import some
from tests.planner.builders import ELEMENT_BYTES, chain, cluster, linear_loss, with_nodes
from tests.planner.generators import chains, clusters

LIMITS = Limits(max_accuracy_drop=0.8)
RESOURCES: tuple[Resource, ...] = get_args(Resource)


@st.composite
def small_cases(draw: st.DrawFn) -> Case:
    """Small enough for every plan to be tried."""
    profile = draw(chains(most=4))
    return Case(
        profile,
        draw(clusters(most=2)),
        CostSettings(overlap=draw(st.booleans())),
        loss_model=linear_loss(profile),
        levels=(0.0, 0.5, 1.0),
    )


def brute_force_s(case: Case, request: Request, of: Resource, value: Value | None) -> float:
    """The least latency at a value, of all plans; infinite where none fits."""
    group, nodes = case.cluster, request.max_nodes
    if of == "nodes":
        nodes = int(value or nodes)
        group = tuned_cluster(group, nodes=max(nodes, len(group.nodes)))
    elif value is not None:
        field = {
            "bandwidth": "bandwidth_bytes_per_s",
            "compute": "macs_per_s",
            "memory-bandwidth": "memory_bytes_per_s",
        }[of]
        group = tuned_cluster(group, **{field: value})
    there = replace(case, cluster=group)
    plan, _ = find_plan(there, Request(nodes, limits=request.limits, solver="exhaustive"))
    return float("inf") if plan is None else plan.predicted.latency_s


@pytest.mark.thorough
@given(
    small_cases(),
    st.sampled_from(RESOURCES),
    st.floats(0.02, 3.0),
    st.sampled_from([0.01, 0.3]),
    st.booleans(),
)
@some(0.25)
def test_every_claim_holds_against_all_plans(
    case: Case, of: Resource, share: float, tolerance: float, limited: bool
) -> None:
    nodes = len(case.cluster.nodes)
    limits = LIMITS
    now_s = optimise(case, Request(nodes, limits=limits)).predicted.latency_s
    if limited:
        limits = limits.model_copy(update={"min_throughput_per_s": 0.7 / now_s})
    request = Request(nodes, limits=limits)
    target_s = now_s * share
    most = 3 if of == "nodes" else None
    found = needed(case, request, of, target_s, tolerance=tolerance, most_nodes=most)

    def meets(value: Value | None) -> bool:
        return not exceeds(brute_force_s(case, request, of, value), target_s * (1 + 1e-8))

    def falls_short(value: Value | None) -> bool:
        return exceeds(brute_force_s(case, request, of, value), target_s * (1 - 1e-8))

    assert found.outcome != "open", "small problems are solved to proof"
    if not found.proven:  # unlike nodes share out layers otherwise at every value
        assert of in ("compute", "memory-bandwidth") and len(case.cluster.nodes) > 1
        assert found.enough is None or meets(found.enough)
        return
    assert found.met is not None
    assert meets(None) if found.met else falls_short(None)
    if found.outcome == "found":
        assert found.enough is not None and found.best is not None and meets(found.enough)
        assert not exceeds(found.best.latency_s, target_s)
        assert found.not_enough is not None
        if of == "nodes":
            assert found.not_enough == found.enough - 1
        else:
            assert (
                found.not_enough < found.enough <= found.not_enough * (1 + tolerance) * (1 + 1e-12)
            )
        assert found.not_enough == 0 or falls_short(found.not_enough)
    elif found.outcome == "unreachable":
        assert found.enough is None and found.not_enough == found.largest
        assert falls_short(found.largest)
        beyond = found.largest if of == "nodes" else found.largest * 1e3
        assert falls_short(beyond)
    else:
        assert of != "nodes" and found.best is not None
        for value in (1e-6 / target_s, 1e-3 / target_s):
            assert meets(value), "any value, however little"


def lossless(nodes: int, **fields: object) -> Case:
    """Three layers that exchange everything, on equal nodes."""
    profile = chain(8, 8, 8, pixels=64)
    group = cluster(nodes, **fields)  # type: ignore[arg-type]
    return Case(profile, group, loss_model=linear_loss(profile))


NOTHING_LOST = Limits(max_accuracy_drop=0.0)


@pytest.mark.parametrize("share", [0.55, 0.6, 0.8])
def test_the_bandwidth_is_what_the_equation_of_the_dense_pair_gives(share: float) -> None:
    case = lossless(2)
    macs = case.profile.totals.macs
    sent = 2 * 4 * 64 * ELEMENT_BYTES  # two layers read half of 8 features from the other node
    target_s = share * macs / 1e6
    request = Request(2, "within-layer", limits=NOTHING_LOST, ways=("features",))
    found = needed(case, request, "bandwidth", target_s, tolerance=1e-4)
    exact = sent / (target_s - macs / 2 / 1e6)
    assert found.outcome == "found" and found.not_enough and found.enough
    assert found.not_enough < exact * (1 + 1e-9) and exact <= found.enough * (1 + 1e-9)
    assert found.enough == pytest.approx(exact, rel=1.1e-4)


def test_one_node_needs_the_speed_that_does_its_macs_in_time() -> None:
    case = lossless(1)
    found = needed(case, Request(1), "compute", 0.02, tolerance=1e-5)
    exact = case.profile.totals.macs / 0.02
    assert found.enough == pytest.approx(exact, rel=1e-5) and found.enough >= exact
    assert found.not_enough and found.not_enough < exact


@pytest.mark.parametrize(("share", "nodes"), [(1.0, 1), (0.99, 2), (0.5, 2), (0.3, 4), (0.125, 8)])
def test_on_free_links_the_macs_say_how_many_nodes(share: float, nodes: int) -> None:
    case = lossless(2, bandwidth_bytes_per_s=1e15)
    target_s = case.profile.totals.macs * share / 1e6 * (1 + 1e-6)
    found = needed(case, Request(2, limits=NOTHING_LOST), "nodes", target_s)
    assert (found.outcome, found.enough, found.not_enough) == ("found", nodes, nodes - 1)
    assert found.proven and found.met == (nodes <= 2) and found.largest == 16


def test_where_one_node_suffices_any_bandwidth_does() -> None:
    case = lossless(2)
    macs_s = case.profile.totals.macs / 1e6
    found = needed(case, Request(2, limits=NOTHING_LOST), "bandwidth", macs_s)
    assert found.outcome == "any" and found.proven and found.met
    assert found.enough is None and found.best and found.best.comm_s == 0.0


def test_where_times_are_measured_any_speed_does() -> None:
    profile = chain(8, 8)
    layers = tuple(x.model_copy(update={"measured_s": {"generic": 0.01}}) for x in profile.layers)
    case = Case(profile.model_copy(update={"layers": layers}), cluster(1))
    found = needed(case, Request(1), "compute", 0.021)
    assert found.outcome == "any" and found.best and found.best.latency_s == pytest.approx(0.02)
    assert needed(case, Request(1), "compute", 0.019).outcome == "unreachable"


def test_what_no_bandwidth_changes_is_the_least_latency() -> None:
    case = lossless(2, latency_s=0.001)
    case = replace(case, cluster=with_nodes(case.cluster, layer_overhead_s=0.002))
    first = case.profile.layers[0].macs
    request = Request(2, "within-layer", limits=NOTHING_LOST)
    # half the MACs, the overhead of three layers, and two messages
    gathered_s = case.profile.totals.macs / 2 / 1e6 + 3 * 0.002 + 2 * 0.001
    # one message less where both do the first layer whole, which takes less than the message
    freely_s = gathered_s - 0.001 + first / 2 / 1e6
    for ways, least_s in ((("features",), gathered_s), (WAYS, freely_s)):
        is_least(needed(case, replace(request, ways=ways), "bandwidth", 0.001), least_s)


def is_least(found: Needed, least_s: float) -> None:
    """No bandwidth is enough, and what is left at the largest is proven to be the least."""
    assert found.outcome == "unreachable" and found.met is False and found.enough is None
    assert found.best and found.best.latency_s == pytest.approx(least_s)
    (*_, last) = found.trials
    assert last.value == found.largest and last.bound_s == pytest.approx(least_s)


def test_limits_that_nothing_keeps_are_unreachable_for_their_reason() -> None:
    case = lossless(2, memory_bytes=100)
    found = needed(case, Request(2), "bandwidth", 10.0)
    assert found.outcome == "unreachable" and found.best is None and found.current_best is None
    assert all(trial.reason.startswith("no plan fits: memory") for trial in found.trials)


def test_the_other_limits_hold_at_every_value() -> None:
    case = lossless(2, bandwidth_bytes_per_s=1e5)
    busy = Limits(max_accuracy_drop=0.0, min_throughput_per_s=150.0)
    macs_s = case.profile.totals.macs / 1e6
    free = needed(case, Request(2, limits=NOTHING_LOST), "bandwidth", macs_s)
    kept = needed(case, Request(2, limits=busy), "bandwidth", macs_s)
    assert free.outcome == "any" and kept.outcome == "found"
    assert kept.best and kept.best.throughput_per_s >= 150.0 * (1 - 1e-9)


def test_unlike_links_are_all_set_to_one_value() -> None:
    pair = [{"between": ["a", "b"], "bandwidth_bytes_per_s": 10.0}]
    case = lossless(3, pair_links=pair)
    target_s = 0.6 * case.profile.totals.macs / 1e6
    found = needed(case, Request(3, limits=NOTHING_LOST), "bandwidth", target_s)
    assert present_value(case.cluster, "bandwidth") is None and found.current is None
    assert found.trials[0].value is None and found.current_best
    alike = needed(lossless(3), Request(3, limits=NOTHING_LOST), "bandwidth", target_s)
    assert found.outcome == alike.outcome == "found"
    assert found.enough == pytest.approx(alike.enough, rel=0.011)


def proves(found: Needed) -> None:
    """What a gap leaves open is never called proven."""
    for trial in found.trials:
        if trial.latency_s is not None and not exceeds(trial.latency_s, found.target_latency_s):
            assert trial.verdict == "enough"
        elif trial.bound_s is not None and exceeds(trial.bound_s, found.target_latency_s):
            assert trial.verdict == "not enough"
        else:
            assert trial.verdict == "open" or trial.reason.startswith("no plan fits")
    if found.outcome == "open":
        assert not found.proven and found.enough is None
    if found.outcome == "found" and found.proven:
        assert found.enough and found.not_enough
        assert found.enough <= found.not_enough * (1 + found.tolerance) * (1 + 1e-12)


@pytest.mark.thorough
def test_a_gap_leaves_open_what_it_leaves_open() -> None:
    profile = load_model("deit-s")
    loss = curve_model(load_curve("deit-s-imagenet"), profile, sparsifiable_layers(profile))
    case = Case(profile, load_cluster("small-nodes"), loss_model=loss)
    request = Request(8, limits=Limits(max_accuracy_drop=0.5), time_limit_s=0.02)
    found = needed(case, request, "compute", 0.1, tolerance=0.05)
    proves(found)
    assert any(trial.verdict == "open" and trial.latency_s for trial in found.trials)


def test_a_solver_without_time_proves_nothing() -> None:
    case = Case(load_model("resnet50-eighth"), load_cluster("head-mounted"))
    request = Request(2, solver="ilp", time_limit_s=1e-3)
    # faster than any plan; what it knows before it begins would meet a millisecond
    found = needed(case, request, "bandwidth", 1e-4, tolerance=0.2)
    proves(found)
    assert found.outcome == "open" and found.met is None


def test_the_work_is_told_of_and_can_be_stopped() -> None:
    seen: list[tuple[int, int]] = []

    class EnoughError(Exception):
        pass

    def watch(done: int, of: int) -> None:
        seen.append((done, of))
        if done == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        needed(lossless(2), Request(2), "compute", 0.001, watch=watch)
    assert [done for done, _ in seen] == [0, 1, 2, 3]
    assert all(done < of for done, of in seen)


@pytest.mark.parametrize(
    ("changes", "fields", "message"),
    [
        ({}, {"target_latency_s": 0.0}, "target latency: found 0 s; give 1e-12 to 1e\\+12 s"),
        ({}, {"target_latency_s": float("nan")}, "target latency: found nan"),
        ({}, {"tolerance": 0.0}, "tolerance: found 0; give 1e-06 to 0.5"),
        ({}, {"tolerance": 1.0}, "tolerance: found 1;"),
        (
            {},
            {"of": "memory"},
            "'memory' cannot be asked for: give bandwidth, compute, memory-bandwidth, nodes",
        ),
        ({}, {"of": "nodes", "most_nodes": 1}, "most nodes: found 1; give 2"),
        ({}, {"of": "nodes", "most_nodes": 257}, "most nodes: found 257"),
        ({"limits": Limits(max_latency_s=1.0)}, {}, "give no other one"),
        ({"exactly": True}, {"of": "nodes"}, "not as exactly"),
        ({"limits": Limits(max_energy_loss=0.1)}, {}, "energy"),
    ],
)
def test_bad_questions_are_refused(
    changes: dict[str, object], fields: dict[str, object], message: str
) -> None:
    given = {"of": "bandwidth", "target_latency_s": 0.1} | fields
    with pytest.raises(BadInputError, match=message):
        needed(lossless(2), replace(Request(2), **changes), **given)  # type: ignore[arg-type]


def test_a_token_needs_its_weights_read_in_time() -> None:
    """Of a language model's next token the memory bandwidth decides: bytes / M, whatever C is."""
    profile = load_model("llama-3.1-8b-decode")
    node = cluster(1).nodes[0].model_copy(update={"macs_per_s": 1e15, "memory_bytes_per_s": 1e11})
    case = Case(profile, cluster(1).model_copy(update={"nodes": (node,)}))
    target_s = 0.1
    found = needed(case, Request(1), "memory-bandwidth", target_s, tolerance=0.001)
    weights = sum(x.param_bytes for x in profile.layers if x.macs)
    assert found.outcome == "found" and found.proven and found.enough is not None
    # its activations and the cache come to that
    assert weights / target_s < found.enough < 1.2 * weights / target_s
    assert found.unit == "bytes/s"
