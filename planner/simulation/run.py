"""One run: the tables of a scenario, the engine over them, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.errors import BadInputError
from planner.simulation.engine import state as s
from planner.simulation.engine.kernel import can_compile, get_engine
from planner.simulation.engine.state import Sizes
from planner.simulation.engine.tables import Tables
from planner.simulation.network import Network
from planner.simulation.policies import Queue, Rule, View
from planner.simulation.scenario import Scenario

Array = NDArray[np.float64]
INSTANTS_AT_A_TIME = {True: 400_000, False: 5_000}  # between two looks at progress and Ctrl-C
MOST_SAMPLES = 512
_FACTOR_STREAM = 2**20  # of a run's random numbers: far from those of its sources
_MEDIA = {"full_duplex": s.FULL_DUPLEX, "half_duplex": s.HALF_DUPLEX, "shared": s.SHARED}


@dataclass(frozen=True)
class Record:
    """What a run leaves behind.

    Attributes
    ----------
    status : FINISHED, STALLED or AT_HORIZON of `planner.simulation.engine.state`
    end_s : when it stopped
    arrival_s, started_s, finish_s : shape (inputs,), by source and time; NaN where it never was
    whole : bool, shape (inputs,)
        Run whole by one worker.
    first : int array, shape (S + 1,)
        Where every source's inputs begin.
    busy_s, held_s, sent_s : shape (N,)
        Seconds that each worker computed, was held by sending, and that its link was used.
    in_system_area_s : float
        Integral over time of the inputs in the system (for Little's law).
    sample_s, samples : shapes (K,), (K, N * 2S + N + S)
        Lengths of queues, outboxes and reservoirs at some moments.
    resent : inputs sent again because of a worker that left
    events : instants at which something happened
    """

    status: int
    end_s: float
    arrival_s: Array
    started_s: Array
    finish_s: Array
    whole: NDArray[np.bool_]
    first: NDArray[np.int64]
    busy_s: Array
    held_s: Array
    sent_s: Array
    in_system_area_s: float
    sample_s: Array
    samples: NDArray[np.int64]
    resent: int
    events: int

    @property
    def makespan_s(self) -> float:
        """When the last input that is done was."""
        done = self.finish_s[~np.isnan(self.finish_s)]
        return float(done.max()) if len(done) else 0.0

    @property
    def sojourn_s(self) -> Array:
        """Time per input that is done, from its coming to its end, by source and coming."""
        times = self.finish_s - self.arrival_s
        return times[~np.isnan(times)]


def run_once(
    scenario: Scenario,
    network: Network,
    rule: Rule,
    arrivals: list[Array],
    replication: int = 0,
    compiled: bool | None = None,
    progress: Callable[[float], None] | None = None,
) -> Record:
    """Simulate one policy on given arrivals.

    Parameters
    ----------
    scenario : of which the service, the sends, the horizon and the seed are read
    network : the scenario's, of `planner.simulation.costing.network_of`
    arrivals : S arrays of the times of a source's inputs in seconds, in order
    replication : decides the random times of services, not the arrivals
    compiled : bool, optional
        Use the compiled engine; by default where numba is installed.
    progress : callable, optional
        Called every now and then with the share of the inputs that are finished; what it raises
        ends the run.

    Raises
    ------
    BadInputError
        A source leaves while it has work, or a user's policy answers what is no answer.
    """
    use_numba = can_compile() if compiled is None else compiled
    advance = get_engine(use_numba)
    tables = run_tables(scenario, network, rule, arrivals, replication, use_numba)
    at, i, f = tables.at, tables.i, tables.f
    while True:
        code = advance(tables.layout, i, f, INSTANTS_AT_A_TIME[use_numba])
        if code in (s.ASK_ADMIT, s.ASK_SERVE):
            i[at.answer] = _ask_user(rule, code, View(at, i, f))
            i[at.answered] = code
        elif code == s.PAUSED:
            if progress:
                progress(i[at.finished] / at.items)
        elif code == s.LEFT_WITH_WORK:
            raise BadInputError(_left_with_work(network, tables, rule))
        else:
            return _make_record(code, tables)


def run_tables(
    scenario: Scenario,
    network: Network,
    rule: Rule,
    arrivals: list[Array],
    replication: int,
    arrays: bool,
) -> Tables:
    """The tables of a run that has not begun.

    Parameters
    ----------
    arrays : for the compiled engine; else lists for the plain one
    """
    n, sources, epochs = len(network.names), len(network.source_node), len(network.change_s)
    items = sum(len(times) for times in arrivals)
    factor = _draw_factors(scenario, items * n, replication)
    sizes = Sizes(
        nodes=n,
        channels=2 * n,
        sources=sources,
        edges=sources + 1,
        kinds=2 * sources,
        units=network.units,
        points=network.units + 1,
        epochs=epochs,
        items=items,
        most_flights=items if network.delay_s.any() else 1,
        most_samples=MOST_SAMPLES,
        sample_width=2 * n * sources + n + sources,
        factors=len(factor),
        policy=rule.policy,
        admission=rule.admission,
        at_decision=int(rule.at_decision),
        draw=rule.draw,
        corrected=int(rule.corrected),
        ties_local=int(rule.ties_local),
        may_idle=int(rule.idles),
        blocking=int(scenario.send == "blocking"),
        medium=_MEDIA[network.medium],
        returns=int(scenario.count_output),
        slotted=int(rule.slot_s is not None),
        counts_due=int(rule.policy in (s.USER, s.BALANCE) or rule.admission == s.TO_WORKER),
    )
    whole_s = network.whole_s()
    source_at = np.full(n, s.NONE)
    source_at[network.source_node] = np.arange(sources)
    last_s = max((float(times[-1]) for times in arrivals if len(times)), default=0.0)
    given = {
        "source_node": network.source_node,
        "source_at": source_at,
        "alive": network.alive,
        "owner": network.owner,
        "stop": network.stop,
        "follows": network.follows(),
        "first": np.cumsum([0, *map(len, arrivals)]),
        "channel_out": [network.channel_out(node) for node in range(n)],
        "channel_in": [network.channel_in(node) for node in range(n)],
        "cpu_item": np.full(n, s.NONE),
        "wire_item": np.full(n, s.NONE),
        "item_source": np.repeat(np.arange(sources), [len(times) for times in arrivals]),
        "pred": np.full(items, s.NONE),
        "slot_s": rule.slot_s or 0.0,
        "horizon_s": scenario.horizon_s or s.NEVER / 2,  # later than all that happens
        "patience_s": whole_s.min(),  # one input on the fastest worker is no backlog yet
        "done_s": network.done_s,
        "send_s": network.send_s,
        "delay_s": network.delay_s,
        "change_s": network.change_s,
        "pace": network.pace,
        "wire_pace": network.wire_pace,
        "part_s": network.part_s(),
        "part_wire_s": network.part_wire_s(scenario.count_output),
        "part_port_s": network.part_port_s(scenario.count_output),
        "whole_s": whole_s,
        "ship_s": network.ship_s(),
        "arrival_s": np.concatenate(arrivals),
        "factor": factor,
        "sample_step": max(last_s / (MOST_SAMPLES // 2), 1e-9),
        "cpu_until": np.full(n, s.NEVER),
        "wire_until": np.full(n, s.NEVER),
        "finish_s": np.full(items, -1.0),
        "started_s": np.full(items, -1.0),
    }
    return Tables.of(sizes, given, arrays)


def _draw_factors(scenario: Scenario, count: int, replication: int) -> Array:
    if scenario.service == "fixed":
        return np.zeros(0)
    return np.random.default_rng([scenario.seed, replication, _FACTOR_STREAM]).exponential(
        size=count
    )


def _ask_user(rule: Rule, code: int, view: View) -> int:
    assert rule.user is not None
    asked = view.i[view.at.concerns]
    if code == s.ASK_ADMIT:
        where = rule.user.admit(view, asked)
        if not isinstance(where, int) or not s.HOLD <= where < s.TO_WORKER + view.at.nodes:
            raise BadInputError(
                f"policy {rule.name!r}: admit answered {where!r}; allowed are HOLD, LOCAL, "
                "DISTRIBUTED and to_worker(n)"
            )
        return where
    queue = rule.user.serve(view, asked)
    if queue is None:
        return s.NONE
    if not isinstance(queue, Queue) or not view.waiting(asked, queue.source, queue.whole):
        raise BadInputError(
            f"policy {rule.name!r}: serve answered {queue!r}; allowed are None and the queues "
            "of this worker that hold something"
        )
    return (2 * asked + queue.whole) * view.at.sources + queue.source


def _left_with_work(network: Network, tables: Tables, rule: Rule) -> str:
    node = tables.i[tables.at.concerns]
    source = int(tables.get("source_at")[node])
    first = tables.get("first")
    left = first[source + 1] - first[source] - tables.get("finished_of")[source]
    return (
        f"churn: source {network.names[node]!r} leaves at {tables.f[tables.at.now]:g} s with "
        f"{left:,} inputs unfinished (policy {rule.name}); a source must stay until all of its "
        "are done"
    )


def _make_record(code: int, tables: Tables) -> Record:
    finish_s, started_s = tables.get("finish_s"), tables.get("started_s")
    taken = int(tables.get("samples"))
    return Record(
        status=code,
        end_s=float(tables.get("now")),
        arrival_s=tables.get("arrival_s"),
        started_s=np.where(started_s < 0, np.nan, started_s),
        finish_s=np.where(finish_s < 0, np.nan, finish_s),
        whole=tables.get("whole").astype(np.bool_),
        first=tables.get("first"),
        busy_s=tables.get("busy_s"),
        held_s=tables.get("held_s"),
        sent_s=tables.get("sent_s"),
        in_system_area_s=float(tables.get("in_system_area")),
        sample_s=tables.get("sample_s")[:taken],
        samples=tables.get("sample")[:taken],
        resent=int(tables.get("resent")),
        events=int(tables.get("events")),
    )
