"""The problem as one integer linear program (docs/model.md, eq. 12 to 16 and 20 to 23)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.solve.check import needed_bytes, second_between
from planner.solve.deadline import Deadline
from planner.solve.milp import MEGA, Milp, MilpOutcome, units_per_second
from planner.solve.problem import NO_LIMIT, Choice, Problem, Structure

Terms = list[tuple[int, float]]

_SECONDS_PER_VARIABLE = 1e-4  # to write a program down and hand it to HiGHS
_MOST_VARIABLES = 2_000_000  # some gigabytes


@dataclass(frozen=True)
class _Slot:
    """A place for a stage: a group of nodes, and the units that may run there."""

    group: int
    start: int
    stop: int


@dataclass(frozen=True)
class _Cell:
    """Units of a slot that are equal in every array, and their variable for each option."""

    slot: int
    units: NDArray[np.int64]
    counts: dict[int, int]


class Program:
    """How many units of a cell take an option, and the steps from unit to unit over the slots.

    A group whose nodes exist several times over may run several stages; each is a slot of its
    own, so that memory and the bottleneck are counted by stage. Where every slot's units are
    known beforehand, units that are equal in every array are counted and not told apart, because
    branch and bound would try their orders one by one.

    Parameters
    ----------
    problem : Problem
    keep : bool array, shape (G, U, K), optional
        Options that an optimal plan may need; all allowed ones by default.
    structure : Structure, optional
        First units and groups of the stages, if these are fixed.
    at_most_s : float, optional
        Objective of a known plan: nothing worse is looked for.
    deadline : Deadline, optional
        Within which it is to be written down.

    Raises
    ------
    OutOfTimeError
    """

    def __init__(
        self,
        problem: Problem,
        keep: NDArray[np.bool_] | None = None,
        structure: Structure | None = None,
        at_most_s: float | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        if at_most_s is not None:
            problem = _capped(problem, at_most_s)
        self._problem = problem
        self._features = _stacked(problem)
        self._keep = _undominated(
            self._features, problem.allowed if keep is None else keep & problem.allowed
        )
        self.longest_s = _longest_s(problem)
        self.units = units_per_second(self.longest_s)
        self.milp = Milp(deadline or Deadline())
        self._slots = _slots(problem, structure)
        self._merges = structure is not None or problem.single_stage
        self._cells = [cell for slot in range(len(self._slots)) for cell in self._add_cells(slot)]
        self._steps: dict[tuple[int, int, int], int] = {}
        self._fixed_s = self._fixed_medium_s = self._fixed_loss = self._fixed_second = 0.0
        self._fixed_software_s = [0.0] * len(self._slots)
        self._moves: list[float] = []
        if structure is not None:
            self._fill_slots(None)
            self._fix_moves(structure)
        elif problem.single_stage:
            self._fill_one_slot()
        else:
            self._steps = self._add_steps()
            self._flow()  # eq. 20
        self._limit_loss()
        self._limit_memory()
        # the objective's own limit as well: a plan that breaks it is no plan
        if problem.max_latency_s is not None:
            self._add_limit(self._latency(), self._fixed_s, problem.max_latency_s)
        if problem.max_bottleneck_s is not None:
            for terms, fixed_s in self._resources():
                self._add_limit(terms, fixed_s, problem.max_bottleneck_s)
        self._minimise(at_most_s)

    def solve(self, time_limit_s: float | None = None) -> tuple[MilpOutcome, Choice | None]:
        """Minimise to gap 0.

        The outcome counts in ``units`` per second; a latency is without the transfers and ends of
        a fixed structure.
        """
        deadline = Deadline(time_limit_s)
        while True:
            outcome = self.milp.solve(deadline.left_s)
            choice = None if outcome.values is None else self._choice(outcome.values)
            if choice is None or self._merges or self._fits_to_the_byte(choice):
                return outcome, choice
            # a whole number may be off by 1e-9, of gigabytes some bytes: look for another choice
            self.milp.add_row(self._taken(outcome.values), "<=", len(self._problem.cuttable))

    def _fits_to_the_byte(self, choice: Choice) -> bool:
        limits = self._problem.memory_limit_bytes
        needs = needed_bytes(self._problem, choice)
        return all(bool((needed <= limits[group]).all()) for group, needed in needs)

    def _taken(self, values: NDArray[np.float64] | None) -> Terms:
        """The variable of every unit's option in a solution, one each."""
        assert values is not None
        variables = [y for cell in self._cells for y in cell.counts.values()]
        return [(y, 1.0) for y in variables if values[y] > 0.5]

    def _add_cells(self, slot: int) -> list[_Cell]:
        """The cells of one slot, each with an integer count per option."""
        place = self._slots[slot]
        alike: dict[bytes, list[int]] = {}
        for unit in range(place.start, place.stop):
            mine = self._keep[place.group, unit]
            key = mine.tobytes() + self._features[place.group, unit][mine].tobytes()
            alike.setdefault(key if self._merges else str(unit).encode(), []).append(unit)
        return [
            _Cell(
                slot,
                np.array(units),
                {
                    int(k): self.milp.add_variable(upper=len(units), integer=True)
                    for k in np.flatnonzero(self._keep[place.group, units[0]])
                },
            )
            for units in alike.values()
        ]

    def _fill_slots(self, entries: list[int] | None) -> None:
        """Eq. 12: every unit of a slot takes one option, if the slot is entered."""
        for cell in self._cells:
            terms = [(y, 1.0) for y in cell.counts.values()]
            count = float(len(cell.units))
            if entries is None:
                self.milp.add_row(terms, "==", count)
            else:
                self.milp.add_row([*terms, (entries[cell.slot], -count)], "==", 0.0)

    def _fill_one_slot(self) -> None:
        """With a single stage one slot is entered, and takes all units."""
        entries = [self.milp.add_variable(upper=1, integer=True) for _ in self._slots]
        self.milp.add_row([(entry, 1.0) for entry in entries], "==", 1.0)
        self._fill_slots(entries)

    def _fix_moves(self, structure: Structure) -> None:
        """What transfers and ends of a fixed structure take, which no option changes."""
        problem, (starts, groups) = self._problem, structure
        cuts = np.array(starts[1:], dtype=np.int64) - 1
        between = groups[:-1], groups[1:], cuts
        ends = float(problem.input_s[groups[0]]) + float(problem.output_s[groups[-1]])
        self._fixed_s = float(problem.transfer_s[between].sum()) + ends
        self._fixed_loss = problem.lost_at(starts, groups)
        self._fixed_second = second_between(problem, starts, groups)
        stops = [*starts[1:], problem.units]
        runs = [(a, b - 1, g) for a, b, g in zip(starts, stops, groups, strict=True)]
        self._fixed_software_s = problem.software_s(runs)
        self._moves = [
            *problem.transfer_busy_s[between].tolist(),
            float(problem.input_busy_s[groups[0]]),
            float(problem.output_busy_s[groups[-1]]),
        ]
        self._fixed_medium_s = float(problem.transfer_medium_s[between].sum())
        self._fixed_medium_s += float(problem.input_medium_s[groups[0]])
        self._fixed_medium_s += float(problem.output_medium_s[groups[-1]])

    def _add_steps(self) -> dict[tuple[int, int, int], int]:
        """z[c, d, u]: the step from unit u on slot c to unit u + 1 on slot d."""
        problem, slots = self._problem, range(len(self._slots))
        stay = {
            (c, c, u): self.milp.add_variable(upper=1)
            for c in slots
            for u in range(len(problem.cuttable))
        }
        return stay | {
            (c, d, int(u)): self.milp.add_variable(upper=1)
            for c in slots
            for d in slots
            if c != d and problem.follows[self._slots[c].group, self._slots[d].group]
            for u in np.flatnonzero(problem.cuttable)
        }

    def _flow(self) -> None:
        """Eq. 20 and 21: one way through the chain, over nodes that exist."""
        slots, last = range(len(self._slots)), len(self._problem.cuttable)
        on = {(cell.slot, int(cell.units[0])): cell for cell in self._cells}
        runs = {at: [(y, 1.0) for y in cell.counts.values()] for at, cell in on.items()}
        # the first unit is somewhere, on one option
        self.milp.add_row([term for c in slots for term in runs[c, 0]], "==", 1.0)
        leaving: dict[tuple[int, int], Terms] = {}
        arriving: dict[tuple[int, int], Terms] = {}
        entering: list[Terms] = [list(runs[c, 0]) for c in slots]
        for (c, d, u), step in self._steps.items():
            leaving.setdefault((c, u), []).append((step, -1.0))
            arriving.setdefault((d, u + 1), []).append((step, -1.0))
            if c != d:
                entering[d].append((step, 1.0))
        for c in slots:
            for u in range(last):
                # where unit u is, a step leaves; where unit u + 1 is, one arrives
                self.milp.add_row([*runs[c, u], *leaving[c, u]], "==", 0.0)
                self.milp.add_row([*runs[c, u + 1], *arriving[c, u + 1]], "==", 0.0)
            # a slot is one stage: entered once at most, so that its units are contiguous
            self.milp.add_row(entering[c], "<=", 1.0)
        self._count_nodes(entering)

    def _count_nodes(self, entering: list[Terms]) -> None:
        problem = self._problem

        def used(nodes: NDArray[np.int64]) -> Terms:
            return [
                (v, coefficient * float(nodes[slot.group]))
                for slot, entry in zip(self._slots, entering, strict=True)
                for v, coefficient in entry
                if nodes[slot.group]
            ]

        # no type lends more nodes than there are
        for node_type, most in enumerate(problem.available):
            if terms := used(problem.uses[:, node_type]):
                self.milp.add_row(terms, "<=", float(most))
        sense = "==" if problem.all_nodes else "<="
        self.milp.add_row(used(problem.nodes), sense, float(problem.max_nodes))

    def _sum(
        self, values: NDArray[np.generic], slot: int | None = None, scale: float = 1.0
    ) -> Terms:
        """Values of shape (G, U, K) where options are chosen, over all slots or one."""
        return [
            (y, float(values[self._slots[cell.slot].group, cell.units[0], k]) * scale)
            for cell in self._cells
            if slot is None or cell.slot == slot
            for k, y in cell.counts.items()
        ]

    def _add_limit(self, terms: Terms, fixed_s: float, most_s: float) -> None:
        self.milp.add_row(terms, "<=", (most_s - fixed_s) * self.units)

    def _limit_loss(self) -> None:
        """Eq. 14: losses add up to no more than the budget; so does a second limited sum."""
        problem = self._problem
        if problem.max_loss is not None:
            most = problem.max_loss - self._fixed_loss
            self._limit_sum(problem.loss, problem.transfer_loss, most)
        if second := problem.second:
            most = second.most - self._fixed_second
            self._limit_sum(second.of_units, second.of_transfers, most)

    def _limit_sum(
        self, values: NDArray[np.float64], between: NDArray[np.float64] | None, most: float
    ) -> None:
        terms = self._sum(values)
        if between is not None and self._steps:
            for unit in np.flatnonzero(self._problem.cuttable):
                moves = self._transfers(int(unit), between)
                terms += [(z, v / self.units) for z, v in moves]
        # HiGHS keeps rows within 1e-9, the checks within as much of the limit; what is above
        # a limit of zero must stand out
        scale = 1.0 / (abs(most) or min((abs(v) for _, v in terms if v), default=1.0))
        self.milp.add_row([(y, v * scale) for y, v in terms], "<=", most * scale)

    def _limit_memory(self) -> None:
        """Eq. 15 and 16: stored weights add up, the largest live bytes count once."""
        problem = self._problem
        for slot, place in enumerate(self._slots):
            cells = [cell for cell in self._cells if cell.slot == slot]
            for position, limit in enumerate(problem.memory_limit_bytes[place.group]):
                if limit == NO_LIMIT:
                    continue
                live = problem.live_bytes[place.group, ..., position]
                peak = self.milp.add_variable()
                row = self._sum(problem.weight_bytes[..., position], slot, 1.0 / MEGA)
                self.milp.add_row([*row, (peak, 1.0)], "<=", float(limit) / MEGA)
                # every unit of a slot that is entered needs this much: rows above it are tighter
                floor = 0
                if self._merges and len(self._slots) == 1:
                    floor = max(min(int(live[c.units[0], k]) for k in c.counts) for c in cells)
                    self.milp.add_row([(peak, 1.0)], ">=", floor / MEGA)
                for cell in cells:
                    self._hold_peak(peak, cell, live[cell.units[0]], floor)

    def _hold_peak(self, peak: int, cell: _Cell, live: NDArray[np.int64], floor: int) -> None:
        """The peak of live bytes is no less than any option's that is taken, shape (K,)."""
        if len(cell.units) == 1:
            needed = [(y, -max(int(live[k]) - floor, 0) / MEGA) for k, y in cell.counts.items()]
            if any(v for _, v in needed):
                self.milp.add_row([(peak, 1.0), *needed], ">=", floor / MEGA)
            return
        for k, y in cell.counts.items():
            if live[k] > floor:
                # y counts units; one is enough to need it
                used = self.milp.add_variable(upper=1, integer=True)
                self.milp.add_row([(y, 1.0), (used, -float(len(cell.units)))], "<=", 0.0)
                more = (int(live[k]) - floor) / MEGA
                self.milp.add_row([(peak, 1.0), (used, -more)], ">=", floor / MEGA)

    def _software(self, slot: int) -> Terms:
        """Seconds for which the software of the steps into and out of a slot occupies its nodes."""
        problem, found = self._problem, list[tuple[int, float]]()
        if not problem.has_software:
            return found
        for (c, d, u), step in self._steps.items():
            pair = self._slots[c].group, self._slots[d].group, u
            for at, seconds in ((c, problem.send_s), (d, problem.receive_s)):
                if c != d and at == slot and seconds is not None:
                    found.append((step, float(seconds[pair]) * self.units))
        return found

    def _transfers(self, unit: int, seconds: NDArray[np.float64]) -> Terms:
        return [
            (step, float(seconds[self._slots[c].group, self._slots[d].group, u]) * self.units)
            for (c, d, u), step in self._steps.items()
            if u == unit and c != d
        ]

    def _ends(self, input_s: NDArray[np.float64], output_s: NDArray[np.float64]) -> list[Terms]:
        """Seconds of both ends, where the first and last unit are; none of a fixed structure."""
        if self._moves:
            return []
        first, last = 0, len(self._problem.cuttable)
        found: list[Terms] = []
        for unit, seconds in ((first, input_s), (last, output_s)):
            # a cell of several units is entered as a whole: the share of one of them
            found.append(
                [
                    (y, float(seconds[self._slots[c.slot].group]) * self.units / len(c.units))
                    for c in self._cells
                    if unit in c.units
                    for y in c.counts.values()
                ]
            )
        return found

    def _latency(self) -> Terms:
        """Eq. 22: every unit at its option, every transfer, and the two ends."""
        problem = self._problem
        terms = self._sum(problem.latency_s, scale=self.units)
        if self._steps:
            for unit in np.flatnonzero(problem.cuttable):
                terms += self._transfers(int(unit), problem.transfer_s)
        ends = self._ends(problem.input_s, problem.output_s)
        return [*terms, *(term for end in ends for term in end)]

    def _resources(self) -> list[tuple[Terms, float]]:
        """Eq. 23: each stage's resources, each transfer, the ends and the shared medium.

        Each with the seconds of it that are fixed.
        """
        problem = self._problem
        found = [
            (self._sum(busy, slot, self.units), 0.0)
            for busy in problem.busy_s[:-1]
            for slot in range(len(self._slots))
        ]
        for slot in range(len(self._slots)):  # the nodes, with the software of transfers
            work = self._sum(problem.busy_s[-1], slot, self.units)
            found.append((work + self._software(slot), self._fixed_software_s[slot]))
        medium = self._sum(problem.medium_s, scale=self.units)
        if self._steps:
            for unit in np.flatnonzero(problem.cuttable):
                found.append((self._transfers(int(unit), problem.transfer_busy_s), 0.0))
                medium += self._transfers(int(unit), problem.transfer_medium_s)
        ends = self._ends(problem.input_busy_s, problem.output_busy_s)
        for end in self._ends(problem.input_medium_s, problem.output_medium_s):
            medium += end
        moves = [(list[tuple[int, float]](), seconds) for seconds in self._moves]
        ends_alone = [(terms, 0.0) for terms in ends]
        return [
            (terms, fixed_s)
            for terms, fixed_s in (*found, *ends_alone, (medium, self._fixed_medium_s), *moves)
            if fixed_s or any(v for _, v in terms)
        ]

    def _minimise(self, at_most_s: float | None) -> None:
        """Eq. 13 or 22 as a sum, or eq. 23 as the largest of several."""
        if self._problem.objective == "latency":
            terms = self._latency()
            for variable, cost in terms:
                self.milp.costs[variable] += cost
            if at_most_s is not None:
                self._add_limit(terms, self._fixed_s, at_most_s)
            return
        upper = None if at_most_s is None else at_most_s * self.units
        largest = self.milp.add_variable(cost=1.0, upper=upper)
        for terms, fixed_s in self._resources():
            self.milp.add_row([*terms, (largest, -1.0)], "<=", -fixed_s * self.units)

    def _choice(self, values: NDArray[np.float64]) -> Choice:
        """The slot and option of every unit from the counts."""
        units = len(self._problem.cuttable) + 1
        slots, options = np.full(units, -1), np.zeros(units, dtype=np.int64)
        for cell in self._cells:
            counted = [round(values[y]) for y in cell.counts.values()]
            if sum(counted) == len(cell.units):
                slots[cell.units] = cell.slot
                options[cell.units] = np.repeat(list(cell.counts), counted)
        starts = np.flatnonzero(np.diff(slots, prepend=-1))
        return Choice(
            starts=tuple(starts.tolist()),
            groups=tuple(self._slots[slots[u]].group for u in starts),
            options=options,
        )


