"""Carrying out what a policy decides: inputs leave the reservoir, workers begin."""

from __future__ import annotations

from planner.simulation.engine import state as s
from planner.simulation.engine.queues import dequeue, post
from planner.simulation.engine.rules import choose_admission, choose_queue
from planner.simulation.engine.sending import route
from planner.simulation.engine.state import Floats, Ints, Layout

MUST_ASK = -2  # beside every answer that a policy may give


def ask_admission(at: Layout, i: Ints, f: Floats, source: int) -> int:
    """The policy's word on the next input of a source, or MUST_ASK."""
    if at.policy != s.USER:
        return choose_admission(at, i, f, source)
    return look_up_answer(at, i, s.ASK_ADMIT, source)


def ask_service(at: Layout, i: Ints, f: Floats, node: int) -> int:
    """The policy's word on the queue that a free worker serves, or MUST_ASK."""
    if at.policy != s.USER:
        return choose_queue(at, i, f, node)
    return look_up_answer(at, i, s.ASK_SERVE, node)


def look_up_answer(at: Layout, i: Ints, question: int, whom: int) -> int:
    """A user's policy: its answer where it was asked this already, or MUST_ASK."""
    if i[at.answered] == question and i[at.concerns] == whom:
        i[at.answered] = 0
        return i[at.answer]
    i[at.concerns] = whom
    return MUST_ASK


def take(at: Layout, i: Ints, f: Floats, source: int, where: int) -> None:
    """The next input of a source leaves the reservoir."""
    item = i[at.first + source] + i[at.taken + source]
    i[at.taken + source] += 1
    i[at.idle_ticks] = 0
    epoch = i[at.epoch]
    row = epoch * at.sources + source
    home = i[at.source_node + source]
    if where == s.DISTRIBUTED:
        for node in range(at.nodes if at.counts_due else 0):
            f[at.due_s + node] += f[at.part_s + row * at.nodes + node]
            f[at.wire_due_s + node] += f[at.part_wire_s + row * at.nodes + node]
            f[at.port_due_s + node] += f[at.part_port_s + row * at.nodes + node]
        route(at, i, item, home)
        return
    # Nobody is due the sending of a local input; a shipped one occupies its source's link too.
    i[at.whole + item] = 1
    worker = home if where == s.LOCAL else where - s.TO_WORKER
    f[at.due_s + worker] += f[at.whole_s + epoch * at.nodes + worker]
    if worker == home:
        route(at, i, item, home)
    else:
        f[at.wire_due_s + home] += f[at.ship_s + row * at.nodes + worker]
        post(at, i, item, home, worker)


def draw(at: Layout, i: Ints, f: Floats, node: int) -> bool:
    """A deciding source draws from its reservoir; False where its policy must be asked.

    MS-MDI puts the whole of one draw into the queue that is smaller before it.
    """
    source = i[at.source_at + node]
    drawn = i[at.draws + node] - 1
    if source == s.NONE or drawn < 0:
        return True
    # BALANCE binds inputs to a way as late as it can: not while its worker has something to do.
    if at.policy == s.BALANCE and i[at.queued + node] > 0:
        return True
    where = s.HOLD
    while i[at.taken + source] < i[at.come + source] and drawn != at.draw:
        # Others answer input by input, each after the one before is in its queue.
        if where == s.HOLD or at.policy != s.MS_MDI:
            where = ask_admission(at, i, f, source)
        if where == MUST_ASK:
            i[at.draws + node] = drawn + 1
            return False
        if where == s.HOLD:
            break
        take(at, i, f, source, where)
        drawn += 1
    i[at.draws + node] = 0
    return True


def begin_service(at: Layout, i: Ints, f: Floats, node: int, place: int) -> None:
    """A worker begins with the first item of a queue."""
    item = dequeue(at, i, place, node)
    i[at.idle_ticks] = 0
    now = f[at.now]
    if f[at.started_s + item] < 0:
        f[at.started_s + item] = now
    seconds = (
        f[at.done_s + node * at.points + i[at.up_to + item]]
        - f[at.done_s + node * at.points + i[at.units_done + item]]
    )
    seconds *= f[at.pace + i[at.epoch] * at.nodes + node]
    if at.factors:
        seconds *= f[at.factor + item * at.nodes + node]
    i[at.cpu + node] = s.BUSY
    i[at.cpu_item + node] = item
    f[at.cpu_began + node] = now
    f[at.cpu_until + node] = now + seconds
