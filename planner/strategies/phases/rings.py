"""Rings: the head lies with the first stage, to which the last one hands its vector back.

The head's unit is costed together with the first one, and the chain of units is the rest
(docs/model.md, eq. 53). What the way back takes depends on the last group and on the first; a chain
knows either alone. The greatest sums of what each takes at least, whatever the other is, make every
ring's bound; where a plan takes more than its bound the groups that may begin are told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.handover import Transfers
from planner.domain.workload import Workload
from planner.solve.problem import Choice, Problem, Result
from planner.strategies.optimise import certificate_of_all
from planner.strategies.phases.costs import PhaseCosts
from planner.strategies.phases.problem import Weights, limits_of, moved

Floats = NDArray[np.float64]

BACK = 2
"""The place of the way back in `PhaseCosts.transfers`."""
_EXACT = 1e-12  # relative: sums that differ by rounding
_FAR = 2.0  # times what is the longest of all plans: what may not begin


@dataclass(frozen=True, eq=False)
class Rings:
    """All rings over the groups of a problem, O of which may run a stage.

    Attributes
    ----------
    chain : Problem
        Of the units before the head, the first of which has the head's costs beside its own; the
        way back is left out.
    kept : int array, shape (O,)
        Their groups in the problem with the head.
    pairs : bool array, shape (O, O)
        Whether a ring may end on the first and begin on the second.
    back : Transfers
        From a last stage to a first one, shape (O, O).
    limited : tuple of float array, shape (O, O)
        What of the limited sums that takes: the loss, then the second one.
    """

    chain: Problem
    kept: NDArray[np.int64]
    pairs: NDArray[np.bool_]
    back: Transfers
    limited: tuple[Floats, ...]

    @property
    def least_s(self) -> float:
        """No ring's latency is less; infinite where there is none."""
        chain = self.chain
        if not self.pairs.any():
            return float("inf")
        units = np.where(chain.allowed, chain.latency_s, np.inf).min(axis=(0, 2)).sum()
        ahead = chain.transfer_s[self.pairs.T][:, chain.cuttable]
        return float(units + ahead.min(initial=np.inf) + self.back.seconds[self.pairs].min())

    @property
    def most_s(self) -> float:
        """No plan's latency is more."""
        chain, cuts = self.chain, self.chain.units - 1
        found = chain.latency_s.max(axis=(0, 2)).sum() + self.back.seconds.max()
        return float(found + cuts * chain.transfer_s.max(initial=0.0))

    def bounded(self, starts: NDArray[np.bool_]) -> Bounded:
        """The rings that begin on some groups, the way back at its bound.

        Parameters
        ----------
        starts : bool array, shape (O,)
        """
        chain, back, reach = self.chain, self.back, self.pairs & starts
        seconds, medium = Parted.of(back.seconds, reach), Parted.of(back.medium_s, reach)
        busy, send = (Parted.of(each, reach, "last") for each in (back.busy_s, back.send_s))
        receive = Parted.of(back.receive_s, reach, "first")
        limited = [Parted.of(each, reach) for each in self.limited]
        busy_s = chain.busy_s.copy()  # of the nodes, whose messages cost them time, the last one
        busy_s[-1, :, 0] += receive.first[:, None]
        busy_s[-1, :, -1] += send.last[:, None]
        fields: dict[str, Any] = {
            "busy_s": busy_s,
            "input_s": seconds.first,
            "output_s": seconds.last,
            "output_busy_s": busy.last,
            "input_medium_s": medium.first,
            "output_medium_s": medium.last,
        }
        for at, part in enumerate(limited):
            of_units = chain.loss if at == 0 or chain.second is None else chain.second.of_units
            of_units = of_units.copy()
            of_units[:, 0] += part.first[:, None]
            of_units[:, -1] += part.last[:, None]
            if at == 0:
                fields["loss"] = of_units
            elif chain.second is not None:
                fields["second"] = chain.second.model_copy(update={"of_units": of_units})
        if not starts.all():
            longest_s = min(self.most_s, chain.max_latency_s or np.inf)
            fields["input_s"] = np.where(starts, seconds.first, _FAR * longest_s)
            fields["max_latency_s"] = longest_s
        return Bounded(chain.but(**fields), (seconds, medium, busy, send, receive, *limited))


@dataclass(frozen=True, eq=False)
class Parted:
    """What every pair of a last and a first group takes, and the bound that a chain can count.

    Attributes
    ----------
    pair : float array, shape (O, O)
    last, first : float array, shape (O,)
        Their sum is no more than what a pair takes, where there are such.
    """

    pair: Floats
    last: Floats
    first: Floats

    @classmethod
    def of(cls, pair: Floats, reach: NDArray[np.bool_], by: str = "both") -> Parted:
        """The parts of pairs within reach, by the last group, by the first one or by both."""
        found = np.where(reach, pair, np.inf)
        first = last = np.zeros(len(pair))
        if by != "last":
            first = _finite(found.min(axis=0))
        if by != "first":
            last = _finite((found - first).min(axis=1))
        return cls(pair, last, first)

    def is_exact(self, last: int, first: int) -> bool:
        """Whether a pair takes what its parts add up to."""
        bound = self.last[last] + self.first[first]
        return bool(np.isclose(bound, self.pair[last, first], rtol=_EXACT, atol=0.0))


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)


@dataclass(frozen=True, eq=False)
class Bounded:
    """A problem in which no ring takes more than it does, and some may take less."""

    problem: Problem
    parts: tuple[Parted, ...]

    def is_exact(self, choice: Choice) -> bool:
        """Whether a plan is a ring that takes what the problem says."""
        first, last = choice.groups[0], choice.groups[-1]
        several = len(choice.groups) > 1
        return several and all(part.is_exact(last, first) for part in self.parts)


