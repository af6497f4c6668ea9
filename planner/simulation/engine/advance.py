"""The engine: what happens next, and what follows from it.

At one instant, in this order: an epoch of churn or drift begins; services end (workers in ring
order); messages leave (ring order); messages arrive (in order of launch); inputs come (by source);
a slot begins. Then inputs are admitted (by source), messages begin (in order of request), and
free workers decide (ring order). What takes no time happens in a further round of the instant.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.simulation.engine import state as s
from planner.simulation.engine.churn import next_epoch, recount
from planner.simulation.engine.decisions import (
    ask_admission,
    ask_service,
    begin_service,
    draw,
    take,
)
from planner.simulation.engine.observing import observe
from planner.simulation.engine.queues import land, post, wake
from planner.simulation.engine.sending import (
    deliver,
    discharge,
    end_wire,
    finish,
    route,
    start_wires,
)
from planner.simulation.engine.state import Floats, Ints, Layout

NOTHING_FOLLOWS, SOMETHING, LEFT = 0, 1, 2
# Beside the reasons to stop: nothing more follows at this instant, or decide once more.
SETTLED, AGAIN = s.FINISHED, -1


def advance(layout: Sequence[Layout], i: Ints, f: Floats, budget: int) -> int:
    """Run on for so many instants; answer why it stopped (FINISHED, PAUSED, ASK_…).

    Parameters
    ----------
    layout : the one layout of the run, in a list or an array of one record
    i, f : the run's integers and floats
    budget : instants at most, not seconds and not inputs
    """
    at = layout[0]
    total = i[at.first + at.sources]
    followed = SOMETHING
    for _ in range(budget):
        if followed == SOMETHING:
            code = settle(at, i, f)
            if code != SETTLED:
                return code
        if i[at.finished] == total:
            return s.FINISHED
        when_s = next_instant(at, i, f)
        # Slots go on by themselves: one may have served what kept a policy from deciding. After two
        # in a row in which nothing began and none to come otherwise, none ever will.
        if at.slotted and (when_s < s.NEVER or i[at.idle_ticks] < 2):
            when_s = min(when_s, f[at.next_tick])
        stop_s = min(when_s, f[at.horizon_s])
        if when_s >= s.NEVER:
            return s.STALLED
        observe(at, i, f, stop_s)
        f[at.now] = stop_s
        if when_s > f[at.horizon_s]:
            return s.AT_HORIZON
        followed = happen(at, i, f)
        if followed == LEFT:
            return s.LEFT_WITH_WORK
        i[at.events] += 1
    return s.PAUSED


def next_instant(at: Layout, i: Ints, f: Floats) -> float:
    """When something happens next, slots apart, and when the next of each kind does."""
    cpu_s, wire_s, come_s, other_s = s.NEVER, s.NEVER, s.NEVER, s.NEVER
    for node in range(at.nodes):
        cpu_s = min(cpu_s, f[at.cpu_until + node])
        wire_s = min(wire_s, f[at.wire_until + node])
    for source in range(at.sources):
        item = i[at.first + source] + i[at.come + source]
        if item < i[at.first + source + 1]:
            come_s = min(come_s, f[at.arrival_s + item])
    if i[at.flights]:
        other_s = f[at.flight_s]
    epoch = i[at.epoch] + 1
    if epoch < at.epochs:
        other_s = min(other_s, f[at.change_s + epoch])
    f[at.next_cpu] = cpu_s
    f[at.next_wire] = wire_s
    f[at.next_come] = come_s
    return min(cpu_s, wire_s, come_s, other_s)


def happen(at: Layout, i: Ints, f: Floats) -> int:
    """Everything that happens now: SOMETHING, NOTHING_FOLLOWS, or LEFT, a source that has work."""
    now = f[at.now]
    followed = NOTHING_FOLLOWS
    epoch = i[at.epoch] + 1
    if epoch < at.epochs and f[at.change_s + epoch] <= now:
        followed = SOMETHING
        if not next_epoch(at, i, f):
            return LEFT
    if f[at.next_cpu] <= now:
        followed = SOMETHING
        for node in range(at.nodes):
            if f[at.cpu_until + node] <= now:
                end_service(at, i, f, node)
    if f[at.next_wire] <= now:
        followed = SOMETHING
        for node in range(at.nodes):
            if f[at.wire_until + node] <= now:
                end_wire(at, i, f, node)
    # The heap's first is the next to come.
    while i[at.flights] and f[at.flight_s] <= now:
        deliver(at, i, f, land(at, i, f))
        followed = SOMETHING
    if i[at.lost]:
        # What is done of a lost item is done again, which no running sum knows.
        i[at.lost] = 0
        recount(at, i, f)
    if f[at.next_come] <= now and receive_inputs(at, i, f):
        followed = SOMETHING
    if tick(at, i, f):
        followed = SOMETHING
    if at.slotted or at.may_idle or at.policy == s.USER:
        think_again(at, i)
    return followed


def tick(at: Layout, i: Ints, f: Floats) -> bool:
    """Whether a slot begins now."""
    if not at.slotted or f[at.next_tick] > f[at.now]:
        i[at.idle_ticks] = 0
        return False
    i[at.ticks] += 1
    i[at.idle_ticks] += 1
    f[at.next_tick] = i[at.ticks] * f[at.slot_s]
    i[at.ticked] = 1
    return True


def receive_inputs(at: Layout, i: Ints, f: Floats) -> bool:
    """Inputs come now; whether that may change a decision."""
    followed = False
    for source in range(at.sources):
        home = i[at.source_node + source]
        item = i[at.first + source] + i[at.come + source]
        while item < i[at.first + source + 1] and f[at.arrival_s + item] <= f[at.now]:
            i[at.come + source] += 1
            i[at.arrived] += 1
            wake(at, i, home)
            item += 1
            # What joins the reservoir of a source at work changes none.
            if not at.at_decision or at.policy == s.USER or i[at.cpu + home] == s.FREE:
                followed = True
    return followed


def think_again(at: Layout, i: Ints) -> None:
    """Have workers decide that idle, all of them at a slot; a user's policy may admit again."""
    for source in range(at.sources):
        i[at.on_hold + source] = 0
    for node in range(at.nodes):
        if at.slotted:
            if i[at.ticked]:
                wake(at, i, node)
        elif i[at.queued + node]:
            i[at.awake + node] = 1


