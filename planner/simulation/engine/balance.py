"""BALANCE, our own policy: follow the fluid program of the work in hand, step by step.

MS-MDI counts inputs; BALANCE counts seconds. Every source keeps a share of its inputs that it
means to distribute. At each decision of a source the shares take two steps down the gradient of

    Σ over workers and links r of  (W_r + P)^7 / 7

with W_r the seconds that r is due: for what was admitted, for what waits in the reservoirs by the
present shares, and for what will come while the largest backlog is worked off, if every source
goes on as it did. The seventh power stands for the maximum, which the fluid program of
`planner.simulation.bound` makes least; P, the fastest whole model, lets small backlogs count as
none, so that an idle system runs inputs where they cause the least work. Then the source starts
its next input by its share. It draws only when it holds nothing else, so that inputs are bound to
a way as late as can be; of what a worker holds it takes what is nearest to done.

It is a heuristic: nothing is proven of its stability. Routing each input to the way of least
Σ W_r · s_r would bound the admitted work by the usual drift argument for every load below the
program's limit; shares that follow with steps, and queues that receive this work only after
passing others, are outside of it. docs/ms-mdi.md and the benchmark say how it fares.
"""

from __future__ import annotations

from planner.simulation.engine import state as s
from planner.simulation.engine.state import Floats, Ints, Layout

STEP = 1 / 32  # of a share, at least; the first steps are larger
STEPS = 2  # of every share at a decision
SILENCE = 10  # mean intervals without an input after which a source counts as at its end


def choose_way(at: Layout, i: Ints, f: Floats, source: int) -> int:
    """LOCAL or DISTRIBUTED for the next input of a source."""
    expect(at, i, f)
    # 1/2, 1/3, 1/4, …: shares begin at 0, and a source's first decisions should count; from the
    # thirtieth on the step stays, so that shares follow what changes.
    step = max(STEP, 1.0 / (2.0 + i[at.taken + source]))
    for _ in range(STEPS):
        # All sources' shares, not only the asking one's: what it should do depends on what the
        # others will, and they may not decide for long.
        for other in range(at.sources):
            # A share of no inputs changes no sum: it stays for the inputs that may come yet.
            if f[at.expected + other] > 0:
                moved = step if distributing_is_lighter(at, i, f, other) else -step
                f[at.lean + other] = min(1.0, max(0.0, f[at.lean + other] + moved))
    # Inputs are whole: what a share owes is rounded, and the rest is owed to the next input, so
    # that no random number is needed and the share is met over any few inputs.
    f[at.owed + source] += f[at.lean + source]
    if f[at.owed + source] < 0.5:
        return s.LOCAL
    f[at.owed + source] -= 1.0
    return s.DISTRIBUTED


def expect(at: Layout, i: Ints, f: Floats) -> None:
    """Inputs of every source to reckon with: its reservoir and what will come meanwhile."""
    longest_s = 0.0
    for node in range(at.nodes):
        due_s = f[at.due_s + node]
        if at.blocking:
            due_s += f[at.wire_due_s + node]
        source = i[at.source_at + node]
        if source != s.NONE:
            # What waits in a reservoir is counted as local: who will run it is not decided.
            waiting = i[at.come + source] - i[at.taken + source]
            due_s += waiting * f[at.whole_s + i[at.epoch] * at.nodes + node]
        longest_s = max(longest_s, due_s)
    # Rates are known from the past alone; no further ahead than there is past to judge by.
    now = f[at.now]
    longest_s = min(longest_s, now)
    for source in range(at.sources):
        come = i[at.come + source]
        expected = float(come - i[at.taken + source])
        if come > 0 and now > 0:
            # Totals are not known to a policy: long silence is the only sign of an end.
            last_s = f[at.arrival_s + i[at.first + source] + come - 1]
            if (now - last_s) * come < SILENCE * last_s:
                expected += longest_s * come / now
        f[at.expected + source] = expected