def rings_of(
    problem: Problem, costs: PhaseCosts, workload: Workload, weights: Weights, occupied: Weights
) -> Rings:
    """All rings of the options of a problem.

    Parameters
    ----------
    problem : Problem
        As `planner.strategies.phases.problem.problem_of_phases` makes it: its last unit is the
        head.
    costs : PhaseCosts
    workload : Workload
        Its limits.
    weights, occupied : Weights
        How often each phase counts in the latency, and in what a resource does.
    """
    kept = np.flatnonzero([not option.alone for option in costs.options])
    square = np.ix_(kept, kept)
    uses = problem.uses[kept]
    both = (uses[:, None] + uses <= problem.available).all(axis=2)
    latency = moved(costs, weights, BACK)
    busy = latency if occupied is weights else moved(costs, occupied, BACK)
    back = Transfers(latency.seconds, busy.busy_s, busy.medium_s, busy.send_s, busy.receive_s)
    limits, _ = limits_of(workload)
    return Rings(
        chain=_chain(problem, kept, costs.tied_bytes),
        kept=kept,
        pairs=problem.follows[square].T & both,
        back=Transfers(*(column[square] for column in back.columns)),
        limited=tuple(moved(costs, one, BACK).seconds[square] for one, _, _ in limits),
    )


def _chain(problem: Problem, kept: NDArray[np.int64], tied: NDArray[np.int64]) -> Problem:
    """The units before the head on some groups; the first of them takes the head's costs too."""
    square = np.ix_(kept, kept)

    def with_head(values: Floats) -> Floats:
        """Sums over units, shape (..., G, U, K)."""
        mine = values[..., kept, :, :]
        found = mine[..., :-1, :].copy()
        found[..., 0, :] += mine[..., -1, :]
        return found

    def between(values: Floats | None) -> Floats | None:
        if values is None:
            return None
        every = len(kept) == len(values)  # then as they are: they are large
        return (values if every else values[square])[:, :, :-1]

    stored, live = problem.weight_bytes[kept], problem.live_bytes[kept]
    weights, alive = stored[:, :-1].copy(), live[:, :-1].copy()
    weights[:, 0] += stored[:, -1] - tied[kept][:, None]
    alive[:, 0] = np.maximum(alive[:, 0], live[:, -1])
    second = problem.second
    nothing = np.zeros(len(kept))
    return problem.but(
        group_names=tuple(problem.group_names[group] for group in kept),
        node_kinds=tuple(problem.node_kinds[group] for group in kept),
        latency_s=with_head(problem.latency_s),
        busy_s=with_head(problem.busy_s),
        medium_s=with_head(problem.medium_s),
        loss=with_head(problem.loss),
        allowed=problem.allowed[kept][:, :-1],
        weight_bytes=weights,
        live_bytes=alive,
        memory_limit_bytes=problem.memory_limit_bytes[kept],
        cuttable=problem.cuttable[:-1],
        uses=problem.uses[kept],
        follows=problem.follows[square],
        second=second
        and second.model_copy(
            update={
                "of_units": with_head(second.of_units),
                "of_transfers": between(second.of_transfers),
            }
        ),
        **{name: between(getattr(problem, name)) for name in _BETWEEN},
        **dict.fromkeys(_ENDS, nothing),
    )


_BETWEEN = (
    *("transfer_s", "transfer_busy_s", "transfer_medium_s"),
    *("transfer_loss", "send_s", "receive_s"),
)
_ENDS = (
    *("input_s", "output_s", "input_busy_s", "output_busy_s"),
    *("input_medium_s", "output_medium_s"),
)


def search_rings(rings: Rings, minimise: Callable[[Problem], Result]) -> Result:
    """The best ring, its groups those of the problem with the head.

    Parameters
    ----------
    rings : Rings
    minimise : callable
        Solves a problem; a result that is infeasible says that there is nothing of use.

    Returns
    -------
    Result
        Its choice leaves out the head.
    """
    starts = rings.pairs.sum(axis=0) > 0
    found: list[Result] = []
    while starts.any():
        asked = rings.bounded(starts)
        result = minimise(asked.problem)
        if result.choice is None or asked.is_exact(result.choice):
            found.append(result)
            break
        if result.certificate.status != "optimal" or len(result.choice.groups) == 1:
            found.append(_unknown(result))
            break
        first = result.choice.groups[0]
        only = np.arange(len(starts)) == first
        asked = rings.bounded(only)
        result = minimise(asked.problem)
        exact = result.choice is None or asked.is_exact(result.choice)
        found.append(result if exact else _unknown(result))
        starts = starts & ~only
    values = [np.inf if each.objective_s is None else each.objective_s for each in found]
    at = int(np.argmin(values))
    best = found[at]
    if best.choice is None:
        late = [each for each in found if each.certificate.status != "infeasible"]
        return late[0] if late else best
    choice = best.choice.model_copy(
        update={"groups": tuple(int(rings.kept[group]) for group in best.choice.groups)}
    )
    certificate = certificate_of_all(found, at)
    return best.model_copy(update={"choice": choice, "certificate": certificate})


def _unknown(result: Result) -> Result:
    """A result whose plan is no ring, or takes longer than it says: only its bound counts."""
    kept = result.certificate.model_copy(update={"status": "timeout", "gap": None})
    return Result(choice=None, objective_s=None, certificate=kept)
