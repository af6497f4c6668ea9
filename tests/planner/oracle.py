"""Random instances in whole ticks, and their optimum by trying everything in exact integers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import numpy as np

from planner.solve.problem import Problem
from tests.planner.problems import chain_problem, choice_problem

Rows = list[list[int]]
# seconds per tick; with values up to a million ticks: nanoseconds to seconds
TICKS = (1e-9, 1e-6, 1e-4)


@dataclass(frozen=True)
class SparsityCase:
    """A choice of options whose seconds and losses are whole multiples of ``tick``."""

    tick: float
    objective: list[Rows]
    allowed: list[list[bool]]
    sums: list[tuple[Rows, int]] = field(default_factory=list)
    memory: list[tuple[Rows, Rows, int]] = field(default_factory=list)

    def problem(self) -> Problem:
        return choice_problem(
            np.array(self.objective) * self.tick,
            np.array(self.allowed),
            [(np.array(values) * self.tick, limit * self.tick) for values, limit in self.sums],
            [(np.array(stored), np.array(live), limit) for stored, live, limit in self.memory],
        )

    def choices(self) -> Iterator[tuple[int, ...]]:
        options = [[k for k, may in enumerate(row) if may] for row in self.allowed]
        return itertools.product(*options)

    def value(self, choice: tuple[int, ...]) -> int:
        return max(_picked(rows, choice) for rows in self.objective)

    def needs(self, choice: tuple[int, ...]) -> list[tuple[int, int]]:
        """What a choice takes of every limit, and the limit."""
        taken = [(_picked(values, choice), limit) for values, limit in self.sums]
        for weights, live, limit in self.memory:
            peak = max(row[k] for row, k in zip(live, choice, strict=True))
            taken.append((_picked(weights, choice) + peak, limit))
        return taken

    def fits(self, choice: tuple[int, ...]) -> bool:
        return all(taken <= limit for taken, limit in self.needs(choice))

    def best(self) -> int | None:
        """Ticks of the best choice that fits; None where none does."""
        return min((self.value(c) for c in self.choices() if self.fits(c)), default=None)


def _picked(rows: Rows, choice: tuple[int, ...]) -> int:
    return sum(row[k] for row, k in zip(rows, choice, strict=True))


def sparsity_case(
    random: Random, resources: int = 1, sums: int = 0, nodes: int = 0, alike: bool = False
) -> SparsityCase:
    """A random case.

    ``alike``: few different rows and few different values, so that ties and duplicates abound.
    """
    layers, options = random.randint(1, 6), random.randint(1, 4)
    most = random.choice([3, 10]) if alike else random.choice([1000, 10**6])
    byte = random.choice([1, 1024, 10**6])

    def rows(top: int) -> Rows:
        drawn = [[random.randint(0, top) for _ in range(options)] for _ in range(layers)]
        if alike:
            drawn = [random.choice(drawn[:2]) for _ in drawn]
        return drawn

    objective = [rows(most) for _ in range(resources)]
    allowed = [[k == 0 or random.random() < 0.8 for k in range(options)] for _ in range(layers)]
    if alike:
        kinds = [random.randrange(min(2, layers)) for _ in range(layers)]
        objective = [[table[kind] for kind in kinds] for table in objective]
        allowed = [allowed[kind] for kind in kinds]
    case = SparsityCase(
        tick=random.choice(TICKS),
        objective=objective,
        allowed=allowed,
        sums=[(rows(most), 0) for _ in range(sums)],
        memory=[
            (
                [[byte * size + random.randint(0, 3) for size in row] for row in rows(2000)],
                [[byte * size + random.randint(0, 3) for size in row] for row in rows(2000)],
                0,
            )
            for _ in range(nodes)
        ],
    )
    return _with_limits(random, case)


def _with_limits(random: Random, case: SparsityCase) -> SparsityCase:
    """Limits that some choice just meets, just misses, or that lie anywhere between."""
    choices = list(case.choices())
    drawn = [[taken for taken, _ in case.needs(random.choice(choices))] for _ in range(2)]
    least = [
        min(column) for column in zip(*(map(_taken, (case.needs(c) for c in choices))), strict=True)
    ]
    limits = []
    for low, one, other in zip(least, *drawn, strict=True):
        limits.append(
            random.choice([one, one - 1, max(one, other), (one + other) // 2, low, low - 1])
        )
    count = len(case.sums)
    return SparsityCase(
        case.tick,
        case.objective,
        case.allowed,
        [(values, max(most, 0)) for (values, _), most in zip(case.sums, limits, strict=False)],
        [
            (weights, live, max(most, 1))
            for (weights, live, _), most in zip(case.memory, limits[count:], strict=True)
        ],
    )


def _taken(needs: list[tuple[int, int]]) -> list[int]:
    return [taken for taken, _ in needs]


def _in_any_order(units: int, free: frozenset[int]) -> Iterator[tuple[int, ...]]:
    """Every way to hand out units in contiguous runs, one at most to each free worker."""
    if units == 0:
        yield ()
    for worker in sorted(free):
        for run in range(1, units + 1):
            for rest in _in_any_order(units - run, free - {worker}):
                yield (worker,) * run + rest


@dataclass(frozen=True)
class AllocationCase:
    """A chain over single nodes whose seconds are whole multiples of ``tick``."""

    tick: float
    objective: Literal["latency", "bottleneck"]
    compute: Rows
    transfer: list[Rows]
    medium: list[int]
    ends: tuple[list[int], list[int]]
    weights: list[int]
    live: list[int]
    memory: list[int | None]
    delay: int = 0
    shared: bool = False
    all_workers: bool = False
    max_latency: int | None = None
    max_bottleneck: int | None = None
    any_order: bool = False

    def problem(self) -> Problem:
        def seconds(ticks: int | None) -> float | None:
            return None if ticks is None else ticks * self.tick

        return chain_problem(
            objective=self.objective,
            compute_s=np.array(self.compute) * self.tick,
            transfer_s=np.array(self.delayed()) * self.tick,
            transfer_busy_s=np.array(self.transfer) * self.tick,
            medium_s=np.array(self.medium) * self.tick,
            input_s=np.array(self.ends[0]) * self.tick,
            output_s=np.array(self.ends[1]) * self.tick,
            shared_medium=self.shared,
            weight_bytes=np.array(self.weights),
            live_bytes=np.array(self.live),
            memory_limit_bytes=self.memory,
            all_workers=self.all_workers,
            max_latency_s=seconds(self.max_latency),
            max_bottleneck_s=seconds(self.max_bottleneck),
            any_order=self.any_order,
        )

    def delayed(self) -> list[Rows]:
        """Ticks until a transfer has arrived: its delay occupies nobody."""
        return [
            [[ticks + self.delay * (n != m) for ticks in row] for m, row in enumerate(rows)]
            for n, rows in enumerate(self.transfer)
        ]

    def choices(self) -> Iterator[tuple[int, ...]]:
        workers, units = range(len(self.compute)), len(self.weights)
        if self.any_order:
            return _in_any_order(units, frozenset(workers))
        return itertools.combinations_with_replacement(workers, units)

    def seconds(self, choice: tuple[int, ...]) -> tuple[int, int]:
        """Ticks of latency, and of the busiest worker, transfer or medium."""
        loads = [0] * len(self.compute)
        for unit, worker in enumerate(choice):
            loads[worker] += self.compute[worker][unit]
        sent = [self.ends[0][choice[0]], self.ends[1][choice[-1]]]
        medium, delays = sum(sent) * self.shared, 0
        for unit, (one, other) in enumerate(itertools.pairwise(choice)):
            if one != other:
                sent.append(self.transfer[one][other][unit])
                medium += self.medium[unit]
                delays += self.delay
        return sum(loads) + sum(sent) + delays, max(*loads, *sent, medium)

    def value(self, choice: tuple[int, ...]) -> int:
        return self.seconds(choice)[self.objective == "bottleneck"]

    def memory_taken(self, choice: tuple[int, ...]) -> list[int]:
        taken = []
        for worker in range(len(self.compute)):
            mine = [unit for unit, owner in enumerate(choice) if owner == worker]
            weights = sum(self.weights[unit] for unit in mine)
            taken.append(weights + max((self.live[unit] for unit in mine), default=0))
        return taken

    def fits(self, choice: tuple[int, ...]) -> bool:
        latency, bottleneck = self.seconds(choice)
        return (
            all(
                most is None or taken <= most
                for taken, most in zip(self.memory_taken(choice), self.memory, strict=True)
            )
            and (self.max_latency is None or latency <= self.max_latency)
            and (self.max_bottleneck is None or bottleneck <= self.max_bottleneck)
            and (not self.all_workers or len(set(choice)) == len(self.compute))
        )

    def best(self) -> int | None:
        """Ticks of the best choice that fits; None where none does."""
        return min((self.value(c) for c in self.choices() if self.fits(c)), default=None)


def allocation_case(
    random: Random,
    objective: Literal["latency", "bottleneck"],
    *,
    memory: bool = False,
    all_workers: bool = False,
    limits: int = 0,
    equal: bool = False,
    any_order: bool = False,
) -> AllocationCase:
    """A random case; ``equal``: workers alike and few different values, so that ties abound."""
    workers, units = random.randint(1, 4), random.randint(1, 7)
    most = random.choice([4, 1000]) if equal else random.choice([1000, 10**6])
    byte = random.choice([1, 1024, 10**6])
    work = [random.randint(0, most) for _ in range(units)]
    speed = [1 if equal else random.randint(1, 5) for _ in range(workers)]
    link = random.choice([0, most // 10, most])
    sizes = [random.randint(0, link) for _ in range(units - 1)]
    shared = random.random() < 0.3

    def row(receiver_is_sender: bool, slow: int) -> list[int]:
        return [0 if receiver_is_sender else slow * size for size in sizes]

    slow = [[1 if equal else random.randint(1, 3) for _ in speed] for _ in speed]
    ends = random.random() < 0.3
    case = AllocationCase(
        tick=random.choice(TICKS),
        objective=objective,
        compute=[[s * w for w in work] for s in speed],
        transfer=[[row(n == m, slow[n][m]) for m in range(workers)] for n in range(workers)],
        medium=[size * shared for size in sizes],
        ends=(
            [random.randint(0, link) * ends for _ in range(workers)],
            [random.randint(0, link) * ends for _ in range(workers)],
        ),
        weights=[byte * random.randint(0, 2000) + random.randint(0, 3) for _ in range(units)],
        live=[byte * random.randint(0, 2000) + random.randint(0, 3) for _ in range(units)],
        memory=[None] * workers,
        delay=link // 2 if units % 2 else 0,
        shared=shared,
        all_workers=all_workers,
        any_order=any_order,
    )
    choice = random.choice(list(case.choices()))
    latency, bottleneck = case.seconds(choice)
    changes: dict[str, object] = {}
    if memory:
        taken = [
            max(size + random.choice([0, 0, -1, byte]), 1) for size in case.memory_taken(choice)
        ]
        changes["memory"] = [size if random.random() < 0.8 else None for size in taken]
    for kind in random.sample(["max_latency", "max_bottleneck"], limits):
        base = latency if kind == "max_latency" else bottleneck
        changes[kind] = max(base + random.choice([0, -1, most // 5]), 1)
    return AllocationCase(**{**case.__dict__, **changes})
