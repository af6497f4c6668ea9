"""The best plan of a request, with one certificate, and the plans that it was weighed against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.accuracy.interface import default_limits
from planner.case import Case
from planner.cost.steps import in_ways
from planner.cost.work import moves_bytes
from planner.domain.certificate import Certificate
from planner.domain.layouts import WAYS
from planner.domain.plan import Alternative, LayerPlan, Plan, StagePlan
from planner.domain.request import Request
from planner.domain.settings import Limits, Parallelism
from planner.errors import (
    BadInputError,
    InconsistentResultError,
    InfeasibleError,
    SolverStoppedError,
)
from planner.solve.deadline import Deadline
from planner.solve.layout_problem import AnyProblem
from planner.solve.problem import NO_LIMIT, Choice, Result
from planner.solve.solver import solve
from planner.strategies.costed import cost_plan
from planner.strategies.groups import Groups, all_groups, first_nodes, ring_order
from planner.strategies.limits import SLACK, find_broken_limits
from planner.strategies.problem_of import (
    GroupCosts,
    costs_of,
    in_layouts,
    levels_of,
    problem_of,
    stages_of,
)
from planner.strategies.stored_once import may_store_twice, solve_stored_once
from planner.strategies.uncertainty import with_interval
from planner.strategies.ways.problem import LayoutCosts
from planner.strategies.ways.runs import MAX_WINDOWS
from planner.units import format_seconds, readable_bytes

LOSSLESS = "optimal-lossless"
"""The best plan that drops nothing, beside one that does."""
TRAINED = "optimal-trained"
"""The best plan at the usual loss, beside one that drops nothing."""
LATE = "not found in the time there was"
"""Why another plan is not the answer, where the search was ended before it had one."""

_SAME = 1e-9  # relative difference below which two objectives count as equal
# Of a time limit for the plan itself; the rest is for what it is weighed against.
_FIRST_SHARE = 0.7
# Of a time limit, for shares by time where equal ones have one: seldom is the best among these.
_BY_TIME_PARTS = 3.0
# Of a time limit, for the best plan that gathers features alone.
_GATHERING_SHARE = 0.1


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
    deadline = Deadline(request.time_limit_s)
    share = _FIRST_SHARE if request.alternatives else 1.0
    plan, result = find_plan(case, request, deadline.share(share))
    if plan is None:
        if result.certificate.status == "timeout":
            raise SolverStoppedError(
                f"no plan was found: {result.binding}"
                if result.binding
                else f"the solver stopped after {request.time_limit_s:g} s without a plan; "
                "allow more time (--time-limit)"
            )
        raise InfeasibleError(f"no plan fits: {readable_bytes(result.binding)}")
    while not request.exactly and plan.node_count > 1 and not deadline.passed:
        fewer = replace(request, max_nodes=plan.node_count - 1)
        smaller, _ = find_plan(case, fewer, deadline.share(0.5))
        if smaller is None or objective_s(smaller) > objective_s(plan) * (1 + _SAME):
            break
        plan = smaller.model_copy(update={"certificate": plan.certificate})
    plan = with_interval(case.sharing(plan.settings.shares), plan)
    if not request.alternatives:
        return plan
    return plan.model_copy(
        update={"alternatives": tuple(_alternatives(case, request, plan, deadline))}
    )


def objective_s(plan: Plan) -> float:
    """Seconds to minimise: latency, or the time between two results."""
    predicted = plan.predicted
    return predicted.latency_s if plan.objective == "latency" else 1.0 / predicted.throughput_per_s


def find_plan(
    case: Case,
    request: Request,
    deadline: Deadline | None = None,
    families: tuple[Groups, ...] | None = None,
) -> tuple[Plan | None, Result]:
    """The best plan over some families of groups, and what is known of it; no plan without one.

    What was proven is kept in the case.

    Parameters
    ----------
    case : Case
    request : Request
    deadline : Deadline, optional
        By default the request's time limit.
    families : tuple of Groups, optional
        Each is searched by itself; by default all groups of the cluster's nodes.

    Returns
    -------
    plan : Plan or None
        With its certificate, whose bound counts in the objective's unit.
    result : Result
        The solver's, in seconds.
    """
    deadline = deadline or Deadline(request.time_limit_s)
    chosen = families or all_groups(case, request.parallelism)
    asked = replace(request, time_limit_s=None, alternatives=False)
    return case.once(
        ("plan", asked, tuple(groups.scope for groups in chosen)),
        lambda: _find_plan(case, request, deadline, chosen),
        keep=lambda found: found[1].certificate.status in ("optimal", "infeasible"),
    )


def _find_plan(
    case: Case, request: Request, deadline: Deadline, families: tuple[Groups, ...]
) -> tuple[Plan | None, Result]:
    plans: list[tuple[StagePlan, ...]] = []
    results: list[Result] = []
    tried = [(one, groups) for one in sharings(case, request) for groups in families]
    parts = [_BY_TIME_PARTS if one is case else 1.0 for one, _ in tried]
    for done, (one, groups) in enumerate(tried):
        part = deadline.share(parts[done] / sum(parts[done:]))
        stages, result = _solve_on(one, request, groups, part)
        plans.append(stages)
        results.append(result)
    costs_s = [float("inf") if r.objective_s is None else r.objective_s for r in results]
    best = costs_s.index(min(costs_s))
    result = results[best]
    if result.choice is None:
        undecided = next((r for r in results if r.certificate.status == "timeout"), None)
        return None, undecided or result
    certificate = certificate_of_all(results, best)
    result = result.model_copy(update={"certificate": certificate})
    plan = cost_plan(tried[best][0], plans[best], _name_shape(plans[best]))
    bound = certificate.bound
    if bound is not None and request.objective == "throughput":
        bound = 1.0 / bound if bound > 0 else None
    scope = _describe_scope(case, request, families)
    plan = plan.model_copy(
        update={
            "certificate": certificate.model_copy(update={"bound": bound, "scope": scope}),
            "objective": request.objective,
            "limits": request.limits,
        }
    )
    _check(plan, result)
    return plan, result


def sharings(case: Case, request: Request) -> list[Case]:
    """The ratios of shares to search: by time, and equal ones where these are others.

    What is shared out by time can be slower: a fast node sends and receives the more the more it
    computes, and a layer then ends when the messages of that node do.
    """
    if case.settings.shares != "either" or request.parallelism == "pipeline":
        return [case]
    speeds = {node.rates for node in case.cluster.nodes}
    if request.max_nodes == 1 or len(speeds) == 1:
        return [case]
    return [case, case.sharing("equal")]


def _solve_on(
    case: Case, request: Request, groups: Groups, deadline: Deadline
) -> tuple[tuple[StagePlan, ...], Result]:
    """Stages on one family of groups, and the solver's word; no stages without a plan."""
    costs = costs_of(case, groups, request, deadline)
    # Structures that answered other requests of this case are tried first.
    answers: list[Choice] = []
    if costs.complete:
        like = groups.scope, request.parallelism, request.ways, levels_of(case, request)
        answers = case.once(("known", *like), list[Choice])
    known = tuple(answers)
    if isinstance(costs, LayoutCosts) and costs.graph.simplified:
        case.once(("simplified", groups.scope), lambda: True)
    problem = problem_of(case, costs, request)
    if isinstance(costs, LayoutCosts) and request.solver == "auto" and _is_limited(problem):
        known += _gathering(case, request, groups, costs, deadline)

    def solve_with(other: GroupCosts | LayoutCosts, part: Deadline) -> Result:
        asked = problem if other is costs else problem_of(case, other, request)
        return solve(asked, request.solver, part, known)

    def fits(found: Result) -> bool:
        assert found.choice is not None
        stages = stages_of(case, costs, found.choice)
        predicted = cost_plan(case, stages, _name_shape(stages)).predicted
        return not list(find_broken_limits(predicted, case.cluster, Limits(), None, None))

    if may_store_twice(case, costs, request.parallelism == "within-layer"):
        result = solve_stored_once(case, costs, solve_with, fits, deadline)
    else:
        result = solve_with(costs, deadline)
    if not costs.complete:
        result = _without_proof(result)
    if result.choice is None:
        return (), result
    answers.append(result.choice)
    return stages_of(case, costs, result.choice), result


