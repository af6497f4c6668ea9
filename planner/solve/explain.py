"""Why a problem has no plan: the limit that binds, and the least relaxation of it.

What is named is tried: each kind of node gets more memory alone, then all together, then the
other limits are relaxed, each alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.solve.check import loss_of, needed_bytes, sum_second
from planner.solve.deadline import Deadline
from planner.solve.layout_problem import AnyProblem
from planner.solve.problem import NO_LIMIT, Choice, Problem, Result
from planner.units import format_exact_bytes, round_down, round_up

Solve = Callable[[AnyProblem, Deadline], Result]

_CLOSE = 1e-7  # relative width at which the search for the least relaxation ends
_SHARE = 0.5  # of the time that is left, for each problem that is solved on the way
_STOPPED = "the search for the limit that binds was stopped: allow more time"


def explain(problem: AnyProblem, solve: Solve, deadline: Deadline) -> str:
    """Which limit binds, and the least relaxation of it alone that makes a plan fit.

    Parameters
    ----------
    problem : Problem
        Without a plan.
    solve : callable
        Solves a problem to proof, if its deadline allows.
    deadline : Deadline
        When it ends the search, what was found by then is told as such.
    """
    units = problem.units
    if problem.all_nodes and int(problem.nodes.max()) * units < problem.max_nodes:
        return f"{problem.max_nodes} nodes cannot each have one of {units} layers"
    tried = _Tried(problem, solve, deadline)
    for relax in (_raise_memory, _raise_loss, _raise_second, _raise_latency, _raise_bottleneck):
        if found := relax(tried):
            return found
    if not tried.sure:
        return _STOPPED
    return "several limits exclude each other: relaxing one of them alone is not enough"


@dataclass
class _Tried:
    """The problem, and how what it is relaxed to is solved.

    Attributes
    ----------
    sure : bool
        No problem was left undecided when its time was up.
    """

    problem: AnyProblem
    solve: Solve
    deadline: Deadline
    sure: bool = True

    def find(self, problem: AnyProblem) -> Choice | None:
        """A plan of a relaxed problem; None without one, or without the time to find it."""
        if self.deadline.passed:
            self.sure = False
            return None
        found = self.solve(problem, self.deadline.share(_SHARE))
        self.sure &= found.certificate.status in ("optimal", "infeasible")
        return found.choice


@dataclass(frozen=True)
class _Kind:
    """Nodes of one type and one limit: where they are in the groups, shape (G, P)."""

    name: str
    limit_bytes: int
    positions: NDArray[np.bool_]


def _raise_memory(tried: _Tried) -> str:
    """The kind of node that needs the fewest bytes more, or all of them together."""
    kinds = _kinds_of_nodes(tried.problem)
    if not kinds:
        return ""
    bare = _without_times(tried.problem)
    best: tuple[int, _Kind] | None = None
    for kind in kinds:
        more = _least_bytes(tried, bare, kind.positions, None if best is None else best[0])
        if more is not None:
            best = more, kind
    everywhere = "each limited node"
    if best is None and len(kinds) > 1:
        together: NDArray[np.bool_] = np.any([kind.positions for kind in kinds], axis=0)
        more = _least_bytes(tried, bare, together, None)
        best = None if more is None else (more, min(kinds, key=lambda kind: kind.limit_bytes))
    elif len(kinds) > 1:
        everywhere = "each node of this kind"
    if best is None:
        return ""
    more, kind = best
    limit, least, missing = map(
        format_exact_bytes, (kind.limit_bytes, kind.limit_bytes + more, more)
    )
    return (
        f"memory of {kind.name} binds: its limit is {limit}, "
        f"{_works('smallest', tried.sure)} {least} "
        f"({missing} more on {everywhere}){_or_less(tried.sure)}"
    )


def _kinds_of_nodes(problem: AnyProblem) -> list[_Kind]:
    """Limited nodes by kind and limit, called as a node alone where one may be alone."""
    limits = problem.memory_limit_bytes
    called = problem.node_kinds or _types_of_positions(problem)
    found: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for group, row in enumerate(called):
        for position, kind in enumerate(row):
            limit = int(limits[group, position])
            if kind and limit < NO_LIMIT:
                mine = found.setdefault((kind, limit), np.zeros(limits.shape, dtype=np.bool_))
                mine[group, position] = True
    kinds = []
    for (kind, limit), mine in found.items():
        groups = np.flatnonzero(mine.any(axis=1))
        smallest = int(groups[problem.nodes[groups].argmin()])
        alone = problem.nodes[smallest] == 1 and mine[smallest, 0]  # other positions: its host
        kinds.append(_Kind(problem.group_names[smallest] if alone else kind, limit, mine))
    return kinds


def _types_of_positions(problem: AnyProblem) -> list[list[str]]:
    """The type of the node at each position: a group's are its types one after another."""
    return [
        [f"node type {kind}" for kind in np.repeat(np.arange(len(row)), row)]
        for row in problem.uses
    ]


