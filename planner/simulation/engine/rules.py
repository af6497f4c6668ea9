"""What the built-in policies decide.

MS-MDI's symbols are its paper's (docs/ms-mdi.md): q_n^j counts the parts of source j's inputs that
wait at worker n, q_l^n the whole models that do.
"""

from __future__ import annotations

from planner.simulation.engine import state as s
from planner.simulation.engine.balance import choose_way, nearest_to_done
from planner.simulation.engine.state import Floats, Ints, Layout


def choose_admission(at: Layout, i: Ints, f: Floats, source: int) -> int:
    """Where the next input of a source goes: LOCAL, DISTRIBUTED or TO_WORKER + n."""
    if at.policy == s.MS_MDI:
        return shorter_queue(at, i, source)
    if at.policy == s.BALANCE:
        return choose_way(at, i, f, source)
    if at.admission == s.TO_WORKER:
        return s.TO_WORKER + earliest_worker(at, i, f, source)
    return at.admission


def choose_queue(at: Layout, i: Ints, f: Floats, node: int) -> int:
    """Which of its queues a free worker serves, or NONE."""
    if at.policy == s.MS_MDI:
        return highest_pressure(at, i, node)
    if at.policy == s.BALANCE:
        return nearest_to_done(at, i, f, node)
    return first_come(at, i, node)


def shorter_queue(at: Layout, i: Ints, source: int) -> int:
    """MS-MDI's arrivals: into the smaller of q_l^i and q_i^i."""
    # Both stand at the source itself: congestion further on shows as backpressure only, which lets
    # q_i^i grow.
    node = i[at.source_node + source]
    parts = node * at.kinds + source
    distributed = i[at.length + parts]
    local = i[at.length + parts + at.sources]  # a worker's whole models stand behind its parts
    if local < distributed or (local == distributed and at.ties_local):
        return s.LOCAL
    return s.DISTRIBUTED


def highest_pressure(at: Layout, i: Ints, node: int) -> int:
    """MS-MDI's service, equation (2).

    The local queue weighs q_l^n, the queue of source j weighs q_n^j - q_m^j with m the next
    worker on its route; the last one subtracts nothing (corrected) or q_j^j (literal). A queue
    that holds work goes before an empty one of the same weight.
    """
    best, best_pressure, best_rank = s.NONE, 0, -1
    row = i[at.epoch] * at.sources
    begin = node * at.kinds
    for kind in range(at.kinds):
        place = begin + kind
        length = i[at.length + place]
        local = kind >= at.sources
        # The paper takes the maximum over all queues; where it does not say what a node does whose
        # best queue is empty, only a reading that lets it idle looks at empty ones.
        if length == 0 and not at.may_idle:
            continue
        pressure = length
        if local:
            # q_l^n exists at sources only, and counts this source's inputs alone.
            if length == 0 and i[at.source_at + node] != kind - at.sources:
                continue
        else:
            # Serving makes q_m^j longer: where that is long already, it helps little.
            after = i[at.follows + (row + kind) * at.nodes + node]
            if after == s.LAST and not at.corrected:
                # As printed the route closes to a ring, so that m is the source again.
                after = i[at.source_node + kind]
            if after >= 0:
                pressure -= i[at.length + after * at.kinds + kind]
        # Work before none, then as the scenario breaks ties; the first place of those left.
        rank = (2 if length else 0) + (1 if local == (at.ties_local == 1) else 0)
        if (
            best_rank < 0
            or pressure > best_pressure
            or (pressure == best_pressure and rank > best_rank)
        ):
            best, best_pressure, best_rank = place, pressure, rank
    # An empty queue that weighs most: the worker idles.
    if best == s.NONE or i[at.length + best] == 0:
        return s.NONE
    return best


def first_come(at: Layout, i: Ints, node: int) -> int:
    """The queue whose first item came first."""
    best, best_order = s.NONE, 0
    # Each queue is in order of coming, so that only the first items compete.
    for place in range(node * at.kinds, (node + 1) * at.kinds):
        if i[at.length + place]:
            order = i[at.order + i[at.head + place]]
            if best == s.NONE or order < best_order:
                best, best_order = place, order
    return best


def earliest_worker(at: Layout, i: Ints, f: Floats, source: int) -> int:
    """DDI: the worker that would be done first with one more input; the source at ties."""
    epoch = i[at.epoch]
    row = epoch * at.sources + source
    home = i[at.source_node + source]
    # The source runs without a message, and goes first: only what is strictly sooner replaces it.
    best, best_s = home, f[at.due_s + home] + f[at.whole_s + epoch * at.nodes + home]
    for hop in range(1, at.nodes):
        node = (home + hop) % at.nodes
        if i[at.alive + epoch * at.nodes + node]:
            # It begins when all that was admitted for it is done, and when the input is there,
            # which its source sends after all that it has to send already.
            ready = max(
                f[at.due_s + node],
                f[at.wire_due_s + home]
                + f[at.ship_s + row * at.nodes + node]
                + f[at.delay_s + home * at.nodes + node],
            )
            if ready + f[at.whole_s + epoch * at.nodes + node] < best_s:
                best, best_s = node, ready + f[at.whole_s + epoch * at.nodes + node]
    return best
