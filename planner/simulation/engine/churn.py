"""Workers that leave and rejoin, and speeds that change: a new epoch."""

from __future__ import annotations

from planner.simulation.engine import state as s
from planner.simulation.engine.queues import dequeue, post, unpost, wake
from planner.simulation.engine.sending import clear_wire, release_sender, route, send_again
from planner.simulation.engine.state import Floats, Ints, Layout


def next_epoch(at: Layout, i: Ints, f: Floats) -> bool:
    """Everybody knows the new shares; whoever left has left, whoever is back begins empty.

    A worker finishes what it holds by the share it had when that came. False where a source
    leaves that has work.
    """
    i[at.epoch] += 1
    epoch = i[at.epoch]
    for node in range(at.nodes):
        if (
            i[at.alive + (epoch - 1) * at.nodes + node]
            and not i[at.alive + epoch * at.nodes + node]
        ):
            source = i[at.source_at + node]
            if source != s.NONE and (
                i[at.finished_of + source] < i[at.first + source + 1] - i[at.first + source]
            ):
                i[at.concerns] = node
                return False
            i[at.life + node] += 1
    # Before anybody leaves: what goes to one that does is turned round while its sender has it.
    for node in range(at.nodes):
        redirect(at, i, f, node)
    for node in range(at.nodes):
        if (
            i[at.alive + (epoch - 1) * at.nodes + node]
            and not i[at.alive + epoch * at.nodes + node]
        ):
            leave(at, i, f, node)
    # New shares can change everybody's mind, and every sum of work that is due.
    for node in range(at.nodes):
        wake(at, i, node)
    recount(at, i, f)
    return True


def redirect(at: Layout, i: Ints, f: Floats, node: int) -> None:
    """Address what waits in a worker's outbox anew; what is on the wire to one that left, too."""
    epoch = i[at.epoch]
    waiting = i[at.out_count + node]
    if waiting == 0 or not i[at.alive + epoch * at.nodes + node]:
        return
    on_wire = i[at.wire_item + node]
    if on_wire != s.NONE and not i[at.alive + epoch * at.nodes + i[at.goes_to + on_wire]]:
        clear_wire(at, i, f, node)
        on_wire = s.NONE
    # Once round the outbox: what keeps its receiver goes to the end again, so that order stays.
    for _ in range(waiting):
        item = unpost(at, i, node)
        receiver = i[at.goes_to + item]
        is_output = i[at.units_done + item] == at.units
        still_there = i[at.whole + item] and i[at.alive + epoch * at.nodes + receiver]
        if item == on_wire or is_output or still_there:
            post(at, i, item, node, receiver)
        else:
            route(at, i, item, node)
    release_sender(at, i, f, node)


def leave(at: Layout, i: Ints, f: Floats, node: int) -> None:
    """Empty a worker that left; others send again what it held."""
    if i[at.wire_item + node] != s.NONE:
        clear_wire(at, i, f, node)
    now = f[at.now]
    if i[at.cpu + node] == s.BUSY:
        f[at.busy_s + node] += now - f[at.cpu_began + node]
        f[at.cpu_until + node] = s.NEVER
    elif i[at.cpu + node] == s.SENDING:
        f[at.held_s + node] += now - f[at.cpu_began + node]
    i[at.cpu + node] = s.FREE
    item = i[at.cpu_item + node]
    i[at.cpu_item + node] = s.NONE
    if item != s.NONE:
        send_again(at, i, f, item)
    while i[at.out_count + node] > 0:
        send_again(at, i, f, unpost(at, i, node))
    for place in range(node * at.kinds, (node + 1) * at.kinds):
        while i[at.length + place] > 0:
            send_again(at, i, f, dequeue(at, i, place, node))


def recount(at: Layout, i: Ints, f: Floats) -> None:
    """Sum the work that every worker is due, from where every item is."""
    for node in range(at.nodes):
        f[at.due_s + node] = 0.0
        f[at.wire_due_s + node] = 0.0
        f[at.port_due_s + node] = 0.0
    for source in range(at.sources):
        begin = i[at.first + source]
        for item in range(begin, begin + i[at.taken + source]):
            if f[at.finish_s + item] < 0:
                recount_item(at, i, f, item, source)


def recount_item(at: Layout, i: Ints, f: Floats, item: int, source: int) -> None:
    """Add what is still to be done for one item, by the present shares."""
    epoch = i[at.epoch]
    row = epoch * at.sources + source
    if i[at.whole + item]:
        worker = i[at.goes_to + item]
        f[at.due_s + worker] += f[at.whole_s + epoch * at.nodes + worker]
        return
    node = s.NONE
    done = i[at.units_done + item]
    while done < at.units:
        before, node = node, i[at.owner + row * at.units + done]
        if before != s.NONE:
            seconds = f[at.part_wire_s + row * at.nodes + before]
            f[at.wire_due_s + before] += seconds
            f[at.port_due_s + before] += seconds
            if at.medium == s.HALF_DUPLEX:
                f[at.port_due_s + node] += seconds
        f[at.due_s + node] += f[at.part_s + row * at.nodes + node]
        done = i[at.stop + row * at.units + done]
