"""From the records of runs to the rows of a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.simulation.engine import state as s
from planner.simulation.network import Network
from planner.simulation.policies import Rule
from planner.simulation.result import Interval, PolicyResult, RunStatus, Series, WorkerUse
from planner.simulation.run import Record

POINTS = 200  # of a plotted line
_STATUS: dict[int, RunStatus] = {
    s.FINISHED: "finished",
    s.AT_HORIZON: "stopped at the horizon",
    s.STALLED: "stalled",
}


def policy_result(
    rule: Rule,
    records: Sequence[Record],
    network: Network,
    limits_s: Sequence[float | None],
    carried_per_s: float | None,
) -> PolicyResult:
    """One row from a policy's replications and the limit of each.

    Parameters
    ----------
    records : one per replication; series and counts are those of the first
    limits_s : the least makespan of each replication, None where it is not known
    carried_per_s : inputs per second of all sources together that the rule's ways can carry
    """
    first = records[0]
    worst = max((record.status for record in records), key=lambda status: status != s.FINISHED)
    all_done = all(record.status == s.FINISHED for record in records)
    makespans = [record.makespan_s for record in records]
    sojourns = [record.sojourn_s for record in records]
    some_done = all(len(times) for times in sojourns)
    ratios = [
        makespan / limit
        for makespan, limit in zip(makespans, limits_s, strict=True)
        if limit is not None and limit > 0
    ]
    begun = ~np.isnan(first.started_s)

    def mean_of(quantile: float | None) -> float | None:
        return float(np.mean(_each(sojourns, quantile))) if some_done else None

    return PolicyResult(
        policy=rule.name,
        follows=rule.follows,
        status=_STATUS[worst],
        makespan_s=float(np.mean(makespans)) if all_done else None,
        mean_s=mean_of(None),
        p50_s=mean_of(0.5),
        p95_s=mean_of(0.95),
        p99_s=mean_of(0.99),
        completed=len(sojourns[0]),
        inputs=len(first.arrival_s),
        distributed_share=float(np.mean(~first.whole[begun])) if begun.any() else 0.0,
        bound_ratio=float(np.mean(ratios)) if all_done and ratios else None,
        carried_per_s=carried_per_s,
        interval=_interval(makespans, sojourns) if all_done and len(records) > 1 else None,
        workers=_workers(first, network),
        medium_use=_share(float(first.sent_s.sum()), first) if network.medium == "shared" else None,
        resent=first.resent,
        completed_by=_completed_by(first),
        queues=_queues(first, network),
        spread=_spread(sojourns[0]),
    )


def _each(sojourns: Sequence[NDArray[np.float64]], quantile: float | None) -> list[float]:
    if quantile is None:
        return [float(times.mean()) for times in sojourns]
    return [float(np.quantile(times, quantile)) for times in sojourns]


def _interval(makespans: list[float], sojourns: Sequence[NDArray[np.float64]]) -> Interval:
    return Interval(
        makespan_s=half_width(makespans),
        mean_s=half_width(_each(sojourns, None)),
        p95_s=half_width(_each(sojourns, 0.95)),
    )


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % confidence interval of a mean, by Student's t."""
    from scipy.stats import t as student  # as `bound` does

    spread = float(np.std(values, ddof=1)) / len(values) ** 0.5
    quantile: float = student.ppf(0.975, len(values) - 1)
    return float(quantile * spread)


def _share(seconds: float, record: Record) -> float:
    return seconds / record.end_s if record.end_s > 0 else 0.0


def _workers(record: Record, network: Network) -> tuple[WorkerUse, ...]:
    return tuple(
        WorkerUse(
            node=name,
            computing=_share(float(record.busy_s[node]), record),
            held_by_sending=_share(float(record.held_s[node]), record),
            sending=_share(float(record.sent_s[node]), record),
        )
        for node, name in enumerate(network.names)
    )


def _completed_by(record: Record) -> Series:
    done = np.sort(record.finish_s[~np.isnan(record.finish_s)])
    times = np.linspace(0.0, record.end_s, POINTS)
    counts = np.searchsorted(done, times, side="right")
    return Series(
        names=("completed",), times_s=tuple(times.tolist()), values=(tuple(counts.tolist()),)
    )


def _spread(times: NDArray[np.float64]) -> Series:
    shares = np.linspace(0.0, 1.0, POINTS)
    within_s = np.quantile(times, shares).tolist() if len(times) else []
    return Series(
        names=("done within",),
        times_s=tuple(within_s),
        values=(tuple(shares[: len(within_s)].tolist()),),
    )


def _queues(record: Record, network: Network) -> Series:
    n, sources = len(network.names), len(network.source_node)
    count = len(record.sample_s)
    plotted = np.linspace(0, count - 1, min(POINTS, count)).astype(int)
    samples = record.samples[plotted]
    waiting = samples[:, : 2 * n * sources].reshape(-1, n, 2 * sources).sum(axis=2)
    rest = samples[:, 2 * n * sources :]
    lines = np.concatenate([waiting, rest], axis=1).T
    names = [f"{name} waiting" for name in network.names]
    names += [f"{name} to send" for name in network.names]
    names += [f"source {network.names[node]} reservoir" for node in network.source_node]
    return Series(
        names=tuple(names),
        times_s=tuple(record.sample_s[plotted].tolist()),
        values=tuple(tuple(line) for line in lines.astype(float).tolist()),
    )