def _is_limited(problem: AnyProblem) -> bool:
    """Whether the search may have to be ended without a proof."""
    limits = problem.max_loss, problem.max_bottleneck_s, problem.max_latency_s
    small = bool((problem.memory_limit_bytes < NO_LIMIT).any())
    return small or any(limit is not None for limit in limits)


def _gathering(
    case: Case, request: Request, groups: Groups, costs: LayoutCosts, deadline: Deadline
) -> tuple[Choice, ...]:
    """The best plan whose layers all gather features: no plan in all ways should be slower."""
    alone, part = replace(request, ways=("features",)), deadline.share(_GATHERING_SHARE)
    _, result = find_plan(case, alone, part, (groups,))
    of = costs_of(case, groups, alone, part)
    if result.choice is None or isinstance(of, LayoutCosts):
        return ()
    choice = in_layouts(costs, of, case, result.choice)
    return () if choice is None else (choice,)


def _without_proof(result: Result) -> Result:
    """The answer where only some groups were costed in time: nothing is known of the others."""
    status = "timeout" if result.choice is None else "feasible"
    update = {"status": status, "bound": None, "gap": None}
    return result.model_copy(
        update={"certificate": result.certificate.model_copy(update=update), "binding": ""}
    )


def certificate_of_all(results: list[Result], best: int) -> Certificate:
    """What the best plan of several searches is worth, in seconds; the bound is their lowest.

    Parameters
    ----------
    results : list of Result
        At least one, each with the objective that all have.
    best : int
        The place of one that has a choice.
    """
    own = results[best].certificate
    if len(results) == 1:
        return own
    proven = all(r.certificate.status in ("optimal", "infeasible") for r in results)
    # a family in which nothing fits bounds nothing
    bounds = [r.certificate.bound for r in results if r.certificate.status != "infeasible"]
    known = [bound for bound in bounds if bound is not None]
    bound = min(known) if known and len(known) == len(bounds) else None
    objective = results[best].objective_s
    assert objective is not None
    return own.model_copy(
        update={
            "status": "optimal" if proven else "feasible",
            "bound": bound,
            "gap": None if bound is None else max(objective - bound, 0.0) / (objective or 1.0),
            "runtime_s": sum(r.certificate.runtime_s for r in results),
        }
    )


