"""The best placement for a prompt and its answer, with its certificate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from planner.domain.answer import AnswerPlan
from planner.domain.certificate import FEASIBILITY_TOLERANCE, Certificate
from planner.domain.plan import StagePlan
from planner.domain.request import Request
from planner.domain.workload import Workload
from planner.errors import (
    BadInputError,
    InconsistentResultError,
    InfeasibleError,
    SolverStoppedError,
)
from planner.solve.check import times_of
from planner.solve.deadline import Deadline, OutOfTimeError
from planner.solve.problem import Choice, Problem, Result, infeasible
from planner.solve.solver import solve
from planner.strategies.groups import Groups, all_groups
from planner.strategies.limits import SLACK, broken_memory
from planner.strategies.optimise import certificate_of_all
from planner.strategies.phases.costed import cost_answer, seconds_of
from planner.strategies.phases.costs import (
    BASES,
    LanguageCase,
    Option,
    PhaseCosts,
    cost_options,
    options_of,
)
from planner.strategies.phases.problem import (
    Weights,
    problem_of_phases,
    stages_of_phases,
    weights_of_goal,
)
from planner.strategies.phases.rings import rings_of, search_rings
from planner.strategies.phases.ways import TENSOR_PARALLEL, Variant, variants_of
from planner.units import readable_bytes

_BASIS_WORDS = {
    "step": "by the time of an answer's step",
    "prompt": "by that of the prompt",
    "memory": "by memory",
    "equal": "equally",
}
_SAME = 1e-9  # relative difference below which two plans count as equal
_BELOW = 1.0 - 3.0 * FEASIBILITY_TOLERANCE  # of a value that a better plan must be under


def optimise_answer(case: LanguageCase, request: Request) -> AnswerPlan:
    """The best placement of a language model for a workload; ties go to fewer nodes.

    Parameters
    ----------
    case : LanguageCase
    request : Request
        Nodes, parallelism, solver and time. The objective is the workload's goal.

    Raises
    ------
    BadInputError, InfeasibleError, SolverStoppedError, InconsistentResultError
        As `planner.strategies.optimise.optimise`.
    """
    available = len(case.cluster.nodes)
    if not 1 <= request.max_nodes <= available:
        raise BadInputError(
            f"{request.max_nodes} nodes: cluster {case.cluster.name} has 1 to {available}"
        )
    if request.solver == "exhaustive" and case.workload.goal == "tokens-per-second":
        raise BadInputError("--solver exhaustive: not with the goal tokens-per-second")
    if case.workload.chunk == "best":
        return _best_chunk(case, request)
    deadline = Deadline(request.time_limit_s)
    found = search_answer(case, request, deadline)
    certificate = found.certificate
    while not request.exactly and found.nodes > 1 and not deadline.passed:
        fewer = replace(request, max_nodes=found.nodes - 1)
        try:
            smaller = search_answer(
                case,
                fewer,
                deadline.share(0.5),
                explained=False,
                at_most_s=found.value_s * (1 + _SAME),
            )
        except (InfeasibleError, SolverStoppedError):
            break
        if smaller.value_s > found.value_s * (1 + _SAME):
            break
        found = smaller
    return plan_of(case, found).model_copy(update={"certificate": certificate})


def _best_chunk(case: LanguageCase, request: Request) -> AnswerPlan:
    """The best plan with the prompt whole, or in chunks of whichever power of two."""
    prompt, deadline = case.workload.prompt, Deadline(request.time_limit_s)
    chunks = [1 << k for k in range(LEAST_CHUNK.bit_length() - 1, prompt.bit_length())]
    sizes = [None, *(size for size in chunks if size < prompt)]
    plans: list[AnswerPlan] = []
    failure: InfeasibleError | SolverStoppedError | None = None
    for at, size in enumerate(sizes):
        part = deadline.share(1 / (len(sizes) - at))
        one = replace(case, workload=case.workload.model_copy(update={"chunk": size}))
        try:
            plans.append(optimise_answer(one, replace(request, time_limit_s=part.left_s)))
        except InfeasibleError as error:  # smaller chunks keep less alive and may fit
            failure = failure or error
        except SolverStoppedError as error:
            failure = error
    if not plans:
        assert failure is not None
        raise failure
    best = min(plans, key=lambda plan: seconds_of(plan.workload, plan))
    found = [plan.certificate for plan in plans if plan.certificate is not None]
    assert best.certificate is not None
    update: dict[str, object] = {
        "scope": f"{best.certificate.scope}; the prompt whole or in chunks of "
        f"{', '.join(f'{size:,}' for size in sizes if size)} tokens",
        "runtime_s": deadline.elapsed_s,
    }
    stopped = isinstance(failure, SolverStoppedError)
    if stopped or any(each.status != "optimal" for each in found):
        bounds = [each.bound for each in found if each.bound is not None]
        bound = min(bounds) if len(bounds) == len(found) and not stopped else None
        value = seconds_of(best.workload, best)
        gap = None if bound is None else max(value - bound, 0.0) / value
        update |= {"status": "feasible", "bound": bound, "gap": gap}
    return best.model_copy(update={"certificate": best.certificate.model_copy(update=update)})


LEAST_CHUNK = 32
"""Tokens of the smallest chunk that is tried: of fewer every chunk reads all weights for little."""


@dataclass(frozen=True)
class Found:
    """The best choice of some searches.

    Attributes
    ----------
    best : _Answer
    certificate : Certificate
        Of all of them, in the goal's unit.
    """

    best: _Answer
    certificate: Certificate

    @property
    def value_s(self) -> float:
        """Seconds that the goal counts."""
        return self.best.value_s

    @property
    def choice(self) -> Choice:
        """The choice itself."""
        assert self.best.result.choice is not None
        return self.best.result.choice

    @property
    def options(self) -> list[Option]:
        """What each stage's group does."""
        assert self.best.costs is not None
        return [self.best.costs.options[group] for group in self.choice.groups]

    @property
    def nodes(self) -> int:
        """How many work."""
        sizes = self.best.groups.uses.sum(axis=1)
        return int(sum(sizes[option.group] for option in self.options))


