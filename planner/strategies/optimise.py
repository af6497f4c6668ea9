"""The best plan of a request, with one certificate, and the plans that it was weighed against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.case import Case
from planner.domain.joint import JointResult
from planner.domain.plan import Alternative, Plan
from planner.domain.request import Request
from planner.domain.settings import Parallelism
from planner.errors import (
    BadInputError,
    InconsistentResultError,
    InfeasibleError,
    SolverStoppedError,
)
from planner.strategies.hybrid import optimal_stages
from planner.units import format_seconds

_SAME = 1e-9  # relative difference below which two objectives count as equal
_REEVALUATED = 1e-6  # relative difference allowed between a solver's objective and the plan's


def optimise(case: Case, request: Request) -> Plan:
    """The best plan of a request.

    Ties go to fewer nodes. The certificate says ``optimal`` only with a proof.

    Raises
    ------
    BadInputError
        More nodes than the cluster has, or none.
    InfeasibleError
        No plan fits; names the limit that binds and the least relaxation.
    SolverStoppedError
        The solver stopped without a plan.
    InconsistentResultError
        A plan's cost is not what the solver said.
    """
    available = len(case.cluster.nodes)
    if not 1 <= request.max_nodes <= available:
        raise BadInputError(
            f"{request.max_nodes} nodes: cluster {case.cluster.name} has 1 to {available}"
        )
    plan, result = _solve(case, request)
    if plan is None:
        if result.certificate.status == "timeout":
            raise SolverStoppedError(
                f"the solver stopped after {request.time_limit_s:g} s without a plan; "
                "allow more time (--time-limit)"
            )
        raise InfeasibleError(f"no plan fits: {result.binding}")
    if result.certificate.status != "optimal":
        plan = _best_known(case, request, plan)
    while not request.exactly and plan.node_count > 1:
        smaller, _ = _solve(case, replace(request, max_nodes=plan.node_count - 1))
        if smaller is None or _objective(smaller) > _objective(plan) * (1 + _SAME):
            break
        plan = smaller.model_copy(update={"certificate": plan.certificate})
    if not request.alternatives:
        return plan
    return plan.model_copy(update={"alternatives": tuple(_alternatives(case, request, plan))})


def _best_known(case: Case, request: Request, plan: Plan) -> Plan:
    """Without a proof another shape's optimum may be the better plan; the bound stays as it is."""
    best = plan
    for _, _, other in _other_requests(request, plan):
        found, _ = _solve(case, other)
        if found is not None and _objective(found) < _objective(best):
            best = found
    certificate = plan.certificate
    if best is plan or certificate is None:
        return plan
    predicted = best.predicted
    value = predicted.latency_s if best.objective == "latency" else predicted.throughput_per_s
    gap = None if certificate.bound is None else abs(value - certificate.bound) / value
    return best.model_copy(update={"certificate": certificate.model_copy(update={"gap": gap})})


def _solve(case: Case, request: Request) -> tuple[Plan | None, JointResult]:
    """One request's plan, held against its limits."""
    plan, result = optimal_stages(
        case,
        request.max_nodes,
        request.parallelism,
        request.objective,
        request.limits,
        request.exactly,
        request.solver,
        request.time_limit_s,
    )
    if plan is not None:
        _check(plan, result)
    return plan, result


def _check(plan: Plan, result: JointResult) -> None:
    """Hold the evaluated plan against its limits and its certificate."""
    predicted, limits = plan.predicted, plan.limits
    slack = 1 + _REEVALUATED
    broken = [
        name
        for name, breaks in (
            (
                "accuracy",
                limits.max_accuracy_drop is not None
                and (predicted.accuracy_drop or 0.0) > limits.max_accuracy_drop * slack + 1e-9,
            ),
            (
                "weight energy",
                limits.max_energy_loss is not None
                and (predicted.energy_loss or 0.0) > limits.max_energy_loss * slack + 1e-9,
            ),
            (
                "latency",
                limits.max_latency_s is not None
                and predicted.latency_s > limits.max_latency_s * slack,
            ),
            (
                "throughput",
                limits.min_throughput_per_s is not None
                and predicted.throughput_per_s * slack < limits.min_throughput_per_s,
            ),
            *(
                (f"memory of {node.name}", predicted.memory_bytes[node.name] > node.memory_bytes)
                for node in plan.cluster.nodes
                if node.memory_bytes is not None and node.name in predicted.memory_bytes
            ),
        )
        if breaks
    ]
    claimed = result.objective_s
    if claimed is None or abs(_objective(plan) - claimed) > _REEVALUATED * abs(claimed):
        broken.append("its certificate")
    if broken:
        raise InconsistentResultError(
            f"{plan.strategy} on {plan.node_count} nodes: the evaluated plan breaks "
            f"{', '.join(broken)}"
        )


def _objective(plan: Plan) -> float:
    """Seconds to minimise: latency, or the time between two results."""
    predicted = plan.predicted
    return predicted.latency_s if plan.objective == "latency" else 1.0 / predicted.throughput_per_s


def _alternatives(case: Case, request: Request, best: Plan) -> list[Alternative]:
    """The best plans of other shapes and why they are not the answer."""
    found: dict[tuple[str, int], Alternative] = {}
    for name, nodes, other in _other_requests(request, best):
        plan, result = _solve(case, other)
        if plan is None:
            reason = f"does not fit: {result.binding or 'the solver found no plan'}"
            found[name, nodes] = Alternative(nodes=nodes, strategy=name, reason=reason)
        elif plan.stages != best.stages:
            found[plan.strategy, plan.node_count] = Alternative(
                nodes=plan.node_count,
                strategy=plan.strategy,
                latency_s=plan.predicted.latency_s,
                throughput_per_s=plan.predicted.throughput_per_s,
                reason=_reason(plan, best),
            )
    return sorted(found.values(), key=lambda other: (other.nodes, other.strategy))


def _other_requests(request: Request, best: Plan) -> Iterator[tuple[str, int, Request]]:
    """What a reader will ask about: strategy, nodes, and the request that finds it."""
    if request.exactly:
        return
    used = best.node_count
    if used > 1:
        yield "single-node", 1, replace(request, max_nodes=1)
    if used > 2:
        yield best.strategy, used - 1, replace(request, max_nodes=used - 1)
    if request.max_nodes == 1:
        return
    kinds: tuple[tuple[str, Parallelism], ...] = (
        ("optimal-sparsity", "within-layer"),
        ("optimal-allocation", "pipeline"),
    )
    for name, parallelism in kinds:
        if request.parallelism not in ("hybrid", parallelism):
            continue
        if used == 1:
            yield name, 2, replace(request, max_nodes=2, exactly=True, parallelism=parallelism)
        elif request.parallelism == "hybrid":
            yield name, request.max_nodes, replace(request, parallelism=parallelism)


def _reason(plan: Plan, best: Plan) -> str:
    difference = _objective(plan) - _objective(best)
    if difference > _SAME * _objective(best):
        measure = "slower" if best.objective == "latency" else "more between two results"
        return f"{format_seconds(difference)} {measure}"
    return "no better, and uses no fewer nodes"