def _name_shape(stages: tuple[StagePlan, ...]) -> str:
    """What the optimum turned out to be."""
    if all(len(stage.nodes) == 1 for stage in stages):
        return "single-node" if len(stages) == 1 else "optimal-allocation"
    if len(stages) > 1:
        return "optimal-hybrid"
    (stage,) = stages
    return "optimal-sparsity" if stage.drops_features or not in_ways(stage) else LOSSLESS


def _describe_scope(case: Case, request: Request, families: tuple[Groups, ...]) -> str:
    """The set of plans that a certificate speaks of."""
    what = {
        "within-layer": "one stage",
        "pipeline": "contiguous stages of one node each in the model's order of layers",
        "hybrid": "contiguous stages, each on one node or on several, in the order of the layers",
    }[request.parallelism]
    if request.cut_at == "blocks" and request.parallelism != "within-layer":
        what += ", cut between whole blocks"
    used = f"{'exactly' if request.exactly else 'at most'} {request.max_nodes}"
    groups = " or ".join(groups.scope for groups in families)
    if request.parallelism == "pipeline":
        return f"{what}; {used} of {groups}"
    levels = len(levels_of(case, request))
    inside = f"{levels} levels of sparsity per layer" if levels > 1 else "nothing dropped"
    if request.ways != ("features",) and not case.settings.share_inputs:
        ways = "every way" if request.ways == WAYS else "the ways " + ", ".join(request.ways)
        fused = (
            f", fused halos over up to {MAX_WINDOWS} of them" if "positions" in request.ways else ""
        )
        inside = f"{ways} of every layer{fused}; {inside}"
        if moves_bytes(case.cluster.nodes):
            inside += "; layers without MACs run where their input lies"
        if any(case.known(("simplified", family.scope)) for family in families):
            inside += "; where many tensors are alive, these lie in fewer layouts"
    if len(sharings(case, request)) > 1:
        inside += "; shared out by time or equally"
    return f"{what}; {used} of {groups}; on groups of two or more {inside}"