@dataclass(frozen=True, eq=False)
class _Answer:
    """The best of one family of groups at one batch; the result counts what the goal does.

    The choice of a ring leaves out the head, which lies with the first stage.
    """

    groups: Groups
    costs: PhaseCosts | None
    batch: int
    result: Result
    asked: _Asked | None = None
    in_ring: bool = False

    @property
    def value_s(self) -> float:
        """Seconds that the goal counts; infinite without a plan."""
        value = self.result.objective_s
        return float("inf") if value is None else value


def search_answer(
    case: LanguageCase,
    request: Request,
    deadline: Deadline,
    variants: tuple[Variant, ...] | None = None,
    *,
    explained: bool = True,
    at_most_s: float | None = None,
) -> Found:
    """Search all families of groups, without a ring and with one.

    Parameters
    ----------
    case : LanguageCase
    request : Request
    deadline : Deadline
    variants : tuple of Variant, optional
        How groups may run; by default all that there are.
    explained : bool
        Whether to say what binds where nothing fits.
    at_most_s : float, optional
        No plan above is of use, nor a better one than a plan that is not.

    Raises
    ------
    InfeasibleError
        With what binds, if that is to be explained, which takes longer than to know it.
    SolverStoppedError
    """
    chosen = families_of(case, request)
    tried = [
        (search, batch)
        for groups in chosen
        for search in _searches(case, groups, variants)
        for batch in batches(case.workload)
    ]
    with_rings = _may_be_rings(request)
    searches = (1 + with_rings) * len(tried)
    found = [
        _best_of(case, request, search, batch, deadline.share(1 / (searches - done)))
        for done, (search, batch) in enumerate(tried)
    ]
    if with_rings:
        found += list(_rings(case, request, found, deadline, at_most_s))
    results = [each.result for each in found]
    best = min(found, key=lambda each: each.value_s)
    if best.result.choice is None:
        if any(result.certificate.status == "timeout" for result in results):
            raise SolverStoppedError(
                f"the solver stopped after {request.time_limit_s:g} s without a plan; "
                "allow more time (--time-limit)"
            )
        why = ""
        if explained and best.asked is not None:
            why = solve(best.asked.problem, request.solver, deadline).binding
            why += " (without a ring)" if with_rings and why else ""
        raise InfeasibleError(f"no plan fits: {readable_bytes(why)}")
    certificate = certificate_of_all(results, found.index(best))
    bound = certificate.bound
    if bound is not None and case.workload.goal == "tokens-per-second":
        bound = 1.0 / bound if bound > 0 else None
    scope = _scope(case, request, chosen, variants)
    return Found(best, certificate.model_copy(update={"bound": bound, "scope": scope}))


