"""What the built-in policies decide."""

from __future__ import annotations

from planner.simulation.engine import state as s
from planner.simulation.engine.balance import balanced_way, nearest_to_done
from planner.simulation.engine.state import Floats, Ints, Layout


def admission(at: Layout, i: Ints, f: Floats, source: int) -> int:
    """Where the next input of a source goes: LOCAL, DISTRIBUTED or TO_WORKER + n."""
    policy = at.policy
    if policy == s.MS_MDI:
        return shorter_queue(at, i, source)
    if policy == s.BALANCE:
        return balanced_way(at, i, f, source)
    if at.admission == s.TO_WORKER:
        return s.TO_WORKER + earliest_worker(at, i, f, source)
    return at.admission


def service(at: Layout, i: Ints, f: Floats, node: int) -> int:
    """Which of its queues a free worker serves, or NONE."""
    policy = at.policy
    if policy == s.MS_MDI:
        return highest_pressure(at, i, node)
    if policy == s.BALANCE:
        return nearest_to_done(at, i, f, node)
    return first_come(at, i, node)


def shorter_queue(at: Layout, i: Ints, source: int) -> int:
    """MS-MDI's arrivals: into the smaller of q_l^i and q_i^i."""
    node = i[at.source_node + source]
    parts = node * 2 * at.sources + source
    distributed = i[at.length + parts]
    local = i[at.length + parts + at.sources]
    if local < distributed or (local == distributed and at.ties_local):
        return s.LOCAL
    return s.DISTRIBUTED


def highest_pressure(at: Layout, i: Ints, node: int) -> int:
    """MS-MDI's service, equation (2).

    The local queue weighs q_l^n, the queue of source j weighs q_n^j - q_m^j with m the next
    worker on its route; the last one subtracts nothing (corrected) or q_j^j (literal). A queue
    that holds work goes before an empty one of the same weight.
    """
    best, best_weight, best_rank = s.NONE, 0, -1
    row = i[at.epoch] * at.sources
    begin = node * 2 * at.sources
    for kind in range(2 * at.sources):
        place = begin + kind
        length = i[at.length + place]
        local = kind >= at.sources
        if length == 0 and not at.may_idle:
            continue
        weight = length
        if local:
            if length == 0 and i[at.source_at + node] != kind - at.sources:
                continue
        else:
            after = i[at.follows + (row + kind) * at.nodes + node]
            if after == s.LAST and not at.corrected:
                after = i[at.source_node + kind]
            if after >= 0:
                weight -= i[at.length + after * 2 * at.sources + kind]
        rank = (2 if length else 0) + (1 if local == (at.ties_local == 1) else 0)
        if best_rank < 0 or weight > best_weight or (weight == best_weight and rank > best_rank):
            best, best_weight, best_rank = place, weight, rank
    if best == s.NONE or i[at.length + best] == 0:
        return s.NONE
    return best


def first_come(at: Layout, i: Ints, node: int) -> int:
    """The queue whose first item came first."""
    best, best_order = s.NONE, 0
    for place in range(node * 2 * at.sources, (node + 1) * 2 * at.sources):
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
    best, best_s = home, f[at.due_s + home] + f[at.whole_s + epoch * at.nodes + home]
    for hop in range(1, at.nodes):
        node = (home + hop) % at.nodes
        if i[at.alive + epoch * at.nodes + node]:
            ready = max(
                f[at.due_s + node],
                f[at.wire_due_s + home]
                + f[at.ship_s + row * at.nodes + node]
                + f[at.delay_s + home * at.nodes + node],
            )
            if ready + f[at.whole_s + epoch * at.nodes + node] < best_s:
                best, best_s = node, ready + f[at.whole_s + epoch * at.nodes + node]
    return best
