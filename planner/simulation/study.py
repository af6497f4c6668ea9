"""Simulating a scenario: every policy on the same inputs, against the limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.simulation.arrivals import arrival_times
from planner.simulation.bound import carried_share, least_makespan_s, ways_of
from planner.simulation.costing import network_of
from planner.simulation.engine.kernel import best_engine
from planner.simulation.measures import policy_result
from planner.simulation.policies import Policy, rule_of
from planner.simulation.rehearsed import MOST_RUNS, rehearsed_choice
from planner.simulation.result import Limit, SimulationResult
from planner.simulation.run import run_once
from planner.simulation.scenario import Scenario, Trace

Progress = Callable[[float, str], None]


def simulate(
    scenario: Scenario,
    policies: Sequence[str | Policy] | None = None,
    replications: int | None = None,
    compiled: bool | None = None,
    progress: Progress | None = None,
) -> SimulationResult:
    """Run every policy on the same inputs.

    Parameters
    ----------
    scenario : Scenario
        With its model and cluster in it, not their names.
    policies : names or `Policy` objects, optional
        By default those of the scenario.
    replications : int, optional
        Runs with other random numbers each; by default the scenario's.
    compiled : bool, optional
        Use the compiled engine; by default where that is worth its compilation. Results are the
        same.
    progress : callable, optional
        Told the share that is done and what is being done; what it raises ends the simulation.

    Raises
    ------
    BadInputError
        The scenario names what is not there, or a source leaves that has work.
    """
    asked = policies or scenario.policies
    # Known names first: a wrong one is said at once. `rehearsed` is chosen below.
    rules = {
        index: rule_of(policy, scenario.ms_mdi)
        for index, policy in enumerate(asked)
        if policy != "rehearsed"
    }
    rehearsals = MOST_RUNS if len(rules) < len(asked) else 0
    times = replications or scenario.replications
    runs = rehearsals + len(asked) * times
    network = network_of(scenario)
    arrivals = [arrival_times(scenario, replication) for replication in range(times)]
    inputs = runs * sum(len(found) for found in arrivals[0])
    use_numba = best_engine(inputs) if compiled is None else compiled
    steady = len(network.change_s) == 1
    ways = ways_of(network, scenario.send == "blocking", scenario.count_output)
    # Random services may be short, so that the program's least makespan is none.
    known = scenario.service == "fixed"
    limits = [
        least_makespan_s(ways, found, network, steady) if known else None for found in arrivals
    ]
    offered = _offered(scenario)
    share = carried_share(ways, offered) if steady and offered is not None else None

    def tell_of(rule: str, done: int, count: int = 1) -> Callable[[float], None]:
        def tell(share: float) -> None:
            if progress:
                progress((done + share * count) / runs, rule)

        return tell

    if rehearsals:
        tell = tell_of("rehearsed", 0, rehearsals)
        chosen = rehearsed_choice(scenario, network, use_numba, tell)
        rule = replace(rule_of(chosen, scenario.ms_mdi), name="rehearsed", follows=chosen)
        rules |= {index: rule for index in range(len(asked)) if index not in rules}
    rows = []
    for index, rule in sorted(rules.items()):
        records = []
        for replication in range(times):
            tell = tell_of(rule.name, rehearsals + index * times + replication)
            tell(0.0)
            records.append(
                run_once(
                    scenario, network, rule, arrivals[replication], replication, use_numba, tell
                )
            )
        carried = None
        if offered is not None and steady:
            carried = carried_share(ways.only(rule.modes), offered) * float(offered.sum())
        rows.append(policy_result(rule, records, network, limits, carried))
    assert isinstance(scenario.model, ModelProfile) and isinstance(scenario.cluster, Cluster)
    return SimulationResult(
        scenario=scenario.name,
        model=scenario.model.name,
        cluster=scenario.cluster.name,
        workers=network.names,
        sources=tuple(source.node for source in scenario.sources),
        replications=times,
        limit=_limit(limits, offered, share),
        policies=tuple(rows),
    )


def _offered(scenario: Scenario) -> NDArray[np.float64] | None:
    rates = [s.arrivals.rate_per_s for s in scenario.sources if not isinstance(s.arrivals, Trace)]
    return np.array(rates) if len(rates) == len(scenario.sources) else None


def _limit(
    limits: Sequence[float | None],
    offered: NDArray[np.float64] | None,
    share: float | None,
) -> Limit:
    known = [limit for limit in limits if limit is not None]
    rate = None if offered is None else float(offered.sum())
    return Limit(
        makespan_s=float(np.mean(known)) if known else None,
        offered_per_s=rate,
        carried_per_s=None if rate is None or share is None else rate * share,
        stable=None if share is None else share >= 1.0,
    )
