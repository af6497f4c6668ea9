"""When inputs come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.errors import BadInputError
from planner.simulation.scenario import MAX_INPUTS, Poisson, Scenario, SourceSpec, Trace


def arrival_times(scenario: Scenario, replication: int = 0) -> list[NDArray[np.float64]]:
    """Times of every source's inputs in seconds, in order, none after the horizon.

    Every source has random numbers of its own, from the scenario's seed, the replication and its
    place, so that policies are compared on the same inputs.

    Raises
    ------
    BadInputError
        There are more inputs than are simulated, or a trace was not read yet.
    """
    horizon_s = scenario.horizon_s or np.inf
    times = []
    for index, source in enumerate(scenario.sources):
        generator = np.random.default_rng([scenario.seed, replication, index])
        found = source.start_s + _draw_times(source, index, generator, horizon_s - source.start_s)
        times.append(found[found <= horizon_s])
    count = sum(len(found) for found in times)
    if count > MAX_INPUTS:
        raise BadInputError(f"sources: {count:,} inputs; at most {MAX_INPUTS:,} are simulated")
    return times


def _draw_times(
    source: SourceSpec, index: int, generator: np.random.Generator, until_s: float
) -> NDArray[np.float64]:
    arrivals = source.arrivals
    if isinstance(arrivals, Trace):
        if arrivals.times_s is None:
            raise BadInputError(
                f"sources[{index}].arrivals.file: {arrivals.file!r} must be read first"
            )
        return np.array(arrivals.times_s)
    rate, total = arrivals.rate_per_s, arrivals.total
    # Ten standard deviations more than are expected: what comes after the horizon is cut off.
    if total is None:
        expected = rate * max(until_s, 0.0)
        total = int(min(expected + 10 * np.sqrt(expected) + 10, MAX_INPUTS + 1))
    if isinstance(arrivals, Poisson):
        return np.cumsum(generator.exponential(1 / rate, total))
    return np.arange(1, total + 1) / rate