def distributing_is_lighter(at: Layout, i: Ints, f: Floats, source: int) -> bool:
    """Whether one more distributed input raises the sum less than a local one.

    The sum's derivative by one input of a way: Σ_r (W_r + P)^6 · s_r, with s_r the seconds that the
    way takes of resource r.
    """
    epoch = i[at.epoch]
    row = (epoch * at.sources + source) * at.nodes
    home = i[at.source_node + source]
    # A local input occupies its source's worker alone.
    local = price(expected_worker_s(at, i, f, home), f[at.patience_s])
    local *= f[at.whole_s + epoch * at.nodes + home]
    # A shared medium is one resource: all that anybody sends waits for it.
    medium_s = 0.0
    if at.medium == s.SHARED:
        for node in range(at.nodes):
            medium_s += expected_link_s(at, i, f, node)
    distributed = 0.0
    for node in range(at.nodes):
        wire = f[at.part_wire_s + row + node]
        link = f[at.part_port_s + row + node]
        part = f[at.part_s + row + node]
        if part == 0 and link == 0:
            continue  # it takes nothing of this worker: whatever that is due does not matter
        # Blocking sends take the worker's time as well as the link's.
        busy = part + wire if at.blocking else part
        distributed += price(expected_worker_s(at, i, f, node), f[at.patience_s]) * busy
        if at.medium == s.SHARED:
            distributed += price(medium_s, f[at.patience_s]) * wire
        else:
            distributed += price(expected_link_s(at, i, f, node), f[at.patience_s]) * link
    return distributed < local


def price(due_s: float, patience_s: float) -> float:
    """What one second more counts for where so much is due: the sixth power."""
    # By products: ``**`` of machine code and of Python may differ in the last bit.
    cube = (due_s + patience_s) * (due_s + patience_s) * (due_s + patience_s)
    return cube * cube


def expected_worker_s(at: Layout, i: Ints, f: Floats, node: int) -> float:
    """Seconds that a worker is due, expected inputs by their sources' shares included: W_r."""
    epoch = i[at.epoch]
    seconds = f[at.due_s + node]
    if at.blocking:
        seconds += f[at.wire_due_s + node]
    for source in range(at.sources):
        spot = (epoch * at.sources + source) * at.nodes + node
        share = f[at.lean + source]
        each = f[at.part_s + spot] * share
        if at.blocking:
            each += f[at.part_wire_s + spot] * share
        if i[at.source_node + source] == node:
            each += f[at.whole_s + epoch * at.nodes + node] * (1.0 - share)
        seconds += f[at.expected + source] * each
    return seconds


def expected_link_s(at: Layout, i: Ints, f: Floats, node: int) -> float:
    """Seconds that a worker's interface is due, expected inputs included: W_r of a link."""
    seconds = f[at.port_due_s + node]
    for source in range(at.sources):
        spot = (i[at.epoch] * at.sources + source) * at.nodes + node
        seconds += f[at.expected + source] * f[at.part_port_s + spot] * f[at.lean + source]
    return seconds


def nearest_to_done(at: Layout, i: Ints, f: Floats, node: int) -> int:
    """Of the first items of a worker's queues, the one with the least work left.

    Work that others have put into an item is not left lying, and what is short goes first, as
    shortest-remaining-time does for the mean time per input. Left is counted at this worker's own
    speed, as if it ran all of the rest, so that only how far an item has come decides.
    """
    best, best_left = s.NONE, 0.0
    epoch = i[at.epoch]
    for place in range(node * at.kinds, (node + 1) * at.kinds):
        if i[at.length + place]:
            done = i[at.units_done + i[at.head + place]]
            left = f[at.done_s + node * at.points + at.units]
            left -= f[at.done_s + node * at.points + done]
            left *= f[at.pace + epoch * at.nodes + node]
            if best == s.NONE or left < best_left:
                best, best_left = place, left
    return best
