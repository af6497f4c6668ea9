"""What binds a plan, and what the next step is worth: found by solving again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.domain.cluster import BY_KIND, Cluster, largest_figure, with_figures
from planner.domain.plan import Binding, Plan, ResourceKind
from planner.domain.request import Request
from planner.errors import SolverStoppedError
from planner.solve.check import loss_of, needed_bytes
from planner.solve.deadline import Deadline
from planner.solve.problem import NO_LIMIT, Choice, Problem, Result
from planner.solve.solver import solve
from planner.solve.stages.fixed_stages import price_limits
from planner.strategies.family import name_kinds
from planner.strategies.groups import Groups, all_groups
from planner.strategies.optimise import find_plan, objective_s, sharings
from planner.strategies.problem_of import costs_of, problem_of

_NEGLIGIBLE = 1e-6  # of the objective
_CLOSE = 0.01  # relative width at which the search for a step ends
_MOST_DOUBLINGS = 40
_AS_GOOD_AS_UNLIMITED = 2.0**30  # times the bandwidth: only delays are left of an exchange

Watch = Callable[[], None]


def what_binds(case: Case, request: Request, watch: Watch = lambda: None) -> tuple[Binding, ...]:
    """Every limit and resource that holds the best plan of a request back.

    Parameters
    ----------
    case : Case
    request : Request
        With a plan. Its time limit holds for the whole call.
    watch : callable, optional
        Called before each problem that is solved. What it raises ends the work.

    Returns
    -------
    tuple of Binding
        Limits that bind, then the resources that the cluster gives, each the most valuable first.

    Raises
    ------
    SolverStoppedError
        Time was up before all was found.
    """
    deadline = Deadline(request.time_limit_s)
    limits: list[Binding] = []
    families = all_groups(case, request.parallelism)
    watch()
    best, _ = find_plan(case, request, deadline, families)
    if best is None:
        raise _stopped(request)
    tried = [(one, groups) for one in sharings(case, request) for groups in families]
    for one, groups in tried:
        search = _RelaxedLimits(one, request, groups, objective_s(best), deadline, watch)
        limits += [*search.memory(), *search.loss(), *search.times()]
    limits.sort(key=lambda found: -found.gain_s)
    unique = {found.name: found for found in reversed(limits)}  # of equal names the best
    ordered = [found for found in limits if unique[found.name] is found]
    return (*ordered, *_resources(case, request, best, deadline, watch))


def _stopped(request: Request) -> SolverStoppedError:
    return SolverStoppedError(
        f"--what-binds: the solver stopped after {request.time_limit_s or 0.0:g} s before all was "
        "found; allow more time (--time-limit)"
    )


class _RelaxedLimits:
    """The limits of one problem, each relaxed alone.

    Parameters
    ----------
    case, request
    groups : Groups
    best_s : float
        Objective of the best plan of all families of groups.
    deadline : Deadline
    watch : callable
    """

    def __init__(
        self,
        case: Case,
        request: Request,
        groups: Groups,
        best_s: float,
        deadline: Deadline,
        watch: Watch,
    ) -> None:
        self._request, self._best_s = request, best_s
        self._deadline, self._watch = deadline, watch
        costs = costs_of(case, groups, request, deadline)
        self._problem = problem_of(case, costs, request)
        self._kinds = name_kinds(case, costs)
        self._known: tuple[Choice, ...] = ()
        own = self._solve({}, need_plan=False)
        self._loss_price, self._memory_prices = 0.0, dict[tuple[int, int], float]()
        if own.choice is not None:
            self._known = (own.choice,)
            # in layouts an option has no price by itself
            if isinstance(self._problem, Problem) and self._problem.objective == "latency":
                self._loss_price, self._memory_prices = price_limits(self._problem, own.choice)

    def loss(self) -> list[Binding]:
        """The loss budget."""
        limit = self._problem.max_loss
        if limit is None:
            return []

        def needed(result: Result) -> float:
            assert result.choice is not None
            return loss_of(self._problem, result.choice)

        return self._binding(
            self._problem.loss_name,
            "loss",
            self._problem.loss_unit,
            limit,
            lambda most: {"max_loss": most},
            needed,
            self._loss_price,
            self._problem.loss_exponent,
        )

    def times(self) -> list[Binding]:
        """A limit on the measure that is not the objective."""
        problem = self._problem
        if problem.objective == "latency" and problem.max_bottleneck_s is not None:
            limit, name = problem.max_bottleneck_s, "max_bottleneck_s"
            return self._binding(
                "throughput", "throughput", "s per input", limit, lambda most: {name: most}
            )
        if problem.objective == "bottleneck" and problem.max_latency_s is not None:
            limit, name = problem.max_latency_s, "max_latency_s"
            return self._binding("latency", "latency", "s", limit, lambda most: {name: most})
        return []

    def memory(self) -> list[Binding]:
        """The memory of every kind of node that has a limit."""
        limits = self._problem.memory_limit_bytes
        found: list[Binding] = []
        for kind in dict.fromkeys(name for row in self._kinds for name in row if name):
            mine = np.array([[name == kind for name in row] for row in self._kinds])
            mine &= limits < NO_LIMIT
            if not mine.any():
                continue

            def with_limit(most: float | None, mine: NDArray[np.bool_] = mine) -> dict[str, object]:
                bytes_ = NO_LIMIT if most is None else int(most)
                return {"memory_limit_bytes": np.where(mine, bytes_, limits)}

            def needed(result: Result, mine: NDArray[np.bool_] = mine) -> float:
                assert result.choice is not None
                needs = needed_bytes(self._problem, result.choice)
                return float(max(int(need[mine[group]].max(initial=0)) for group, need in needs))

            prices = [p for at, p in self._memory_prices.items() if mine[at]]
            found += self._binding(
                f"memory of {kind}",
                "memory",
                "bytes",
                int(limits[mine].max()),
                with_limit,
                needed,
                max(prices, default=0.0),
            )
        return found

    def _binding(
        self,
        name: str,
        kind: Literal["memory", "loss", "latency", "throughput"],
        unit: str,
        limit: float,
        with_limit: Callable[[float | None], dict[str, object]],
        needed: Callable[[Result], float] | None = None,
        price: float = 0.0,
        exponent: int = 1,
    ) -> list[Binding]:
        """One limit, if the objective is better without it, and the step that gains half."""
        free = self._solve(with_limit(None))
        gain = self._gain(free)
        if gain <= _NEGLIGIBLE * self._best_s:
            return []
        low, high = limit, needed(free) if needed else limit * 2
        reached = self._solve(with_limit(high))
        for _ in range(_MOST_DOUBLINGS):
            if self._gain(reached) >= gain / 2:
                break
            high *= 2
            reached = self._solve(with_limit(high))
        while high - low > _CLOSE * (high - limit):
            middle = (low + high) / 2
            tried = self._solve(with_limit(middle))
            if self._gain(tried) >= gain / 2:
                reached, high = tried, middle
            else:
                low = middle
        step = max(needed(reached), limit) if needed else high
        value = limit ** (1.0 / exponent)
        return [
            Binding(
                name=name,
                kind=kind,
                unit=unit,
                value=value,
                gain_s=gain,
                step=step ** (1.0 / exponent),
                step_gain_s=self._gain(reached),
                price_s=price * exponent * value ** (exponent - 1) or None,
            )
        ]

    def _solve(self, changes: dict[str, object], need_plan: bool = True) -> Result:
        self._watch()
        relaxed = self._problem.but(**changes)
        found = solve(relaxed, deadline=self._deadline.share(0.5), known=self._known)
        if self._deadline.passed or (need_plan and found.choice is None):
            raise _stopped(self._request)
        return found

    def _gain(self, result: Result) -> float:
        assert result.objective_s is not None
        return max(self._best_s - result.objective_s, 0.0)


@dataclass(frozen=True)
class _Resource:
    """Figures of every node, of every link or of the switch, and the factor that doubles it."""

    name: str
    kind: ResourceKind
    unit: str
    fields: tuple[str, ...]
    factor: float

    def present(self, cluster: Cluster) -> float:
        """The largest there is; 0 where no node or link has it."""
        kinds = [name for name, common in BY_KIND.items() if common in self.fields]
        of_kinds: list[float] = [
            max(getattr(node, name).values(), default=0.0)
            for node in cluster.nodes
            for name in kinds
        ]
        return max(*(largest_figure(cluster, field) for field in self.fields), *of_kinds, 0.0)

    def scaled(self, cluster: Cluster, factor: float) -> Cluster:
        """The cluster with so many times as much of it everywhere."""
        for field in self.fields:
            cluster = with_figures(cluster, field, factor)
        return cluster


_BANDWIDTH = _Resource("bandwidth", "bandwidth", "bytes/s", ("bandwidth_bytes_per_s",), 2.0)
_RESOURCES = (
    _BANDWIDTH,
    _Resource("computing speed", "compute", "MAC/s", ("macs_per_s",), 2.0),
    _Resource("message delay", "delay", "s", ("latency_s",), 0.5),
    _Resource("memory bandwidth", "memory-bandwidth", "bytes/s", ("memory_bytes_per_s",), 2.0),
    _Resource("time per layer", "overhead", "s", ("layer_overhead_s",), 0.5),
    _Resource("interface of a node", "interface", "bytes/s", ("interface_bytes_per_s",), 2.0),
    _Resource("switch", "switch", "bytes/s", ("switch_bytes_per_s",), 2.0),
    _Resource(
        "software of a message", "messages", "s", ("message_send_s", "message_receive_s"), 0.5
    ),
    _Resource("packing of messages", "packing", "bytes/s", ("message_bytes_per_s",), 2.0),
)


def _resources(
    case: Case, request: Request, best: Plan, deadline: Deadline, watch: Watch
) -> list[Binding]:
    """What each resource that the cluster gives is worth, the most valuable first."""
    best_s = objective_s(best)

    def plan_with(resource: _Resource, factor: float) -> Plan:
        watch()
        other = case.on(resource.scaled(case.cluster, factor))
        plan, _ = find_plan(other, request, deadline.share(0.5))
        if plan is None or deadline.passed:
            raise _stopped(request)
        return plan

    def waits(plan: Plan) -> bool:
        return plan.predicted.comm_s > plan.predicted.compute_s

    found = []
    for resource in _RESOURCES:
        present = resource.present(case.cluster)
        if not present:
            continue
        gain = max(best_s - objective_s(plan_with(resource, resource.factor)), 0.0)
        until = None
        if resource is _BANDWIDTH and gain > _NEGLIGIBLE * best_s and waits(best):
            until = _bandwidth_until(present, lambda f: waits(plan_with(_BANDWIDTH, f)))
        found.append(
            Binding(
                name=resource.name,
                kind=resource.kind,
                unit=resource.unit,
                value=present,
                gain_s=gain,
                until=until,
            )
        )
    return sorted(found, key=lambda binding: -binding.gain_s)


def _bandwidth_until(present: float, outweighs: Callable[[float], bool]) -> float | None:
    """Where computation outweighs communication; None where delays alone are longer than that."""
    if outweighs(_AS_GOOD_AS_UNLIMITED):
        return None
    low, high = 1.0, 2.0
    while outweighs(high):
        low, high = high, high * 2
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if outweighs(middle) else (low, middle)
    return high * present