def optimal_sparsity(
    case: Case, request: Request, deadline: Deadline | None = None
) -> tuple[Plan | None, Result]:
    """DISCO: the best sparsity per layer on the first ``max_nodes`` nodes, which all take part."""
    nodes = request.max_nodes
    levels = len(levels_of(case, request))
    scope = f"{levels} levels of sparsity per layer on the first {nodes} nodes"
    if nodes == 1:
        scope = "the whole model on the source"
    asked = replace(request, parallelism="within-layer", exactly=False, ways=("features",))
    found = find_plan(case, asked, deadline, (first_nodes(case, nodes),))
    return _named(found, "optimal-sparsity", scope)


def optimal_lossless(
    case: Case, request: Request, deadline: Deadline | None = None
) -> tuple[Plan | None, Result]:
    """The best way of every layer on the first ``max_nodes`` nodes; nothing is dropped."""
    nodes = request.max_nodes
    scope = f"the way of every layer on the first {nodes} nodes"
    asked = replace(without_training(request), parallelism="within-layer", exactly=False)
    found = find_plan(case, asked, deadline, (first_nodes(case, nodes),))
    return _named(found, LOSSLESS, scope)


def optimal_allocation(
    case: Case, request: Request, deadline: Deadline | None = None
) -> tuple[Plan | None, Result]:
    """The best cut of the layers over the first ``max_nodes`` nodes in ring order, one a stage."""
    nodes = request.max_nodes
    scope = (
        "contiguous cuts in the model's order of layers, over the first "
        f"{nodes} nodes in ring order"
    )
    asked = replace(request, parallelism="pipeline")
    found = find_plan(case, asked, deadline, (ring_order(case, nodes),))
    return _named(found, "optimal-allocation", scope)


def _named(
    found: tuple[Plan | None, Result], strategy: str, scope: str
) -> tuple[Plan | None, Result]:
    plan, result = found
    if plan is None or plan.certificate is None:
        return found
    certificate = plan.certificate.model_copy(update={"scope": scope})
    return plan.model_copy(update={"strategy": strategy, "certificate": certificate}), result


def _check(plan: Plan, result: Result) -> None:
    """Hold the costed plan against its limits and its certificate."""
    predicted = plan.predicted
    losses = predicted.accuracy_drop, predicted.energy_loss
    broken = list(find_broken_limits(predicted, plan.cluster, plan.limits, *losses))
    claimed = result.objective_s
    if claimed is None or abs(objective_s(plan) - claimed) > SLACK * abs(claimed):
        broken.append("not what its certificate says")
    if broken:
        raise InconsistentResultError(
            f"{plan.strategy} on {plan.node_count} nodes: the evaluated plan is {', '.join(broken)}"
        )