def plan_of(case: LanguageCase, found: Found) -> AnswerPlan:
    """The plan of a choice, costed layer by layer of the whole model.

    Raises
    ------
    InconsistentResultError
        That costs something else than the solver said, or does not fit.
    """
    best = found.best
    assert best.costs is not None
    phases = stages_of_phases(case, best.groups, best.costs, found.choice, best.batch, best.in_ring)
    plan = cost_answer(
        case, phases, found.options, best.batch, _shape(phases["step"][: len(found.options)])
    )
    _check(case, plan, best)
    return plan.model_copy(update={"certificate": found.certificate})


def batches(workload: Workload) -> Iterator[int]:
    """How many requests may run together: any part of them without a rest."""
    if workload.goal != "tokens-per-second":
        yield 1
        return
    yield from (n for n in range(1, workload.requests + 1) if workload.requests % n == 0)


def families_of(case: LanguageCase, request: Request) -> tuple[Groups, ...]:
    """The families of groups that are searched: hybrids, and single nodes in any order."""
    one = case.cases(1, "equal")["step"]
    found = all_groups(one, request.parallelism)
    if request.parallelism == "hybrid" and len(found) > 1:  # nodes of many kinds
        single = all_groups(one, "pipeline")
        found = (found[-1], *(single if len(single) == 1 else ()))
    return found


MAX_OPTIONS = 192
"""Groups and ways to run them that are searched together; else those of each basis by itself."""


@dataclass(frozen=True)
class _Search:
    """A family of groups with the options that are searched together."""

    groups: Groups
    names: list[tuple[str, ...]]
    options: list[Option]
    key: tuple[str, ...]


def _searches(
    case: LanguageCase, groups: Groups, variants: tuple[Variant, ...] | None
) -> list[_Search]:
    key = "searches", groups.scope, variants
    return case.once(key, lambda: list(_made_searches(case, groups, variants)))


def _made_searches(
    case: LanguageCase, groups: Groups, variants: tuple[Variant, ...] | None
) -> Iterator[_Search]:
    names = [groups.members((group,))[0] for group in range(len(groups.uses))]
    alone = case.workload.counts_step_alone
    chosen = variants or variants_of(case.model, alone)
    if len(names) * len(chosen) > MAX_OPTIONS:
        chosen = (TENSOR_PARALLEL,)
    said = tuple(variant.name for variant in chosen)
    which = tuple(basis for basis in BASES if basis != "prompt" or not alone)
    options = list(options_of(case, names, chosen, which))
    bases: list[tuple[str, ...]] = [which]
    if len(options) > MAX_OPTIONS:
        used = dict.fromkeys(o.basis for o in options if len(names[o.group]) > 1)
        bases = [(basis,) for basis in used]
    for basis in bases:
        some = options if basis == which else list(options_of(case, names, chosen, basis))
        yield _Search(groups, names, some, (groups.scope, *said, *basis))


def _best_of(
    case: LanguageCase, request: Request, search: _Search, batch: int, deadline: Deadline
) -> _Answer:
    groups = search.groups
    try:
        costs = case.once(
            ("answer costs", *search.key, batch),
            lambda: cost_options(case, groups, search.options, search.names, batch, deadline),
        )
    except OutOfTimeError:
        late = Certificate(status="timeout", solver="none", runtime_s=deadline.elapsed_s)
        result = Result(choice=None, objective_s=None, certificate=late)
        return _Answer(groups, None, batch, result)
    asked = _asked(case, request, groups, costs, batch)
    return _Answer(groups, costs, batch, asked.minimise(asked.problem, deadline), asked)


def _may_be_rings(request: Request) -> bool:
    """Whether a plan may have several stages."""
    return request.parallelism != "within-layer" and request.max_nodes > 1


