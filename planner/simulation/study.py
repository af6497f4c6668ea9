"""Simulating a scenario: every policy on the same inputs, against the limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.simulation.arrivals import arrival_times
from planner.simulation.bound import Ways, carried_share, least_makespan_s, ways_of
from planner.simulation.costing import network_of
from planner.simulation.engine.kernel import is_worth_compiling
from planner.simulation.measures import policy_result
from planner.simulation.network import Network
from planner.simulation.policies import Policy, rule_of
from planner.simulation.rehearsed import MOST_RUNS, rehearsed_choice
from planner.simulation.result import Limit, SimulationResult
from planner.simulation.run import Array, run_once
from planner.simulation.scenario import MAX_INPUTS, Scenario, Trace

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
        Runs of every policy with other random numbers each; by default the scenario's. Rehearsals
        are none of them.
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
    wanted = policies or scenario.policies
    # Before anything is worked out: a wrong name is said at once.
    rules = [None if p == "rehearsed" else rule_of(p, scenario.ms_mdi) for p in wanted]
    times = replications or scenario.replications
    network = network_of(scenario)
    arrivals = [arrival_times(scenario)]
    count = times * sum(map(len, arrivals[0]))
    if count > MAX_INPUTS:
        raise BadInputError(
            f"replications: {times:,} runs have {count:,} inputs together; at most "
            f"{MAX_INPUTS:,} are simulated"
        )
    arrivals += [arrival_times(scenario, replication) for replication in range(1, times)]
    rehearsals = MOST_RUNS if None in rules else 0
    runs = rehearsals + len(wanted) * times
    inputs = runs * sum(len(found) for found in arrivals[0])
    use_numba = is_worth_compiling(inputs) if compiled is None else compiled
    teller = _Teller(progress, runs)
    if rehearsals:
        tell = teller.begin("rehearsed", rehearsals)
        chosen = rehearsed_choice(scenario, network, use_numba, tell)
        ours = replace(rule_of(chosen, scenario.ms_mdi), name="rehearsed", follows=chosen)
        rules = [rule or ours for rule in rules]
    fluid = _Fluid.of(scenario, network, arrivals)
    rows = []
    for rule in filter(None, rules):
        records = []
        for replication, found in enumerate(arrivals):
            tell = teller.begin(rule.name)
            records.append(run_once(scenario, network, rule, found, replication, use_numba, tell))
        carried = fluid.per_s(fluid.carried(rule.modes))
        rows.append(policy_result(rule, records, network, fluid.makespans_s, carried))
    assert isinstance(scenario.model, ModelProfile) and isinstance(scenario.cluster, Cluster)
    return SimulationResult(
        scenario=scenario.name,
        model=scenario.model.name,
        cluster=scenario.cluster.name,
        workers=network.names,
        sources=tuple(source.node for source in scenario.sources),
        replications=times,
        limit=fluid.limit(),
        policies=tuple(rows),
    )


class _Teller:
    """Tells what share of all runs is done."""

    def __init__(self, progress: Progress | None, runs: int) -> None:
        self._progress, self._runs, self._begun = progress, runs, 0

    def begin(self, what: str, runs: int = 1) -> Callable[[float], None]:
        """Begin the next runs; what is answered is to be told their own share."""
        done, self._begun = self._begun, self._begun + runs

        def tell(share: float) -> None:
            if self._progress:
                self._progress((done + share * runs) / self._runs, what)

        tell(0.0)
        return tell


@dataclass(frozen=True)
class _Fluid:
    """What the fluid program says of a scenario.

    Attributes
    ----------
    ways : Ways
    makespans_s : list of float or None
        The shortest possible one of every replication, where it is known.
    offered_per_s : float array, shape (S,), or None
        Rates of the sources, where each declares one.
    steady : bool
        Nobody leaves and no speed changes.
    """

    ways: Ways
    makespans_s: list[float | None]
    offered_per_s: NDArray[np.float64] | None
    steady: bool

    @classmethod
    def of(cls, scenario: Scenario, network: Network, arrivals: list[list[Array]]) -> _Fluid:
        steady = len(network.change_s) == 1
        ways = ways_of(network, scenario.send == "blocking", scenario.count_output)
        # Random services may be short, so that the program's least makespan is none.
        known = scenario.service == "fixed"
        makespans_s = [
            least_makespan_s(ways, found, network, steady) if known else None for found in arrivals
        ]
        return cls(ways, makespans_s, _offered(scenario), steady)

    def carried(self, modes: Sequence[str] | None = None) -> float | None:
        """Share of what is offered that the ways of some modes, or all, can carry; may exceed 1."""
        if self.offered_per_s is None or not self.steady:
            return None
        ways = self.ways if modes is None else self.ways.only(modes)
        return carried_share(ways, self.offered_per_s)

    def per_s(self, share: float | None) -> float | None:
        """A share of what is offered as a rate."""
        if share is None or self.offered_per_s is None:
            return None
        return share * float(self.offered_per_s.sum())

    def limit(self) -> Limit:
        """As results have it."""
        known = [makespan_s for makespan_s in self.makespans_s if makespan_s is not None]
        share = self.carried()
        return Limit(
            makespan_s=float(np.mean(known)) if known else None,
            offered_per_s=self.per_s(1.0),
            carried_per_s=self.per_s(share),
            stable=None if share is None else share >= 1.0,
        )


def _offered(scenario: Scenario) -> NDArray[np.float64] | None:
    rates = [s.arrivals.rate_per_s for s in scenario.sources if not isinstance(s.arrivals, Trace)]
    return np.array(rates) if len(rates) == len(scenario.sources) else None