def end_service(at: Layout, i: Ints, f: Floats, node: int) -> None:
    """A worker is done with an item: it goes on, or back to its source, or is finished."""
    item = i[at.cpu_item + node]
    i[at.cpu_item + node] = s.NONE
    f[at.cpu_until + node] = s.NEVER
    i[at.cpu + node] = s.FREE
    f[at.busy_s + node] += f[at.now] - f[at.cpu_began + node]
    wake(at, i, node)
    discharge(at, i, f, item, node, wire=False)
    i[at.units_done + item] = i[at.up_to + item]
    if i[at.units_done + item] < at.units:
        route(at, i, item, node)
        return
    home = i[at.source_node + i[at.item_source + item]]
    if at.returns and home != node:
        post(at, i, item, node, home)
    else:
        finish(at, i, f, item)


def settle(at: Layout, i: Ints, f: Floats) -> int:
    """Admit, send and decide, until nothing more follows; SETTLED, or what is to be asked."""
    if not admit(at, i, f):
        return s.ASK_ADMIT
    start_wires(at, i, f)
    if at.slotted and not i[at.ticked]:
        return SETTLED
    before = i[at.sequence]
    code = AGAIN
    while code == AGAIN:
        code = decide(at, i, f)
        if code > SETTLED:
            return code
    if i[at.sequence] != before:
        start_wires(at, i, f)
    i[at.ticked] = 0
    return SETTLED


def admit(at: Layout, i: Ints, f: Floats) -> bool:
    """Inputs leave the reservoirs as they come, or at a slot; False where a policy is asked."""
    if at.at_decision:
        if at.slotted and i[at.ticked]:
            for source in range(at.sources):
                if not draw(at, i, f, i[at.source_node + source]):
                    return False
        return True
    for source in range(at.sources):
        while i[at.on_hold + source] == 0 and i[at.taken + source] < i[at.come + source]:
            where = ask_admission(at, i, f, source)
            if where < s.HOLD:
                return False
            if where == s.HOLD:
                i[at.on_hold + source] = 1
                break
            take(at, i, f, source, where)
    return True


def decide(at: Layout, i: Ints, f: Floats) -> int:
    """Free workers decide what they begin: SETTLED, AGAIN, or what is to be asked."""
    began = False
    for node in range(at.nodes):
        # Only what has happened to a worker can change its mind: all others are passed over.
        if i[at.awake + node] == 0 or i[at.cpu + node] != s.FREE:
            continue
        if not i[at.alive + i[at.epoch] * at.nodes + node]:
            continue
        if at.at_decision and not draw(at, i, f, node):
            return s.ASK_ADMIT
        if at.blocking and i[at.out_count + node]:
            continue  # by what it has just drawn: it sends that first
        if i[at.queued + node] > 0:
            place = ask_service(at, i, f, node)
            if place < s.NONE:
                return s.ASK_SERVE
            if place != s.NONE:
                begin_service(at, i, f, node, place)
                began = True
        i[at.awake + node] = 0
    if not began or not at.may_idle:
        return SETTLED
    for node in range(at.nodes):  # who idled may think otherwise now
        if i[at.queued + node]:
            i[at.awake + node] = 1
    return AGAIN
