"""What the simulator says of the turns, and what a row of the results holds. Numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.errors import InconsistentResultError
from planner.simulation.arrivals import arrival_times
from planner.simulation.network import Network
from planner.simulation.policies import rule_of
from planner.simulation.run import run_once
from planner.simulation.scenario import Scenario

Times = Mapping[str, float]
"""Seconds of a worker's pieces, by their names."""

WHOLE = "whole"


def route_name(source: int) -> str:
    """What a worker's piece of a source's route is called."""
    return f"route {source}"


def with_times(network: Network, times: Sequence[Times]) -> Network:
    """The network with pieces that take what was measured.

    Parameters
    ----------
    network : Network
    times : sequence of mapping
        By worker. Of a piece that was not measured the cost model's time stays.

    Notes
    -----
    The engine has seconds of the first u units, d(u); a piece from b to e takes d(e) − d(b). Each
    worker's pieces say so many differences of d; the d nearest to the cost model's that has them is
    taken (least squares, least norm), which has them exactly unless pieces contradict each other.
    """
    done_s = network.done_s.copy()
    for node, measured in enumerate(times):
        ends = {WHOLE: (0, network.units)}
        for source in range(len(network.source_node)):
            for worker, begin, end in network.route(source):
                if worker == node:
                    ends[route_name(source)] = (begin, end)
        units = np.zeros((len(measured), network.units))
        for row, name in enumerate(measured):
            units[row, slice(*ends[name])] = 1.0
        modelled = np.diff(network.done_s[node])
        # in units of the model's times, so that large ones give way first
        scaled = np.sqrt(modelled)
        missing = np.array(list(measured.values())) - units @ modelled
        more = np.linalg.lstsq(units * scaled, missing, rcond=None)[0] * scaled
        done_s[node, 1:] = np.cumsum(modelled + more)
    return replace(network, done_s=done_s)


def predicted(scenario: Scenario, network: Network, policy: str) -> dict[str, float]:
    """Mean time per input, makespan and share of distributed inputs by the simulator."""
    rule = rule_of(policy, scenario.ms_mdi)
    record = run_once(scenario, network, rule, arrival_times(scenario), compiled=False)
    return {
        "mean_s": float(record.sojourn_s.mean()),
        "makespan_s": record.makespan_s,
        "distributed": float(1 - record.whole.mean()),
    }


def measured(scenario: Scenario, said: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The same of one turn, from what all workers say of it.

    Raises
    ------
    InconsistentResultError
        An input was not done, or twice.
    """
    arrival_s = np.concatenate(arrival_times(scenario))
    done = [(int(item), float(at)) for node in said for item, at in node["finish_s"].items()]
    if sorted(item for item, _ in done) != list(range(len(arrival_s))):
        raise InconsistentResultError(
            f"{said[0]['policy']}: {len(done)} results of {len(arrival_s)} inputs"
        )
    finish_s: NDArray[np.float64] = np.array([at for _, at in sorted(done)])
    whole = sum(len(node["whole"]) for node in said)
    return {
        "mean_s": float((finish_s - arrival_s).mean()),
        "makespan_s": float(finish_s.max()),
        "distributed": 1 - whole / len(arrival_s),
    }


def means(found: Sequence[Times]) -> dict[str, float]:
    """Of every piece, over repeats; those that never ran are left out."""
    names = dict.fromkeys(name for times in found for name in times)
    return {name: fmean(times[name] for times in found if name in times) for name in names}


def row(
    scenario: Scenario,
    network: Network,
    policy: str,
    workers: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """One policy: every turn as measured, and the prediction.

    Parameters
    ----------
    scenario, network : the simulator's
    policy : str
    workers : sequence of mapping
        By rank what `benchmarks.multi_source.worker` wrote.

    Returns
    -------
    dict
        ``measured`` by turn; ``predicted`` from pieces measured alone; ``predicted_by_repeat`` from
        those of each repeat; ``predicted_as_run`` from what pieces took in this policy's turns,
        ``as_run_s`` by rank. ``late_s``: by how much longer than its factor says a worker computed
        in one turn at most; where that is not far below the makespan, the row tells nothing.
    """
    turns = [[turn for turn in node["turns"] if turn["policy"] == policy] for node in workers]
    alone = [means(node["alone"]) for node in workers]
    as_run = [
        own | means([turn["lasted_s"] for turn in mine])
        for own, mine in zip(alone, turns, strict=True)
    ]
    repeats = zip(*(node["alone"] for node in workers), strict=True)

    def by(times: Sequence[Times]) -> dict[str, float]:
        return predicted(scenario, with_times(network, times), policy)

    return {
        "policy": policy,
        "measured": [measured(scenario, said) for said in zip(*turns, strict=True)],
        "predicted": by(alone),
        "predicted_by_repeat": [by(times) for times in repeats],
        "predicted_as_run": by(as_run),
        "as_run_s": as_run,
        "late_s": max(turn["late_s"] for mine in turns for turn in mine),
    }
