"""Queues, outboxes and messages under way, as linked items in the tables of a run.

An item is in one list at most, so that one link per item (`behind`) serves them all.
"""

from __future__ import annotations

from planner.simulation.engine import state as s
from planner.simulation.engine.state import Floats, Ints, Layout


def enqueue(at: Layout, i: Ints, item: int, node: int) -> None:
    """Let an item wait at a worker, behind the others of its source and kind."""
    place = node * at.kinds + i[at.item_source + item]
    if i[at.whole + item]:
        place += at.sources
    append(at, i, item, at.head + place, at.tail + place, at.length + place)
    i[at.queued + node] += 1
    wake(at, i, node)


def dequeue(at: Layout, i: Ints, place: int, node: int) -> int:
    """Take the first item of a queue."""
    i[at.queued + node] -= 1
    return pop(at, i, at.head + place, at.length + place)


def wake(at: Layout, i: Ints, node: int) -> None:
    """Have a worker decide when it is free, and its source draw."""
    i[at.awake + node] = 1
    i[at.draws + node] = 1


def post(at: Layout, i: Ints, item: int, sender: int, receiver: int) -> None:
    """Put an item behind what its sender has to send."""
    i[at.goes_to + item] = receiver
    append(at, i, item, at.out_head + sender, at.out_tail + sender, at.out_count + sender)


def unpost(at: Layout, i: Ints, sender: int) -> int:
    """Take the first item out of an outbox."""
    return pop(at, i, at.out_head + sender, at.out_count + sender)


def append(at: Layout, i: Ints, item: int, head: int, tail: int, count: int) -> None:
    """Link an item to the end of a list, whose head, tail and count stand at these places."""
    i[at.behind + item] = s.NONE
    i[at.order + item] = i[at.sequence]
    i[at.sequence] += 1
    if i[count]:
        i[at.behind + i[tail]] = item
    else:
        i[head] = item
    i[tail] = item
    i[count] += 1


def pop(at: Layout, i: Ints, head: int, count: int) -> int:
    """Take the first item off a list."""
    item = i[head]
    i[head] = i[at.behind + item]
    i[count] -= 1
    return item


def launch(at: Layout, i: Ints, f: Floats, item: int, when_s: float) -> None:
    """Put a message among those under way: a binary heap by time, then by order of launch."""
    spot = i[at.flights]
    i[at.flights] += 1
    order = i[at.sequence]
    i[at.sequence] += 1
    while spot > 0:
        above = (spot - 1) // 2
        if not earlier(when_s, order, f[at.flight_s + above], i[at.flight_order + above]):
            break
        move_flight(at, i, f, above, spot)
        spot = above
    f[at.flight_s + spot] = when_s
    i[at.flight_order + spot] = order
    i[at.flight_item + spot] = item


def land(at: Layout, i: Ints, f: Floats) -> int:
    """Take the message that comes first."""
    first = i[at.flight_item]
    i[at.flights] -= 1
    last = i[at.flights]
    when_s, order, item = f[at.flight_s + last], i[at.flight_order + last], i[at.flight_item + last]
    spot = 0
    while 2 * spot + 1 < last:
        below = 2 * spot + 1
        if below + 1 < last and earlier(
            f[at.flight_s + below + 1],
            i[at.flight_order + below + 1],
            f[at.flight_s + below],
            i[at.flight_order + below],
        ):
            below += 1
        if not earlier(f[at.flight_s + below], i[at.flight_order + below], when_s, order):
            break
        move_flight(at, i, f, below, spot)
        spot = below
    f[at.flight_s + spot] = when_s
    i[at.flight_order + spot] = order
    i[at.flight_item + spot] = item
    return first


def earlier(a_s: float, a: int, b_s: float, b: int) -> bool:
    """Whether (a_s, a) comes before (b_s, b)."""
    return a_s < b_s or (a_s == b_s and a < b)


def move_flight(at: Layout, i: Ints, f: Floats, source: int, target: int) -> None:
    """Copy one message of the heap to another place in it."""
    f[at.flight_s + target] = f[at.flight_s + source]
    i[at.flight_order + target] = i[at.flight_order + source]
    i[at.flight_item + target] = i[at.flight_item + source]