def _alternatives(
    case: Case, request: Request, best: Plan, deadline: Deadline
) -> Iterator[Alternative]:
    """The best plans of other shapes and why they are not the answer, by number of nodes."""
    found: dict[tuple[str, int], Alternative] = {}
    others = list(_other_requests(case, request, best))
    for done, (name, nodes, other) in enumerate(others):
        part = deadline.share(1.0 / (len(others) - done))
        alone = _best_alone(case, request) if name == "single-node" else None
        plan, result = (alone, None) if alone else find_plan(case, other, part)
        if plan is not None and name in (LOSSLESS, TRAINED):
            plan = plan.model_copy(update={"strategy": name})
        if plan is None:
            binding = (result and result.binding) or "the solver found no plan"
            stopped = result is not None and result.certificate.status == "timeout"
            reason = LATE if stopped else f"does not fit: {readable_bytes(binding)}"
            found[name, nodes] = Alternative(nodes=nodes, strategy=name, reason=reason)
        elif name == TRAINED and objective_s(plan) >= objective_s(best) * (1 - _SAME):
            # what drops nothing is among its plans: either none is better, or time was short
            if result is None or result.certificate.status != "optimal":
                found[name, nodes] = Alternative(nodes=nodes, strategy=name, reason=LATE)
        elif plan.stages != best.stages:
            found[plan.strategy, plan.node_count] = Alternative(
                nodes=plan.node_count,
                strategy=plan.strategy,
                latency_s=plan.predicted.latency_s,
                throughput_per_s=plan.predicted.throughput_per_s,
                accuracy_drop=plan.predicted.accuracy_drop if name == TRAINED else None,
                energy_loss=plan.predicted.energy_loss if name == TRAINED else None,
                reason=_reason(plan, best),
            )
    yield from sorted(found.values(), key=lambda other: (other.nodes, other.strategy))


def _best_alone(case: Case, request: Request) -> Plan | None:
    """The whole model on the node that is best at it, within the limits; None where none is.

    Each is costed: however short the time is, that is quick.
    """
    layers = tuple(LayerPlan(name=layer.name, nodes=1) for layer in case.profile.layers)
    plans = [
        cost_plan(case, (StagePlan(nodes=(node.name,), layers=layers),), "single-node")
        for node in case.cluster.nodes
    ]
    limits = request.limits
    fitting = [
        plan.model_copy(update={"objective": request.objective})
        for plan in plans
        if not list(find_broken_limits(plan.predicted, case.cluster, limits, None, None))
    ]
    return min(fitting, key=objective_s, default=None)


def without_training(request: Request) -> Request:
    """The same request where nothing may be dropped."""
    free = request.limits.model_copy(update={"max_accuracy_drop": None, "max_energy_loss": None})
    return replace(request, limits=free, max_sparsity=None)


def with_training(case: Case, request: Request) -> Request | None:
    """The same request where the usual loss is allowed; None without a model of it."""
    if case.loss_model is None:
        return None
    return replace(request, limits=default_limits(request.limits, case.loss_model))


def _other_requests(case: Case, request: Request, best: Plan) -> Iterator[tuple[str, int, Request]]:
    """What a reader will ask about: strategy, nodes, and the request that finds it."""
    trained = with_training(case, request)
    if request.may_drop:
        yield LOSSLESS, request.max_nodes, without_training(request)
    elif trained is not None and request.parallelism != "pipeline":
        yield TRAINED, request.max_nodes, trained
    used = best.node_count
    if used > 1:
        yield "single-node", 1, replace(request, max_nodes=1, exactly=False)
    if request.exactly:
        return
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
    difference = objective_s(plan) - objective_s(best)
    if plan.strategy == TRAINED and difference < -_SAME * objective_s(best):
        return f"{format_seconds(-difference)} less, but drops features: the model must be trained"
    if difference > _SAME * objective_s(best):
        measure = "slower" if best.objective == "latency" else "more between two results"
        return f"{format_seconds(difference)} {measure}"
    return "no better, and uses no fewer nodes"