def _least_bytes(
    tried: _Tried, bare: AnyProblem, positions: NDArray[np.bool_], below: int | None
) -> int | None:
    """The least that some positions need more; None where that is not below a number of bytes."""
    problem = tried.problem
    limits = problem.memory_limit_bytes

    def lacking_with(extra: int) -> int | None:
        """Bytes that a plan with so many more needs of them; None without a plan."""
        choice = tried.find(
            bare.but(memory_limit_bytes=np.where(positions, limits + extra, limits))
        )
        if choice is None:
            return None
        needs = needed_bytes(problem, choice)
        return max(
            int((need - limits[group])[positions[group]].max(initial=0)) for group, need in needs
        )

    most = problem.most_bytes
    low, high = 0, lacking_with(most if below is None else min(most, below - 1))
    if high is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        lacking = lacking_with(middle)
        if lacking is None:
            low = middle
        else:
            high = min(middle, lacking)
    return high


def _without_times(problem: AnyProblem) -> AnyProblem:
    """The same question of whether anything fits, without times where none is limited."""
    if problem.max_latency_s is not None or problem.max_bottleneck_s is not None:
        return problem
    return problem.without_times()


def _raise_loss(tried: _Tried) -> str:
    problem = tried.problem
    if problem.max_loss is None:
        return ""
    # beside a second limited sum the latency's limit follows from both
    follows = {"max_latency_s": None} if _has_second(problem) else {}
    free = tried.find(problem.but(max_loss=None, **follows))
    if free is None:
        return ""
    low, high = problem.max_loss, loss_of(problem, free)
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        choice = tried.find(problem.but(max_loss=middle, **follows))
        low, high = (middle, high) if choice is None else (low, loss_of(problem, choice))
    # sums of squares are told by their roots
    limit, least = (value ** (1.0 / problem.loss_exponent) for value in (problem.max_loss, high))
    return _say_sum(problem.loss_name, limit, least, problem.loss_unit, tried.sure)


def _has_second(problem: AnyProblem) -> bool:
    return isinstance(problem, Problem) and problem.second is not None


def _raise_second(tried: _Tried) -> str:
    problem = tried.problem
    if not isinstance(problem, Problem) or problem.second is None:
        return ""
    second = problem.second
    free = tried.find(problem.but(second=None, max_latency_s=None))
    if free is None:
        return ""
    low, high = second.most, float(sum_second(problem, free))
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        asked = second.model_copy(update={"most": middle})
        choice = tried.find(problem.but(second=asked, max_latency_s=None))
        low, high = (middle, high) if choice is None else (low, float(sum_second(problem, choice)))
    return _say_sum(second.name, second.most, high, second.unit, tried.sure)


def _raise_latency(tried: _Tried) -> str:
    limit = tried.problem.max_latency_s
    if limit is None or _has_second(tried.problem):
        return ""
    least = _least_objective(tried, max_latency_s=None, objective="latency")
    return "" if least is None else _say_sum("latency", limit, least, "s", tried.sure)


def _raise_bottleneck(tried: _Tried) -> str:
    limit = tried.problem.max_bottleneck_s
    if limit is None:
        return ""
    least = _least_objective(tried, max_bottleneck_s=None, objective="bottleneck")
    if least is None:
        return ""
    return (
        f"throughput binds: the limit is {_rate(limit)} inputs/s, "
        f"{_works('largest', tried.sure)} {_rate(least)} inputs/s"
        f"{_or_less(tried.sure).replace('less', 'more')}"
    )


def _least_objective(tried: _Tried, **changes: object) -> float | None:
    """The objective of the best plan that was found of a relaxed problem."""
    if tried.deadline.passed:
        tried.sure = False
        return None
    found = tried.solve(tried.problem.but(**changes), tried.deadline)
    tried.sure &= found.certificate.status in ("optimal", "infeasible")
    return found.objective_s


def _say_sum(name: str, limit: float, least: float, unit: str, sure: bool) -> str:
    return (
        f"{name} binds: the limit is {limit:.6g} {unit}, "
        f"{_works('smallest', sure)} {round_up(least)} {unit}{_or_less(sure)}"
    )


def _works(which: str, sure: bool) -> str:
    """What comes before a relaxation: that it is the least, or without the proof, that it works."""
    return f"the {which} that works is" if sure else "what surely works is"


def _or_less(sure: bool) -> str:
    return "" if sure else ", or less: the search was stopped"


def _rate(seconds: float) -> str:
    return round_down(1.0 / seconds) if seconds > 0 else "any number of"
