"""Mutants of one file, read one after the other in one limited child.

That spares a thousand starts of an interpreter. A batch whose child dies is repeated through the
door, mutant by mutant.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from planner.errors import BadInputError
from profiles.sandbox import Limits, run_limited
from tests.processor_time import HANG_S
from tests.resuming import Outcomes

AT_ONCE = 2
DOOR_S = 15.0  # of processor time for one mutant
DOOR = Limits(wall_s=HANG_S)
BATCH_LIMITS = Limits(cpu_s=120, wall_s=HANG_S)


Batch = tuple[str, bytes, list[int]]
"""A file's name, the file, and the seeds of its mutants."""


def in_turn(
    files: list[tuple[str, bytes]], numbers: range, begin: int, size: int
) -> Iterator[Batch]:
    """Batches of so many numbers, of one file after the other; seeds count from ``begin``."""
    for start in range(numbers.start, numbers.stop, size):
        name, data = files[start // size % len(files)]
        yield name, data, list(range(begin + start, begin + min(start + size, numbers.stop)))


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Attributes
    ----------
    module : str
        Whose ``main`` reads the mutants of some seeds.
    mutant : callable
        What a file becomes with a seed.
    door : callable
        Reads a file as a user's.
    """

    module: str
    mutant: Callable[[bytes, int], bytes]
    door: Callable[[bytes], object]

    def through_the_door(self, data: bytes) -> str:
        """One mutant, as a user's file: what became of it."""
        started = time.thread_time()
        try:
            self.door(data)
            outcome = "profiled"
        except BadInputError as error:
            assert str(error).isprintable()
            outcome = "defect" if "its reader fails" in str(error) else "refused"
        assert time.thread_time() - started < DOOR_S - DOOR.cpu_s  # the child may use the rest
        return outcome

    def read(self, name: str, data: bytes, seeds: list[int]) -> dict[str, Any]:
        """What became of the mutants of some seeds, as `tests.profiles.mutants.outcomes` says."""
        try:
            result: dict[str, Any] = run_limited(
                self.module, {"seeds": seeds}, data, what=name, limits=BATCH_LIMITS
            )
            return result
        except BadInputError:
            outcomes = {seed: self.through_the_door(self.mutant(data, seed)) for seed in seeds}
        return {
            "profiled": [seed for seed in seeds if outcomes[seed] == "profiled"],
            "refused": [seed for seed in seeds if outcomes[seed] == "refused"],
            "defects": {str(seed): "at the door" for seed in seeds if outcomes[seed] == "defect"},
            "slowest_s": 0.0,  # each was timed at the door
        }

    def read_all(self, batches: Iterable[Batch]) -> Outcomes:
        """How many were profiled and refused, and the faults: a defect, or longer than allowed."""
        named = list(batches)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = list(pool.map(lambda batch: self.read(*batch), named))
        ended: Counter[str] = Counter()
        faults: list[list[Any]] = []
        for (name, _, seeds), result in zip(named, results, strict=True):
            ended.update({way: len(result[way]) for way in ("profiled", "refused")})
            faults += [[name, seed, said] for seed, said in result["defects"].items()]
            if result["slowest_s"] >= DOOR_S:
                faults.append([name, f"{seeds[0]} to {seeds[-1]}", f"{result['slowest_s']:.0f} s"])
        return ended, faults