def is_too_long(problem: Problem, deadline: Deadline, structure: Structure | None = None) -> bool:
    """Whether time, or memory, would be up before the program is even written down."""
    slots = _slots(problem, structure)
    variables = sum(
        int(problem.allowed[slot.group, slot.start : slot.stop].sum()) for slot in slots
    )
    if structure is None and not problem.single_stage:
        variables += len(slots) ** 2 * len(problem.cuttable)
    seconds = variables * _SECONDS_PER_VARIABLE
    late = deadline.left_s is not None and seconds > deadline.left_s
    return late or variables > _MOST_VARIABLES


def _slots(problem: Problem, structure: Structure | None) -> list[_Slot]:
    """Each group as often as its nodes exist, once where it can never come again."""
    units = len(problem.cuttable) + 1
    if structure is not None:
        starts, groups = structure
        stops = [*starts[1:], units]
        return [_Slot(*slot) for slot in zip(groups, starts, stops, strict=True)]
    comes_again = _comes_again(problem.follows)
    slots: list[_Slot] = []
    for group, row in enumerate(problem.uses):
        times = int((problem.available[row > 0] // row[row > 0]).min())
        times = min(times, problem.max_nodes // int(row.sum()))
        if problem.single_stage or not comes_again[group]:
            times = min(times, 1)
        if problem.single_stage and problem.all_nodes and row.sum() != problem.max_nodes:
            times = 0
        slots += [_Slot(group, 0, units)] * times
    return slots


def _comes_again(follows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Groups that lie on a cycle of ``follows``, shape (G,)."""
    reach = follows.copy()
    for middle in range(len(reach)):
        reach |= reach[:, middle, None] & reach[None, middle]
    cyclic: NDArray[np.bool_] = np.diagonal(reach).copy()
    return cyclic


def _stacked(problem: Problem) -> NDArray[np.float64]:
    """Everything that may tell two options apart, shape (G, U, K, F)."""
    columns: list[NDArray[np.generic]] = []
    if problem.objective == "latency" or problem.max_latency_s is not None:
        columns.append(problem.latency_s)
    if problem.objective == "bottleneck" or problem.max_bottleneck_s is not None:
        columns += [*problem.busy_s, problem.medium_s]
    if problem.max_loss is not None:
        columns.append(problem.loss)
    if problem.second is not None:
        columns.append(problem.second.of_units)
    for position in np.flatnonzero((problem.memory_limit_bytes < NO_LIMIT).any(axis=0)):
        columns += [problem.weight_bytes[..., position], problem.live_bytes[..., position]]
    return np.stack(columns, axis=-1).astype(np.float64)


def _undominated(features: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Allowed options that no other allowed one equals or beats everywhere, shape (G, U, K)."""
    options = allowed.shape[2]
    kept = allowed.copy()
    for k in range(options):
        for other in range(options):
            if other == k:
                continue
            beaten = (features[:, :, other] <= features[:, :, k]).all(axis=-1)
            if other > k:  # of equal ones the first stays
                beaten &= (features[:, :, other] != features[:, :, k]).any(axis=-1)
            kept[:, :, k] &= ~(beaten & allowed[:, :, other])
    return kept


_LATENCY = ("latency_s", "transfer_s", "input_s", "output_s")
_BOTTLENECK = (
    *("busy_s", "medium_s", "transfer_busy_s", "transfer_medium_s", "send_s", "receive_s"),
    *("input_busy_s", "output_busy_s", "input_medium_s", "output_medium_s"),
)


def _capped(problem: Problem, at_most_s: float) -> Problem:
    """The problem without seconds that no plan as good as a known one can take.

    They are twice the most then, which is too long as well: the program's units follow the longest
    time, and beside hours it would not see what takes microseconds.
    """
    is_latency = problem.objective == "latency"
    mine, other = (_LATENCY, _BOTTLENECK) if is_latency else (_BOTTLENECK, _LATENCY)
    limit_s = problem.max_bottleneck_s if is_latency else problem.max_latency_s
    most = dict.fromkeys(mine, at_most_s) | dict.fromkeys(other, limit_s or at_most_s)
    return problem.but(
        **{
            name: np.minimum(seconds, 2 * most_s)
            for name, most_s in most.items()
            if (seconds := getattr(problem, name)) is not None
        }
    )


def _longest_s(problem: Problem) -> float:
    """A latency that no plan exceeds."""
    allowed = np.where(problem.allowed, problem.latency_s, 0.0)
    units = allowed.max(axis=(0, 2)).sum()
    transfers = np.where(problem.follows[:, :, None], problem.transfer_s, 0.0)
    return float(
        units
        + transfers.max(axis=(0, 1), initial=0.0).sum()
        + problem.input_s.max()
        + problem.output_s.max()
    )
