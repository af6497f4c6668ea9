"""The best plan over node counts and kinds of parallelism, with one certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from planner.domain.plan import Alternative, Plan
from planner.domain.problem import Certificate, Result
from planner.domain.settings import NO_LIMITS, Limits, Objective, Parallelism
from planner.errors import InconsistentResultError, InfeasibleError, SolverStoppedError
from planner.strategies.pipeline import optimal_allocation
from planner.strategies.study import Study
from planner.strategies.within_layer import optimal_sparsity
from planner.units import format_seconds

_SAME = 1e-9  # relative difference below which two objectives count as equal
_REEVALUATED = 1e-6  # relative difference allowed between a solver's objective and the plan's


@dataclass(frozen=True)
class Request:
    """What the best plan must respect and how it is looked for.

    Attributes
    ----------
    node_counts : tuple of int
        Every number of nodes that may be used, from the first of the ring.
    parallelism : tuple of Parallelism
    exactly : bool
        Every node of a count must work (``--nodes``), not at most that many.
    solver : {"auto", "ilp", "exhaustive"}
    time_limit_s : float, optional
        For each of the programs that are solved.
    """

    node_counts: tuple[int, ...]
    parallelism: tuple[Parallelism, ...] = ("within-layer", "pipeline")
    objective: Objective = "latency"
    limits: Limits = NO_LIMITS
    exactly: bool = False
    solver: str = "auto"
    time_limit_s: float | None = None


@dataclass(frozen=True)
class _Candidate:
    nodes: int
    strategy: str
    plan: Plan | None
    result: Result


def optimise(study: Study, request: Request) -> Plan:
    """The best plan among all candidates of a request.

    Ties go to fewer nodes. The certificate says ``optimal`` only where every candidate's
    program was solved to proof; its bound is the best over all of them.

    Raises
    ------
    InfeasibleError
        No candidate fits; names the limit that binds and the least relaxation.
    SolverStoppedError
        The solver stopped without a plan.
    InconsistentResultError
        A plan's cost is not what the solver said.
    """
    candidates = _candidates(study, request)
    found = sorted((c for c in candidates if c.plan is not None), key=lambda c: c.nodes)
    if not found:
        stopped = [c for c in candidates if c.result.certificate.status == "timeout"]
        if stopped:
            raise SolverStoppedError(
                f"the solver stopped after {request.time_limit_s:g} s without a plan; "
                "allow more time (--time-limit)"
            )
        raise InfeasibleError(f"no plan fits: {_why_not(candidates)}")
    best = found[0]
    for candidate in found[1:]:
        if _objective(candidate, request) < _objective(best, request) * (1 - _SAME):
            best = candidate
    assert best.plan is not None
    return best.plan.model_copy(
        update={
            "certificate": _combined(best, candidates, request),
            "alternatives": tuple(_alternatives(best, candidates, request)),
        }
    )


def _candidates(study: Study, request: Request) -> list[_Candidate]:
    counts = sorted(set(request.node_counts))
    candidates = []
    for nodes in counts:
        single = nodes == 1
        if single or "within-layer" in request.parallelism:
            plan, result = optimal_sparsity(
                study,
                nodes,
                request.objective,
                request.limits,
                request.solver,
                request.time_limit_s,
            )
            name = "single-node" if single else "optimal-sparsity"
            plan = plan.model_copy(update={"strategy": name}) if plan else None
            candidates.append(_checked(_Candidate(nodes, name, plan, result), request))
    if "pipeline" in request.parallelism and counts[-1] > 1:
        # with empty workers allowed the largest count covers the smaller ones
        plan, result = optimal_allocation(
            study,
            counts[-1],
            request.objective,
            request.limits,
            request.exactly,
            request.solver,
            request.time_limit_s,
        )
        used = plan.node_count if plan else counts[-1]
        candidates.append(_checked(_Candidate(used, "optimal-allocation", plan, result), request))
    return candidates


def _checked(candidate: _Candidate, request: Request) -> _Candidate:
    """Hold the evaluated plan against its limits."""
    if candidate.plan is None:
        return candidate
    predicted, limits = candidate.plan.predicted, request.limits
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
                for node in candidate.plan.cluster.nodes
                if node.memory_bytes is not None and node.name in predicted.memory_bytes
            ),
        )
        if breaks
    ]
    bound = candidate.plan.certificate.bound if candidate.plan.certificate else None
    proven = candidate.result.certificate.status == "optimal"
    value = predicted.latency_s if request.objective == "latency" else predicted.throughput_per_s
    differs = proven and bound is not None and abs(value - bound) > _REEVALUATED * abs(value)
    if broken or differs:
        raise InconsistentResultError(
            f"{candidate.strategy} on {candidate.nodes} nodes: the evaluated plan breaks "
            f"{', '.join(broken) or 'its certificate'}"
        )
    return candidate


def _objective(candidate: _Candidate, request: Request) -> float:
    """Seconds to minimise: latency, or the time between two results."""
    assert candidate.plan is not None
    predicted = candidate.plan.predicted
    if request.objective == "latency":
        return predicted.latency_s
    return 1.0 / predicted.throughput_per_s


def _combined(best: _Candidate, candidates: list[_Candidate], request: Request) -> Certificate:
    assert best.plan is not None and best.plan.certificate is not None
    certificates = [c.plan.certificate if c.plan else c.result.certificate for c in candidates]
    known = [c for c in certificates if c is not None and c.status != "infeasible"]
    bounds = [c.bound for c in known]
    better: Callable[[list[float]], float] = min if request.objective == "latency" else max
    complete = all(bound is not None for bound in bounds)
    bound = better([b for b in bounds if b is not None]) if complete else None
    value = best.plan.predicted.latency_s
    if request.objective == "throughput":
        value = best.plan.predicted.throughput_per_s
    proven = all(c.status == "optimal" for c in known)
    gap = None if bound is None else (0.0 if proven else abs(value - bound) / abs(value))
    shapes = sorted({(c.nodes, c.strategy) for c in candidates if c is not best})
    others = ", ".join(f"{name} on {nodes}" for nodes, name in shapes)
    return best.plan.certificate.model_copy(
        update={
            "status": "optimal" if proven else "feasible",
            "bound": bound,
            "gap": gap,
            "runtime_s": sum(c.runtime_s for c in certificates if c is not None),
            "scope": best.plan.certificate.scope + (f"; against {others}" if others else ""),
        }
    )


def _alternatives(
    best: _Candidate, candidates: list[_Candidate], request: Request
) -> list[Alternative]:
    """Every other shape and why it is not the answer."""
    others = []
    for candidate in candidates:
        if candidate is best:
            continue
        plan = candidate.plan
        if plan is None:
            reason = f"does not fit: {candidate.result.binding or 'the solver found no plan'}"
            others.append(
                Alternative(nodes=candidate.nodes, strategy=candidate.strategy, reason=reason)
            )
            continue
        difference = _objective(candidate, request) - _objective(best, request)
        if difference > _SAME * _objective(best, request):
            measure = "slower" if request.objective == "latency" else "more between two results"
            reason = f"{format_seconds(difference)} {measure}"
        else:
            reason = "no better, and uses no fewer nodes"
        others.append(
            Alternative(
                nodes=candidate.nodes,
                strategy=candidate.strategy,
                latency_s=plan.predicted.latency_s,
                throughput_per_s=plan.predicted.throughput_per_s,
                reason=reason,
            )
        )
    return others


def _why_not(candidates: list[_Candidate]) -> str:
    """The binding limit of the largest candidate of each kind."""
    last = {candidate.strategy: candidate for candidate in candidates}
    if len(last) > 1:
        last.pop("single-node", None)
    return "; ".join(
        f"{c.strategy} on {c.nodes} node{'s' if c.nodes > 1 else ''}: {c.result.binding}"
        for c in last.values()
    )
