"""What binds: every gain is what a plan with the wider limit really gains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.domain.plan import Binding
from planner.domain.settings import Limits, Objective
from planner.solve.joint.fixed_stages import FixedStages
from planner.solve.joint.solver import solve_joint
from planner.solve.sparsity.sensitivity import shadow_prices
from planner.solve.sparsity.solver import solve_sparsity
from planner.strategies.binding import what_binds
from planner.strategies.hybrid import JointCosts
from planner.strategies.optimise import Request, optimise
from planner.strategies.study import Study
from planner.strategies.within_layer import sparsity_problem
from tests.planner.builders import chain, cluster, linear_loss, with_nodes
from tests.planner.test_strategies import OBJECTIVES, seconds

PROFILE = chain(16, 32, 32, 16)


def study(memory_bytes: int | None = None, bandwidth: float = 3e5) -> Study:
    group = cluster([1e6, 2e6, 1.5e6], bandwidth_bytes_per_s=bandwidth, memory_bytes=memory_bytes)
    return Study(PROFILE, group, accuracy=linear_loss(PROFILE))


def by_kind(found: tuple[Binding, ...], kind: str) -> list[Binding]:
    return [binding for binding in found if binding.kind == kind]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_loss_budget(objective: Objective) -> None:
    def best(limit: float | None) -> float:
        limits = Limits(max_accuracy_drop=limit)
        return seconds(optimise(study(), Request(3, objective=objective, limits=limits)), objective)

    asked = Request(3, objective=objective, limits=Limits(max_accuracy_drop=0.4))
    (loss,) = by_kind(what_binds(study(), asked), "loss")
    assert loss.value == pytest.approx(0.4) and loss.unit == "points"
    assert loss.gain_s == pytest.approx(best(0.4) - best(None), rel=1e-6)
    assert loss.step is not None and loss.step_gain_s is not None
    assert loss.step_gain_s >= loss.gain_s / 2
    assert best(loss.step) == pytest.approx(best(0.4) - loss.step_gain_s, rel=1e-6)
    # a little less does not gain half
    lower = 0.4 + (loss.step - 0.4) * 0.97
    assert best(0.4) - best(lower) < loss.gain_s / 2 + 1e-12


def test_memory_of_each_kind_of_node_alone() -> None:
    size = PROFILE.totals.param_bytes // 2 + 2500
    limited = study(size)
    asked = Request(3, limits=Limits(max_accuracy_drop=0.4))
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


def test_twice_the_bandwidth_and_twice_the_speed() -> None:
    asked = Request(3, limits=Limits(max_accuracy_drop=0.4))
    slow = study()
    before = optimise(slow, asked).predicted.latency_s
    found = what_binds(slow, asked)
    (link,), (speed,) = by_kind(found, "bandwidth"), by_kind(found, "compute")
    twice = study(bandwidth=6e5)
    assert link.gain_s == pytest.approx(before - optimise(twice, asked).predicted.latency_s)
    faster = with_nodes(slow.cluster)
    nodes = tuple(n.model_copy(update={"macs_per_s": 2 * n.macs_per_s}) for n in faster.nodes)
    quick = replace(slow, cluster=faster.model_copy(update={"nodes": nodes}))
    assert speed.gain_s == pytest.approx(before - optimise(quick, asked).predicted.latency_s)


def test_the_bandwidth_from_which_computation_outweighs_communication() -> None:
    asked = Request(3, "within-layer", limits=Limits(max_accuracy_drop=0.4), exactly=True)
    slow = study(bandwidth=2e4)
    (link,) = by_kind(what_binds(slow, asked), "bandwidth")
    assert link.until is not None
    for factor, outweighs in ((0.97, True), (1.0, False)):
        predicted = optimise(study(bandwidth=link.until * factor), asked).predicted
        assert (predicted.comm_s > predicted.compute_s) == outweighs


def test_what_does_not_bind_is_not_named() -> None:
    asked = Request(3, limits=Limits(max_accuracy_drop=100.0))
    found = what_binds(study(10**9), asked)
    assert {binding.kind for binding in found} == {"bandwidth", "compute"}


def test_prices_are_those_of_the_layers_own_problem() -> None:
    limited = study(PROFILE.totals.param_bytes // 3 + 600)
    limits = Limits(max_accuracy_drop=1.0)
    problem = sparsity_problem(limited, 3, "latency", limits)
    choice = solve_sparsity(problem).choice
    assert choice is not None
    wanted = {price.name: price.seconds_per_unit for price in shadow_prices(problem, choice)}
    assert wanted["accuracy drop"] > 0 and wanted["b"] > 0
    joint = JointCosts(limited, "within-layer", 3).problem("latency", limits, 3, True)
    best = solve_joint(joint).stages
    assert best is not None and len(best.groups) == 1
    loss, memory = FixedStages(joint, (best.starts, best.groups)).prices(None, best.options)
    assert loss == pytest.approx(wanted["accuracy drop"])
    for position, name in enumerate(limited.names(3)):
        price = memory.get((best.groups[0], position), 0.0)
        assert price == pytest.approx(wanted[name], abs=1e-15)
    found = what_binds(limited, Request(3, "within-layer", limits=limits, exactly=True))
    (budget,) = by_kind(found, "loss")
    assert budget.price_s == pytest.approx(wanted["accuracy drop"])


def test_the_search_can_be_ended_before_every_problem() -> None:
    asked = Request(3, limits=Limits(max_accuracy_drop=0.4))
    calls: list[None] = []
    found = what_binds(study(), asked, lambda: calls.append(None))
    assert len(calls) > 5
    left = len(calls)

    def stop() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise InterruptedError

    with pytest.raises(InterruptedError):  # in the last one
        what_binds(study(), asked, stop)
    assert what_binds(study(), asked) == found
