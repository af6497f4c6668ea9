"""What it would take: the least of one resource, or the fewest nodes, for a latency.

The least latency never rises with any of them. A plan's layers and transfers take bytes / B,
MACs / C, bytes / memory bandwidth and what depends on none of these, so that with more of any no
plan is slower; what a plan loses and what memory it needs depend on none; and the plans for N
nodes are among those for N + 1. A value is therefore *enough*, and all above it are, once a plan
there meets the target. It is *not enough*, and nothing below it is, once a certificate's bound
there is above the target. What a gap leaves open is neither.

Where unlike nodes share out layers by times of which only a part follows the resource, shares move
with it, and nothing is proven of other values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from pydantic import Field

from planner.case import Case
from planner.domain.arrays import Frozen
from planner.domain.cluster import Cluster
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.errors import BadInputError, InfeasibleError, SolverStoppedError
from planner.solve.check import exceeds
from planner.solve.deadline import Deadline
from planner.strategies.costed import predict
from planner.strategies.optimise import optimise
from planner.strategies.what_if.bisection import Bracket, Verdict
from planner.strategies.what_if.quantities import (
    LARGEST,
    MOST_NODES,
    UNITS,
    Value,
    at_value,
    present_value,
    with_room,
)
from planner.strategies.what_if.summary import PlanSummary, summary_of

Resource = Literal["bandwidth", "compute", "memory-bandwidth", "nodes"]
Outcome = Literal["found", "any", "unreachable", "open"]

DEFAULT_TOLERANCE = 0.01
DEFAULT_MOST_NODES = 16
_TOLERANCES = (1e-6, 0.5)
_TARGETS_S = (1e-12, 1e12)
_TRIAL_SHARE = 0.3  # of the time that is left, for one value: few are hard to prove
_NEGLIGIBLE = 1e-9  # of the target: what as good as unlimited bandwidth or speed may still cost


class Trial(Frozen):
    """What was found at one value."""

    value: Value | None = Field(description="null: the cluster as it is, its nodes or links unlike")
    verdict: Verdict
    latency_s: float | None = Field(description="of the best plan; null where there is none")
    bound_s: float | None = Field(description="no plan is faster; null where nothing is proven")
    reason: str = Field(default="", description="why there is no plan")


class Needed(Frozen):
    """The least value that meets a target: one that does, and one that is proven not to."""

    schema_version: Literal[1] = 1
    model: str
    cluster: str
    of: Resource
    unit: str
    target_latency_s: float
    limits: Limits = Field(description="kept at every value, besides the target")
    accuracy_model: str | None
    tolerance: float = Field(description="relative, between enough and not_enough; of nodes: one")
    current: Value | None = Field(description="null where nodes or links differ")
    met: bool | None = Field(description="by the cluster as it is; null where that is open")
    current_best: PlanSummary | None
    outcome: Outcome = Field(
        description="found: enough holds a value; any: every value is enough; unreachable: not "
        "even largest is, and that is proven; open: nothing of this is proven"
    )
    enough: Value | None = Field(description="least value known to be")
    not_enough: Value | None = Field(
        description="largest value proven not to be; of nodes 0 at least"
    )
    proven: bool = Field(description="enough is the least value, to within the tolerance")
    largest: Value = Field(
        description="the most nodes that were allowed; of the others so much that still more "
        "would gain less than a billionth of the target"
    )
    best: PlanSummary | None = Field(
        description="the plan at enough, or where every value is enough one that shows it; where "
        "none is known to be, the best at largest"
    )
    trials: tuple[Trial, ...]


def needed(
    case: Case,
    request: Request,
    of: Resource,
    target_latency_s: float,
    *,
    tolerance: float = DEFAULT_TOLERANCE,
    most_nodes: int | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Needed:
    """Bisect for the least value of a resource at which a plan meets a target latency.

    Parameters
    ----------
    case : Case
    request : Request
        Its limits hold at every value, its time limit for the whole call. Its objective is
        replaced by the latency.
    of : {"bandwidth", "compute", "nodes"}
        B of every link, C of every node, or how many nodes may be used.
    target_latency_s : float
    tolerance : float
        Relative distance of the two ends at which the search is over.
    most_nodes : int, optional
        Of ``nodes``, the most that may be used; those beyond the cluster's are copies of its
        last one. By default 16, or all of the cluster's where it has more.
    watch : callable, optional
        Told before each trial how many are done, and of about how many. What it raises ends the
        work.

    Raises
    ------
    BadInputError
        A target, tolerance or number of nodes out of range; a limit on the latency besides the
        target; exactly so many ``nodes``; a limit that the model cannot keep.
    """
    _check(request, of, target_latency_s, tolerance, most_nodes)
    asked = replace(request, objective="latency", alternatives=False)
    deadline = Deadline(request.time_limit_s)
    if of == "nodes":
        most = most_nodes or max(DEFAULT_MOST_NODES, len(case.cluster.nodes))
        search = _Search(with_room(case, most), asked, of, target_latency_s, watch, deadline)
        bracket = Bracket(least=1, tolerance=tolerance, whole=True, low=0)
        return search.run(bracket, request.max_nodes, most)
    search = _Search(case, asked, of, target_latency_s, watch, deadline)
    bracket = Bracket(least=_too_little(target_latency_s), tolerance=tolerance)
    current = present_value(case.cluster, of)
    unlimited = _as_good_as_unlimited(case, of, target_latency_s)
    return search.run(bracket, current, max(unlimited, current or 0.0))


def _check(
    request: Request, of: Resource, target_s: float, tolerance: float, most_nodes: int | None
) -> None:
    if of not in get_args(Resource):
        raise BadInputError(f"{of!r} cannot be asked for: give {', '.join(get_args(Resource))}")
    for name, value, unit, (least, most) in (
        ("target latency", target_s, " s", _TARGETS_S),
        ("tolerance", tolerance, "", _TOLERANCES),
    ):
        if not least <= value <= most:
            raise BadInputError(f"{name}: found {value:g}{unit}; give {least:g} to {most:g}{unit}")
    if most_nodes is not None and not request.max_nodes <= most_nodes <= MOST_NODES:
        raise BadInputError(
            f"most nodes: found {most_nodes}; give {request.max_nodes}, of which the answer for "
            f"the present cluster is known, to {MOST_NODES}"
        )
    if request.limits.max_latency_s is not None:
        raise BadInputError("the target is the limit on the latency: give no other one")
    if request.exactly and of == "nodes":
        raise BadInputError("nodes are asked for as at most so many, not as exactly")


def _too_little(target_s: float) -> float:
    """At this B not even one byte, at this C not even one MAC is done within the target."""
    return 0.5 / target_s


def _as_good_as_unlimited(case: Case, of: Resource, target_s: float) -> float:
    """So much that no plan spends more than a negligible part of the target on it."""
    profile, nodes = case.profile, len(case.cluster.nodes)
    work = profile.totals.macs
    if of == "bandwidth":  # all tensors once per pair of nodes, and again from stage to stage
        sizes = ((x.input_bytes, x.output_bytes, x.statistics_bytes) for x in profile.layers)
        wider = max(1.0, float(case.settings.size_on_wire(profile.element_bytes)))
        work = math.ceil(2 * nodes**2 * sum(map(sum, sizes)) * wider)
    elif of == "memory-bandwidth":  # every byte of every layer, at most on all nodes
        work = nodes * sum(layer.touched_bytes for layer in profile.layers)
    least_s = work / (_NEGLIGIBLE * LARGEST)
    if target_s < least_s:
        raise BadInputError(
            f"target latency: found {target_s:g} s; of {profile.name} give {least_s:.1g} s or more"
        )
    return max(work, 1) / (_NEGLIGIBLE * target_s)


def _shares_move(cluster: Cluster, of: Resource) -> bool:
    """Whether nodes share out layers otherwise at other values of a resource."""
    nodes = cluster.nodes
    memory = {(node.memory_bytes_per_s, str(node.memory_bytes_per_s_by_kind)) for node in nodes}
    kinds = {str(node.macs_per_s_by_kind) for node in nodes}
    if of == "compute":
        return len(memory) > 1 or (memory != {(None, "{}")} and len(kinds) > 1)
    return of == "memory-bandwidth" and len({node.rates for node in nodes}) > 1


@dataclass
class _Search:
    """The question, and what was found so far."""

    case: Case
    request: Request
    of: Resource
    target_s: float
    watch: Callable[[int, int], None] | None
    deadline: Deadline
    trials: list[Trial] = field(default_factory=list)
    plans: dict[Value | None, Plan] = field(default_factory=dict)
    sufficient: Plan | None = None
    """A plan that meets the target at any value."""

    def run(self, bracket: Bracket, current: Value | None, largest: Value) -> Needed:
        """Ask at the present value, at the largest where need be, then between the two ends."""
        self._ask(bracket, current, largest)
        if bracket.high is None and self.sufficient is None and current != largest:
            self._ask(bracket, largest, largest)
        while self.sufficient is None and (value := bracket.next_value()) is not None:
            self._ask(bracket, value, largest)
        return self._result(bracket, current, largest)

    def _ask(self, bracket: Bracket, value: Value | None, largest: Value) -> None:
        """Take in the best plan at a value."""
        if self.watch:
            done = len(self.trials)
            self.watch(done, done + 1 + bracket.halvings(largest))
        trial, plan = self._trial(value)
        self.trials.append(trial)
        if plan is not None:
            self.plans[value] = plan
        if value is None:  # where speeds are unlike, features are shared out otherwise
            return
        bracket.note(value, trial.verdict)
        if plan is not None and trial.verdict == "enough" and self._suffices_anywhere(plan):
            self.sufficient = plan

    def _trial(self, value: Value | None) -> tuple[Trial, Plan | None]:
        part = self.deadline.share(_TRIAL_SHARE)
        case, request = self.case, replace(self.request, time_limit_s=part.limit_s)
        if value is not None:
            case, request = at_value(case, request, self.of, value)
        try:
            plan = optimise(case, request)
        except (InfeasibleError, SolverStoppedError) as error:
            verdict: Verdict = "not enough" if isinstance(error, InfeasibleError) else "open"
            none = Trial(
                value=value, verdict=verdict, latency_s=None, bound_s=None, reason=str(error)
            )
            return none, None
        assert plan.certificate is not None
        latency, bound = plan.predicted.latency_s, plan.certificate.bound
        verdict = "open"
        if not exceeds(latency, self.target_s):
            verdict = "enough"
        elif bound is not None and exceeds(bound, self.target_s):
            verdict = "not enough"
        return Trial(value=value, verdict=verdict, latency_s=latency, bound_s=bound), plan

    def _suffices_anywhere(self, plan: Plan) -> bool:
        """Whether a plan meets the target with as good as nothing, and so with nothing."""
        if self.of == "nodes":
            return False
        case, _ = at_value(self.case, self.request, self.of, _too_little(self.target_s))
        rate = self.request.limits.min_throughput_per_s
        predicted = predict(case.sharing(plan.settings.shares), plan.stages)
        return not exceeds(predicted.latency_s, self.target_s) and (
            rate is None or not exceeds(rate, predicted.throughput_per_s)
        )

    def _result(self, bracket: Bracket, current: Value | None, largest: Value) -> Needed:
        first = self.trials[0]
        met = {"enough": True, "not enough": False, "open": None}[first.verdict]
        outcome: Outcome = "open"
        best = self.plans.get(largest)
        if self.sufficient is not None:
            outcome, best = "any", self.sufficient
        elif bracket.high is not None:
            outcome, best = "found", self.plans[bracket.high]
        elif bracket.low == largest:
            outcome = "unreachable"
        settled = outcome == "unreachable" or bracket.proven
        present = self.plans.get(first.value)
        case = self.case
        return Needed(
            model=case.profile.name,
            cluster=case.cluster.name,
            of=self.of,
            unit=UNITS[self.of],
            target_latency_s=self.target_s,
            limits=self.request.limits,
            accuracy_model=case.loss_model.name if case.loss_model else None,
            tolerance=bracket.tolerance,
            current=current,
            met=met,
            current_best=None if present is None else summary_of(present),
            outcome=outcome,
            enough=None if outcome == "any" else bracket.high,
            not_enough=bracket.low,
            proven=outcome == "any" or (settled and not _shares_move(case.cluster, self.of)),
            largest=largest,
            best=None if best is None else summary_of(best),
            trials=tuple(self.trials),
        )