def _rings(
    case: LanguageCase,
    request: Request,
    found: list[_Answer],
    deadline: Deadline,
    at_most_s: float | None,
) -> Iterator[_Answer]:
    """The best rings of some searches, each as far as it may be better than all before it."""
    least_s = min(each.value_s for each in found)
    if at_most_s is not None and least_s <= at_most_s:
        return
    for done, one in enumerate(found):
        if one.asked is None or one.costs is None:
            continue
        asked, part = one.asked, deadline.share(1 / (len(found) - done))
        rings = rings_of(asked.problem, one.costs, case.workload, asked.weights, asked.occupied)
        below_s = min(least_s * _BELOW, float("inf") if at_most_s is None else at_most_s)
        if asked.counted(rings.least_s) >= below_s:
            result = infeasible("")
        else:
            minimise = partial(asked.minimise, deadline=part, below_s=below_s)
            result = search_rings(rings, minimise)
        ring = _Answer(one.groups, one.costs, one.batch, result, asked, in_ring=True)
        least_s = min(least_s, ring.value_s)
        yield ring


@dataclass(frozen=True, eq=False)
class _Asked:
    """A problem, and what is counted of its plans.

    Attributes
    ----------
    problem : Problem
    weights, occupied : Weights
        How often each phase counts in the latency, and in what a resource does.
    pipelined : Pipelined, optional
        What is counted beside the latency; None: nothing.
    tokens : int
        That share what is counted.
    solver : str
    """

    problem: Problem
    weights: Weights
    occupied: Weights
    pipelined: Pipelined | None
    tokens: int
    solver: str

    def counted(self, latency_s: float) -> float:
        """The least that is counted of plans of at least some latency."""
        return (self.pipelined.share if self.pipelined else 1.0) * latency_s / self.tokens

    def minimise(
        self, problem: Problem, deadline: Deadline, below_s: float = float("inf")
    ) -> Result:
        """The plan of which least is counted, or that none is below a value.

        Parameters
        ----------
        problem : Problem
            This one, or another that counts alike.
        deadline : Deadline
        below_s : float
        """
        limits: dict[str, float] = {}
        if below_s < float("inf"):
            most_s = below_s * self.tokens
            latency_s = most_s / (self.pipelined.share if self.pipelined else 1.0)
            limits["max_latency_s"] = min(latency_s, problem.max_latency_s or latency_s)
            if self.pipelined:
                limits["max_bottleneck_s"] = most_s
        limited = problem.but(**limits)
        if self.pipelined is None:
            return solve(limited, self.solver, deadline, explained=False)
        result = _busiest(self.pipelined, limited, self.solver, deadline)
        if self.tokens > 1:
            result = _per_token(result, self.tokens)
        # limits on the latency and the busiest stage say less than one on what is counted
        useless = result.objective_s is not None and result.objective_s > below_s
        return infeasible("") if useless and result.certificate.status == "optimal" else result


