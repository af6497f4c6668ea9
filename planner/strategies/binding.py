"""What binds a plan, and what the next step is worth: found by solving again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.joint import NO_LIMIT, JointProblem, JointResult, Stages
from planner.domain.plan import Binding, Plan
from planner.domain.request import Request
from planner.errors import SolverStoppedError
from planner.solve.joint.check import joint_loss, needed_bytes
from planner.solve.joint.fixed_stages import FixedStages
from planner.solve.joint.solver import solve_joint
from planner.strategies.hybrid import JointCosts, joint_costs, optimal_stages

_NEGLIGIBLE = 1e-6  # of the objective
_CLOSE = 0.01  # relative width at which the search for a step ends
_MOST_DOUBLINGS = 40


Watch = Callable[[], None]


def what_binds(case: Case, request: Request, watch: Watch = lambda: None) -> tuple[Binding, ...]:
    """Every limit and resource that holds the best plan of a request back.

    Parameters
    ----------
    case : Case
    request : Request
        With a plan. Its time limit holds for each of the problems that are solved.
    watch : callable, optional
        Called before each of these problems. What it raises ends the work.

    Returns
    -------
    tuple of Binding
        Limits that bind, the most valuable first, then bandwidth and computing speed.

    Raises
    ------
    SolverStoppedError
        A solver stopped without a plan.
    """
    costs = joint_costs(case, request.parallelism, len(case.cluster.nodes))
    problem = costs.problem(request.objective, request.limits, request.max_nodes, request.exactly)
    watch()
    best = _with_plan(solve_joint(problem, time_limit_s=request.time_limit_s), request)
    assert best.stages is not None and best.objective_s is not None
    search = _Limits(costs, problem, best.stages, best.objective_s, request, watch)
    limits = [*search.memory(), *search.loss(), *search.times()]
    limits.sort(key=lambda found: -found.gain_s)
    return (*limits, *_resources(case, request, best.objective_s, watch))


class _Limits:
    """The limits of one joint problem, each relaxed alone."""

    def __init__(
        self,
        costs: JointCosts,
        problem: JointProblem,
        stages: Stages,
        objective_s: float,
        request: Request,
        watch: Watch,
    ) -> None:
        self._request = request
        self._watch = watch
        self._costs = costs
        self._problem = problem
        self._stages = stages
        self._objective_s = objective_s
        fixed = FixedStages(problem, (stages.starts, stages.groups))
        self._loss_price, self._memory_prices = 0.0, dict[tuple[int, int], float]()
        if problem.objective == "latency":
            self._loss_price, self._memory_prices = fixed.prices(
                problem.max_bottleneck_s, stages.options
            )

    def loss(self) -> list[Binding]:
        """The loss budget."""
        limit = self._problem.max_loss
        if limit is None:
            return []

        def needed(result: JointResult) -> float:
            assert result.stages is not None
            return joint_loss(self._problem, result.stages)

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
        kinds = self._costs.kinds()
        found: list[Binding] = []
        for kind in dict.fromkeys(name for row in kinds for name in row if name):
            mine = np.array([[name == kind for name in row] for row in kinds])
            mine &= limits < NO_LIMIT
            if not mine.any():
                continue

            def with_limit(most: float | None, mine: np.ndarray = mine) -> dict[str, object]:
                bytes_ = NO_LIMIT if most is None else int(most)
                return {"memory_limit_bytes": np.where(mine, bytes_, limits)}

            def needed(result: JointResult, mine: np.ndarray = mine) -> float:
                assert result.stages is not None
                return float(_fullest(self._problem, result.stages, mine))

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
        needed: Callable[[JointResult], float] | None = None,
        price: float = 0.0,
        exponent: int = 1,
    ) -> list[Binding]:
        """One limit, if the objective is better without it, and the step that gains half."""
        free = self._solve(with_limit(None))
        gain = self._gain(free)
        if gain <= _NEGLIGIBLE * self._objective_s:
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

    def _solve(self, changes: dict[str, object]) -> JointResult:
        self._watch()
        relaxed = self._problem.model_copy(update=changes)
        limit_s = self._request.time_limit_s
        found = solve_joint(relaxed, time_limit_s=limit_s, known=(self._stages,))
        return _with_plan(found, self._request)

    def _gain(self, result: JointResult) -> float:
        assert result.objective_s is not None
        return max(self._objective_s - result.objective_s, 0.0)


def _with_plan(result: JointResult, request: Request) -> JointResult:
    """A result that has a plan, as one whose limits are wider than a plan's must."""
    if result.stages is None:
        raise SolverStoppedError(
            f"--what-binds: the solver stopped after {request.time_limit_s or 0.0:g} s without a "
            "plan; allow more time (--time-limit)"
        )
    return result


def _fullest(problem: JointProblem, stages: Stages, mine: NDArray[np.bool_]) -> int:
    """Most bytes that a plan needs on any of some positions."""
    needs = needed_bytes(problem, stages)
    return max(int(needed[mine[group]].max(initial=0)) for group, needed in needs)


def _resources(case: Case, request: Request, objective_s: float, watch: Watch) -> list[Binding]:
    """What twice the bandwidth and twice the computing speed are worth, and until when."""

    def plan_with(bandwidth: float, speed: float) -> tuple[Plan, float]:
        watch()
        other = case.on(_scaled(case.cluster, bandwidth, speed))
        plan, result = optimal_stages(
            other,
            request.max_nodes,
            request.parallelism,
            request.objective,
            request.limits,
            request.exactly,
            time_limit_s=request.time_limit_s,
        )
        _with_plan(result, request)
        assert plan is not None and result.objective_s is not None
        return plan, max(objective_s - result.objective_s, 0.0)

    def outweighs(factor: float) -> bool:
        predicted = plan_with(factor, 1.0)[0].predicted
        return predicted.comm_s > predicted.compute_s

    _, by_bandwidth = plan_with(2.0, 1.0)
    _, by_speed = plan_with(1.0, 2.0)
    until = None
    if by_bandwidth > _NEGLIGIBLE * objective_s and outweighs(1.0):
        low, high = 1.0, 2.0
        while outweighs(high) and high < 2.0**_MOST_DOUBLINGS:
            low, high = high, high * 2
        while high - low > _CLOSE * high:
            middle = (low + high) / 2
            low, high = (middle, high) if outweighs(middle) else (low, middle)
        until = high * case.cluster.link.bandwidth_bytes_per_s
    link = case.cluster.link.bandwidth_bytes_per_s
    fastest = max(node.macs_per_s for node in case.cluster.nodes)
    return [
        Binding(
            name="bandwidth",
            kind="bandwidth",
            unit="bytes/s",
            value=link,
            gain_s=by_bandwidth,
            until=until,
        ),
        Binding(
            name="computing speed", kind="compute", unit="MAC/s", value=fastest, gain_s=by_speed
        ),
    ]


def _scaled(cluster: Cluster, bandwidth: float, speed: float) -> Cluster:
    """All links and all nodes faster by a factor each."""
    link = cluster.link.bandwidth_bytes_per_s * bandwidth
    return cluster.model_copy(
        update={
            "link": cluster.link.model_copy(update={"bandwidth_bytes_per_s": link}),
            "pair_links": tuple(
                pair.model_copy(
                    update={"bandwidth_bytes_per_s": pair.bandwidth_bytes_per_s * bandwidth}
                )
                for pair in cluster.pair_links
            ),
            "nodes": tuple(
                node.model_copy(update={"macs_per_s": node.macs_per_s * speed})
                for node in cluster.nodes
            ),
        }
    )
