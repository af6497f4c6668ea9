"""What becomes of an item when a worker has done with it: routes, links, delivery."""

from __future__ import annotations

from planner.simulation.engine import state as s
from planner.simulation.engine.queues import enqueue, launch, post, unpost, wake
from planner.simulation.engine.state import Floats, Ints, Layout


def route(at: Layout, i: Ints, item: int, node: int) -> None:
    """Bring an item that a worker holds to whoever runs its next unit."""
    if i[at.whole + item]:
        i[at.up_to + item] = at.units
        i[at.goes_to + item] = node
        enqueue(at, i, item, node)
        return
    row = i[at.epoch] * at.sources + i[at.item_source + item]
    done = i[at.units_done + item]
    owner = i[at.owner + row * at.units + done]
    if owner == node:
        i[at.up_to + item] = i[at.stop + row * at.units + done]
        enqueue(at, i, item, node)
    else:
        post(at, i, item, node, owner)


def finish(at: Layout, i: Ints, f: Floats, item: int) -> None:
    """An output is where it belongs."""
    f[at.finish_s + item] = f[at.now]
    i[at.finished] += 1
    i[at.finished_of + i[at.item_source + item]] += 1


def hold_senders(at: Layout, i: Ints, f: Floats) -> None:
    """Blocking sends: a worker that has something to send does nothing else."""
    for node in range(at.nodes):
        if i[at.out_count + node] and i[at.cpu + node] == s.FREE:
            i[at.cpu + node] = s.SENDING
            f[at.cpu_began + node] = f[at.now]


def start_wires(at: Layout, i: Ints, f: Floats) -> None:
    """Let every message begin whose sender and receiver are free, first come first.

    A sender's messages leave in their order.
    """
    if at.blocking:
        hold_senders(at, i, f)
    epoch = i[at.epoch]
    while True:
        # One at a time, as each takes channels from those behind it. First come first is what a
        # first-in-first-out medium does, and lets nobody wait for ever.
        chosen = s.NONE
        for node in range(at.nodes):
            if i[at.out_count + node] == 0 or i[at.wire_item + node] != s.NONE:
                continue
            if at.blocking and i[at.cpu + node] == s.BUSY:
                continue  # it computes or sends, never both
            item = i[at.out_head + node]
            goes_in = i[at.channel_in + i[at.goes_to + item]]
            if i[at.channel + i[at.channel_out + node]] or i[at.channel + goes_in]:
                continue
            if chosen == s.NONE or (i[at.order + item] < i[at.order + i[at.out_head + chosen]]):
                chosen = node
        if chosen == s.NONE:
            return
        item = i[at.out_head + chosen]
        receiver = i[at.goes_to + item]
        i[at.channel + i[at.channel_out + chosen]] = 1
        i[at.channel + i[at.channel_in + receiver]] = 1
        i[at.wire_item + chosen] = item
        seconds = f[
            at.send_s + (chosen * at.nodes + receiver) * at.points + i[at.units_done + item]
        ]
        f[at.wire_began + chosen] = f[at.now]
        f[at.wire_until + chosen] = (
            f[at.now] + seconds * f[at.wire_pace + epoch * at.nodes + chosen]
        )


def clear_wire(at: Layout, i: Ints, f: Floats, node: int) -> int:
    """Free the link that a worker sends on; answer what it was sending."""
    item = i[at.wire_item + node]
    i[at.channel + i[at.channel_out + node]] = 0
    i[at.channel + i[at.channel_in + i[at.goes_to + item]]] = 0
    i[at.wire_item + node] = s.NONE
    f[at.wire_until + node] = s.NEVER
    f[at.sent_s + node] += f[at.now] - f[at.wire_began + node]
    return item


def release_sender(at: Layout, i: Ints, f: Floats, node: int) -> None:
    """Blocking sends: a worker whose outbox is empty is free again."""
    if at.blocking and i[at.out_count + node] == 0 and i[at.cpu + node] == s.SENDING:
        i[at.cpu + node] = s.FREE
        f[at.held_s + node] += f[at.now] - f[at.cpu_began + node]


def end_wire(at: Layout, i: Ints, f: Floats, node: int) -> None:
    """A message has left its sender."""
    item = clear_wire(at, i, f, node)
    unpost(at, i, node)
    release_sender(at, i, f, node)
    wake(at, i, node)  # a source that hands on all that it takes is woken by nothing else
    discharge(at, i, f, item, node, wire=True)
    receiver = i[at.goes_to + item]
    i[at.pred + item] = node
    i[at.pred_life + item] = i[at.life + node]
    i[at.units_on_entry + item] = i[at.units_done + item]
    i[at.goes_life + item] = i[at.life + receiver]
    delay = f[at.delay_s + node * at.nodes + receiver]
    if delay > 0:
        launch(at, i, f, item, f[at.now] + delay)
    else:
        deliver(at, i, f, item)


def deliver(at: Layout, i: Ints, f: Floats, item: int) -> None:
    """A message comes; where its receiver has left meanwhile, the sender has it again."""
    receiver = i[at.goes_to + item]
    if i[at.life + receiver] != i[at.goes_life + item]:
        i[at.lost] = 1
        send_again(at, i, f, item)
    elif i[at.units_done + item] == at.units:
        finish(at, i, f, item)
    else:
        route(at, i, item, receiver)


def send_again(at: Layout, i: Ints, f: Floats, item: int) -> None:
    """What a worker held that left is sent again by its predecessor.

    Where that has left since as well, the source begins again. Nothing is lost, and as an item
    is in one place only, nothing is done twice.
    """
    i[at.resent] += 1
    before = i[at.pred + item]
    i[at.pred + item] = s.NONE
    if before != s.NONE and i[at.life + before] == i[at.pred_life + item]:
        i[at.units_done + item] = i[at.units_on_entry + item]
    else:
        before = i[at.source_node + i[at.item_source + item]]
        i[at.units_done + item] = 0
        i[at.units_on_entry + item] = 0
    route(at, i, item, before)


def discharge(at: Layout, i: Ints, f: Floats, item: int, node: int, wire: bool) -> None:
    """Take what a worker has done, or sent, off the work that it is still due."""
    if not at.counts_due:
        return
    epoch = i[at.epoch]
    row = epoch * at.sources + i[at.item_source + item]
    if i[at.whole + item]:
        # Only shipping an input was counted, not its output's way back.
        if wire and i[at.units_done + item] == 0:
            f[at.wire_due_s + node] -= f[at.ship_s + row * at.nodes + i[at.goes_to + item]]
        elif not wire:
            f[at.due_s + node] -= f[at.whole_s + epoch * at.nodes + node]
    elif wire:
        seconds = f[at.part_wire_s + row * at.nodes + node]
        f[at.wire_due_s + node] -= seconds
        f[at.port_due_s + node] -= seconds
        if at.medium == s.HALF_DUPLEX:
            f[at.port_due_s + i[at.goes_to + item]] -= seconds
    else:
        f[at.due_s + node] -= f[at.part_s + row * at.nodes + node]