def _asked(
    case: LanguageCase, request: Request, groups: Groups, costs: PhaseCosts, batch: int
) -> _Asked:
    workload, weights = case.workload, weights_of_goal(case.workload)
    pipelined: Pipelined | None = None
    occupied, tokens = weights, 1
    if workload.goal == "tokens-per-second":
        pipelined = Pipelined(1.0 / (workload.requests // batch), adds=False)
        tokens = batch * workload.answer
    elif workload.chunks > 1 and workload.goal != "token":
        pipelined = Pipelined(1.0, adds=True)
        occupied = Weights(0.0, 0.0, float(workload.chunks - 1))
    problem = problem_of_phases(case, groups, costs, request, weights, occupied)
    return _Asked(problem, weights, occupied, pipelined, tokens, request.solver)


@dataclass(frozen=True)
class Pipelined:
    """What is counted of a plan's latency and of its busiest stage.

    With m batches under way a token of all takes the larger of the latency over m and the busiest
    stage (eq. 48); with a prompt in chunks the busiest stage adds to the last one's latency
    (eq. 52).
    """

    share: float
    adds: bool

    def value(self, latency_s: float, busy_s: float) -> float:
        """Seconds that count."""
        latency_s *= self.share
        return latency_s + busy_s if self.adds else max(latency_s, busy_s)

    def least_busy(self, value: float, floor: float) -> float:
        """What the busiest stage of a better plan is under, if latencies count this at least."""
        return value - floor if self.adds else value


def _busiest(counted: Pipelined, problem: Problem, solver: str, deadline: Deadline) -> Result:
    """The least of what counts of latency and busiest stage.

    Plans of the least latency under a lower and lower limit on the busiest stage, until none is
    left that would be better.
    """
    best: Result | None = None
    value, bound, asked = float("inf"), 0.0, problem
    while True:
        result = solve(asked, solver, deadline.share(0.5), explained=False)
        status = result.certificate.status
        last = result
        if result.choice is None:
            proven = status == "infeasible"
            break
        times = times_of(problem, result.choice)
        here = counted.value(times.latency_s, times.bottleneck_s)
        if here < value:
            best, value = result, here
        # every plan within the limit has at least this latency; all others are busier than it
        floor = (result.certificate.bound or 0.0) * counted.share
        bound = max(bound, min(floor, value))
        if floor >= value * _BELOW:
            proven = status == "optimal"
            break
        if status != "optimal" or deadline.passed:
            proven = False
            break
        asked = problem.but(max_bottleneck_s=counted.least_busy(value, floor) * _BELOW)
    if best is None:  # its bound is one on the latency
        unknown = last.certificate.model_copy(update={"bound": None})
        return last.model_copy(update={"certificate": unknown})
    least = value if proven else bound
    update = {
        "status": "optimal" if proven else "feasible",
        "bound": least,
        "gap": (value - least) / value,
        "runtime_s": deadline.elapsed_s,
    }
    kept = best.certificate.model_copy(update=update)
    return best.model_copy(update={"certificate": kept, "objective_s": value})


def _per_token(result: Result, tokens: int) -> Result:
    """A result that counts seconds of so many tokens as one that counts a token's."""
    if result.objective_s is None:
        return result
    bound = result.certificate.bound
    kept = result.certificate.model_copy(
        update={"bound": None if bound is None else bound / tokens}
    )
    return result.model_copy(
        update={"certificate": kept, "objective_s": result.objective_s / tokens}
    )


def _shape(stages: tuple[StagePlan, ...]) -> str:
    """What the optimum turned out to be."""
    sizes = [len(stage.nodes) for stage in stages]
    if len(sizes) == 1:
        return "single-node" if sizes == [1] else "optimal-within-layer"
    return "optimal-pipeline" if max(sizes) == 1 else "optimal-hybrid"


def _scope(
    case: LanguageCase,
    request: Request,
    families: tuple[Groups, ...],
    variants: tuple[Variant, ...] | None,
) -> str:
    """The set of plans that a certificate speaks of."""
    what = {
        "within-layer": "one stage",
        "pipeline": "contiguous stages of whole blocks on one node each",
        "hybrid": "contiguous stages of whole blocks, each on one node or on several",
    }[request.parallelism]
    used = f"{'exactly' if request.exactly else 'at most'} {request.max_nodes}"
    groups = " or ".join(dict.fromkeys(groups.scope for groups in families))
    said = f"{what}, the same for prompt and answer; {used} of {groups}"
    if request.parallelism != "pipeline" and request.max_nodes > 1:
        searches = [search for groups in families for search in _searches(case, groups, variants)]
        options = [o for s in searches for o in s.options if len(s.names[o.group]) > 1]
        ways = " or ".join(dict.fromkeys(option.variant.name for option in options))
        bases = " or ".join(dict.fromkeys(_BASIS_WORDS[option.basis] for option in options))
        alike = ", alike in all stages" if len(searches) > len(families) else ""
        said += f"; on groups of two or more {ways}, shared out {bases}{alike}"
    if _may_be_rings(request):
        said += "; the head behind the last block, or in a ring with the first stage"
    if case.may_use_hosts:
        said += "; experts of any blocks in the memory of their nodes' hosts"
    if case.workload.goal == "tokens-per-second":
        said += "; batches of any part of the requests"
    return said


def _check(case: LanguageCase, plan: AnswerPlan, best: _Answer) -> None:
    """Hold the whole model's cost against the solver's word, and the memory against the nodes.

    Raises
    ------
    InconsistentResultError
    """
    found = seconds_of(case.workload, plan)
    if not np.isclose(found, best.value_s, rtol=SLACK, atol=0.0):
        raise InconsistentResultError(
            f"the solver says {best.value_s:.9g} s, the cost model says {found:.9g} s"
        )
    if broken := broken_memory(
        plan.predicted.memory_bytes, case.cluster, plan.predicted.host_bytes
    ):
        raise InconsistentResultError(f"the plan does not fit: {broken}")
