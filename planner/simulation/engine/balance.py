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


def balanced_way(at: Layout, i: Ints, f: Floats, source: int) -> int:
    """LOCAL or DISTRIBUTED for the next input of a source."""
    expect(at, i, f)
    step = max(STEP, 1.0 / (2.0 + i[at.taken + source]))
    for _ in range(STEPS):
        for other in range(at.sources):
            if f[at.expected + other] > 0:
                moved = step if distributing_is_lighter(at, i, f, other) else -step
                f[at.lean + other] = min(1.0, max(0.0, f[at.lean + other] + moved))
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
            held = i[at.come + source] - i[at.taken + source]
            due_s += held * f[at.whole_s + i[at.epoch] * at.nodes + node]
        longest_s = max(longest_s, due_s)
    now = f[at.now]
    longest_s = min(longest_s, now)
    for source in range(at.sources):
        come = i[at.come + source]
        expected = float(come - i[at.taken + source])
        if come > 0 and now > 0:
            last_s = f[at.arrival_s + i[at.first + source] + come - 1]
            if (now - last_s) * come < SILENCE * last_s:
                expected += longest_s * come / now
        f[at.expected + source] = expected


def distributing_is_lighter(at: Layout, i: Ints, f: Floats, source: int) -> bool:
    """Whether one more distributed input raises the sum less than a local one."""
    epoch = i[at.epoch]
    row = (epoch * at.sources + source) * at.nodes
    home = i[at.source_node + source]
    local = weight(worker_s(at, i, f, home), f[at.patience_s])
    local *= f[at.whole_s + epoch * at.nodes + home]
    medium_s = 0.0
    if at.medium == s.SHARED:
        for node in range(at.nodes):
            medium_s += link_s(at, i, f, node)
    distributed = 0.0
    for node in range(at.nodes):
        wire = f[at.part_wire_s + row + node]
        link = f[at.part_port_s + row + node]
        part = f[at.part_s + row + node]
        if part == 0 and link == 0:
            continue
        busy = part + wire if at.blocking else part
        distributed += weight(worker_s(at, i, f, node), f[at.patience_s]) * busy
        if at.medium == s.SHARED:
            distributed += weight(medium_s, f[at.patience_s]) * wire
        else:
            distributed += weight(link_s(at, i, f, node), f[at.patience_s]) * link
    return distributed < local


def weight(due_s: float, patience_s: float) -> float:
    """What one second more counts for where so much is due: the sixth power."""
    cube = (due_s + patience_s) * (due_s + patience_s) * (due_s + patience_s)
    return cube * cube


def worker_s(at: Layout, i: Ints, f: Floats, node: int) -> float:
    """Seconds that a worker is due, expected inputs included."""
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


def link_s(at: Layout, i: Ints, f: Floats, node: int) -> float:
    """Seconds that a worker's interface is due, expected inputs included."""
    seconds = f[at.port_due_s + node]
    for source in range(at.sources):
        spot = (i[at.epoch] * at.sources + source) * at.nodes + node
        seconds += f[at.expected + source] * f[at.part_port_s + spot] * f[at.lean + source]
    return seconds


def nearest_to_done(at: Layout, i: Ints, f: Floats, node: int) -> int:
    """Of the first items of a worker's queues, the one with the least work left."""
    best, best_left = s.NONE, 0.0
    epoch = i[at.epoch]
    for place in range(node * 2 * at.sources, (node + 1) * 2 * at.sources):
        if i[at.length + place]:
            done = i[at.units_done + i[at.head + place]]
            left = f[at.done_s + node * at.points + at.units]
            left -= f[at.done_s + node * at.points + done]
            left *= f[at.pace + epoch * at.nodes + node]
            if best == s.NONE or left < best_left:
                best, best_left = place, left
    return best
