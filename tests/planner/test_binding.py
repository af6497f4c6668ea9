"""What binds: every gain is what a plan with the wider limit really gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.case import Case
from planner.domain.layouts import WAYS, Way
from planner.domain.plan import Binding
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.solve.options.shadow_prices import shadow_prices
from planner.solve.solver import solve
from planner.solve.stages.fixed_stages import price_limits
from planner.strategies.optimise import optimal_sparsity, optimise
from planner.strategies.what_if.binding import what_binds
from tests.planner.builders import chain, cluster, linear_loss, with_nodes
from tests.planner.problems import problem_for
from tests.planner.test_strategies import OBJECTIVES, seconds

PROFILE = chain(16, 32, 32, 16)
MORE_LOSS = 1e6
"""Points that no plan loses."""
IN_WAYS = pytest.mark.parametrize("ways", [("features",), WAYS], ids=["features", "all"])


def case(memory_bytes: int | None = None, bandwidth: float = 3e5) -> Case:
    group = cluster([1e6, 2e6, 1.5e6], bandwidth_bytes_per_s=bandwidth, memory_bytes=memory_bytes)
    return Case(PROFILE, group, loss_model=linear_loss(PROFILE))


GATHERED = Request(3, limits=Limits(max_accuracy_drop=0.4), ways=("features",))


def by_kind(found: tuple[Binding, ...], kind: str) -> list[Binding]:
    return [binding for binding in found if binding.kind == kind]


@IN_WAYS
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_loss_budget(objective: Objective, ways: tuple[Way, ...]) -> None:
    def request(limit: float) -> Request:
        return Request(3, objective=objective, limits=Limits(max_accuracy_drop=limit), ways=ways)

    def best(limit: float) -> float:
        return seconds(optimise(case(), request(limit)), objective)

    (loss,) = by_kind(what_binds(case(), request(0.4)), "loss")
    assert loss.value == pytest.approx(0.4) and loss.unit == "points"
    assert loss.gain_s == pytest.approx(best(0.4) - best(MORE_LOSS), rel=1e-6)
    assert loss.step is not None and loss.step_gain_s is not None
    assert loss.step_gain_s >= loss.gain_s / 2
    assert best(loss.step) == pytest.approx(best(0.4) - loss.step_gain_s, rel=1e-6)
    # a little less does not gain half
    lower = 0.4 + (loss.step - 0.4) * 0.97
    assert best(0.4) - best(lower) < loss.gain_s / 2 + 1e-12


def test_nothing_binds_a_loss_that_was_not_allowed() -> None:
    """Without a limit nothing is dropped, and no limit is named that could be widened."""
    assert not by_kind(what_binds(case(), Request(3)), "loss")


@pytest.mark.parametrize(
    ("ways", "size"),
    [
        (("features",), PROFILE.totals.param_bytes // 2 + 2500),
        (WAYS, PROFILE.totals.param_bytes // 2),
    ],
    ids=["features", "all"],
)
def test_memory_of_each_kind_of_node_alone(ways: tuple[Way, ...], size: int) -> None:
    limited = case(size)
    asked = Request(3, limits=Limits(max_accuracy_drop=0.4), ways=ways)
    before = optimise(limited, asked).predicted.latency_s
    found = by_kind(what_binds(limited, asked), "memory")
    assert found
    for binding in found:
        name = binding.name.removeprefix("memory of ")
        for most, gain in ((None, binding.gain_s), (binding.step, binding.step_gain_s)):
            nodes = tuple(
                node.model_copy(update={"memory_bytes": None if most is None else int(most)})
                if node.name == name
                else node
                for node in limited.cluster.nodes
            )
            wider = replace(limited, cluster=limited.cluster.model_copy(update={"nodes": nodes}))
            after = optimise(wider, asked).predicted.latency_s
            assert before - after == pytest.approx(gain, rel=1e-6)


@IN_WAYS
def test_twice_the_bandwidth_and_twice_the_speed(ways: tuple[Way, ...]) -> None:
    asked = Request(3, limits=Limits(max_accuracy_drop=0.4), ways=ways)
    slow = case()
    before = optimise(slow, asked).predicted.latency_s
    found = what_binds(slow, asked)
    (link,), (speed,) = by_kind(found, "bandwidth"), by_kind(found, "compute")
    twice = case(bandwidth=6e5)
    assert link.gain_s == pytest.approx(before - optimise(twice, asked).predicted.latency_s)
    faster = with_nodes(slow.cluster)
    nodes = tuple(n.model_copy(update={"macs_per_s": 2 * n.macs_per_s}) for n in faster.nodes)
    quick = replace(slow, cluster=faster.model_copy(update={"nodes": nodes}))
    assert speed.gain_s == pytest.approx(before - optimise(quick, asked).predicted.latency_s)


def test_delay_memory_bandwidth_and_overhead_are_resources_too() -> None:
    nodes = with_nodes(case().cluster, memory_bytes_per_s=1e6, layer_overhead_s=2e-3)
    link = nodes.link.model_copy(update={"latency_s": 1e-3})
    group = nodes.model_copy(update={"link": link})
    quicker = link.model_copy(update={"latency_s": 0.5e-3})
    better = {
        "delay": group.model_copy(update={"link": quicker}),
        "memory-bandwidth": with_nodes(group, memory_bytes_per_s=2e6),
        "overhead": with_nodes(group, layer_overhead_s=1e-3),
    }
    slow = replace(case(), cluster=group)
    asked = Request(3, limits=Limits(max_accuracy_drop=0.4))
    before = optimise(slow, asked).predicted.latency_s
    found = what_binds(slow, asked)
    for kind, cluster_then in better.items():
        (binding,) = by_kind(found, kind)
        after = optimise(replace(slow, cluster=cluster_then), asked).predicted.latency_s
        assert binding.gain_s == pytest.approx(before - after, rel=1e-9) and binding.gain_s > 0
    resources = [b.gain_s for b in found if b.kind in {*better, "bandwidth", "compute"}]
    assert len(resources) == 5 and resources == sorted(resources, reverse=True)


def test_every_figure_of_nodes_and_switch_is_a_resource() -> None:
    """Those of single kinds of operators as well, where nothing is known of the others."""
    kinds = {
        "memory_bytes_per_s_by_kind": {"conv-1x1": 1e6, "conv": 1e6},
        "layer_overhead_s_by_kind": {"conv-1x1": 2e-3, "conv": 2e-3},
    }
    software = {"message_send_s": 1e-3, "message_receive_s": 2e-3, "message_bytes_per_s": 1e6}
    nodes = with_nodes(case().cluster, **kinds, **software, interface_bytes_per_s=2e5)
    group = nodes.model_copy(update={"switch_bytes_per_s": 3e5})
    better = {
        "memory-bandwidth": with_nodes(
            group, memory_bytes_per_s_by_kind={"conv-1x1": 2e6, "conv": 2e6}
        ),
        "overhead": with_nodes(group, layer_overhead_s_by_kind={"conv-1x1": 1e-3, "conv": 1e-3}),
        "interface": with_nodes(group, interface_bytes_per_s=4e5),
        "switch": group.model_copy(update={"switch_bytes_per_s": 6e5}),
        "messages": with_nodes(group, message_send_s=0.5e-3, message_receive_s=1e-3),
        "packing": with_nodes(group, message_bytes_per_s=2e6),
    }
    slow = replace(case(), cluster=group)
    asked = Request(2, parallelism="within-layer", exactly=True, ways=("features",))
    before = optimise(slow, asked).predicted.latency_s
    found = what_binds(slow, asked)
    for kind, then in better.items():
        (binding,) = by_kind(found, kind)
        after = optimise(replace(slow, cluster=then), asked).predicted.latency_s
        assert binding.gain_s == pytest.approx(before - after, rel=1e-9), kind
        assert binding.value > 0
    gains = {binding.kind: binding.gain_s for binding in found}
    assert all(gains[kind] > 0 for kind in better.keys() - {"switch", "interface"})
    assert gains["switch"] + gains["interface"] > 0


def test_delays_that_outweigh_computation_at_any_bandwidth_are_said() -> None:
    link = case().cluster.link.model_copy(update={"latency_s": 1.0})
    late = replace(case(), cluster=case().cluster.model_copy(update={"link": link}))
    asked = replace(GATHERED, parallelism="within-layer", exactly=True)
    (bandwidth,) = by_kind(what_binds(late, asked), "bandwidth")
    assert bandwidth.until is None
    predicted = optimise(late, asked).predicted
    assert predicted.comm_s > predicted.compute_s


def test_the_bandwidth_from_which_computation_outweighs_communication() -> None:
    asked = replace(GATHERED, parallelism="within-layer", exactly=True)
    slow = case(bandwidth=2e4)
    (link,) = by_kind(what_binds(slow, asked), "bandwidth")
    assert link.until is not None
    for factor, outweighs in ((0.97, True), (1.0, False)):
        predicted = optimise(case(bandwidth=link.until * factor), asked).predicted
        assert (predicted.comm_s > predicted.compute_s) == outweighs


def test_what_does_not_bind_is_not_named() -> None:
    asked = Request(3, limits=Limits(max_accuracy_drop=100.0))
    found = what_binds(case(10**9), asked)
    assert {binding.kind for binding in found} == {"bandwidth", "compute"}


def test_prices_are_those_of_the_layers_own_problem() -> None:
    limited = case(PROFILE.totals.param_bytes * 4 // 9 + 20)
    limits = Limits(max_accuracy_drop=0.6)
    # the layers' own problem, by themselves: one option each within the budget and each memory
    table = limited.table(limited.names(3))
    best, _ = optimal_sparsity(limited, Request(3, limits=limits))
    assert best is not None
    kept = np.array([layer.kept_features or 0 for layer in best.stages[0].layers], dtype=object)
    options = np.array(
        [
            next(
                option
                for option in range(len(table.levels))
                if not table.sparsifiable[row] or is_same(table.counts.of(row)[option], kept[row])
            )
            for row in range(len(kept))
        ]
    )
    memories = [
        (table.weight_bytes[..., node], table.live_bytes[..., node], device.memory_bytes)
        for node, device in enumerate(limited.cluster.nodes)
    ]
    budget = (limited.loss(table), 0.6)
    wanted = shadow_prices(table.latency_s, table.allowed, [budget], memories, options)
    assert wanted[0] > 0 and wanted[1:].max() > 0
    asked = replace(GATHERED, parallelism="within-layer", limits=limits, exactly=True)
    problem = problem_for(limited, asked)
    choice = solve(problem).choice
    assert choice is not None and len(choice.groups) == 1
    loss, memory = price_limits(problem, choice)
    assert loss == pytest.approx(wanted[0])
    for position in range(3):
        price = memory.get((choice.groups[0], position), 0.0)
        assert price == pytest.approx(wanted[1 + position], abs=1e-15)
    (bound,) = by_kind(what_binds(limited, asked), "loss")
    assert bound.price_s == pytest.approx(wanted[0])


def test_in_layouts_nothing_is_said_of_prices() -> None:
    limited = case(PROFILE.totals.param_bytes // 2)
    found = what_binds(limited, Request(3, limits=Limits(max_accuracy_drop=1.0)))
    assert {"loss", "memory", "bandwidth"} <= {binding.kind for binding in found}
    assert all(binding.price_s is None for binding in found)


def is_same(matrix: np.ndarray, kept: object) -> bool:
    """Whether a plan's count, or its counts per pair, are those of a matrix."""
    pairs = ~np.eye(len(matrix), dtype=np.bool_)
    return bool(np.array_equal(matrix[pairs], np.broadcast_to(np.array(kept), matrix.shape)[pairs]))


def test_the_search_can_be_ended_before_every_problem() -> None:
    asked = Request(3, limits=Limits(max_accuracy_drop=0.4))
    calls: list[None] = []
    found = what_binds(case(), asked, lambda: calls.append(None))
    assert len(calls) > 5
    left = len(calls)

    def stop() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise InterruptedError

    with pytest.raises(InterruptedError):  # in the last one
        what_binds(case(), asked, stop)
    assert what_binds(case(), asked) == found
