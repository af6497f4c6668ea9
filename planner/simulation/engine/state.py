"""What a run works on: one array of integers, one of floats, and where in them everything stands.

A compiled function pays for every array that it is handed, so there are two, and `Layout` says
where each table begins: ``f[at.busy_s + node]``. Plain runs use two lists.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import NamedTuple

Ints = MutableSequence[int]
Floats = MutableSequence[float]

NEVER = 1e300
NONE = -1

# Policies. USER: the engine stops and asks.
USER, FIRST_COME, MS_MDI, BALANCE = 0, 1, 2, 3
# Where an input goes; TO_WORKER + n runs it whole on worker n.
HOLD, LOCAL, DISTRIBUTED, TO_WORKER = -1, 0, 1, 2
# What a worker does.
FREE, BUSY, SENDING = 0, 1, 2
# Media.
FULL_DUPLEX, HALF_DUPLEX, SHARED = 0, 1, 2
# Why the engine stops.
FINISHED, PAUSED, ASK_ADMIT, ASK_SERVE, STALLED, LEFT_WITH_WORK, AT_HORIZON = range(7)
# Who follows a worker on a source's route.
LAST, OFF_ROUTE = -1, -2


class Sizes(NamedTuple):
    """How many of everything, and the rules of the run; switches are 0 or 1."""

    nodes: int  # N
    sources: int  # S
    units: int  # U of the model
    points: int  # U + 1
    epochs: int  # E, between churn and drift
    items: int  # inputs of all sources
    most_flights: int
    most_samples: int
    sample_width: int
    factors: int  # random factors on the time of services, 0 or one for every item and worker
    policy: int
    admission: int  # FIRST_COME: LOCAL, DISTRIBUTED, or TO_WORKER for the worker done first
    at_decision: int  # inputs wait in the reservoir until their source decides
    draw: int  # inputs a decision takes out of the reservoir; -1: all of them
    corrected: int
    ties_local: int
    may_idle: int
    blocking: int
    medium: int
    returns: int  # results are sent back to their source
    slotted: int
    charges: int  # somebody asks what work is due, so that it is kept count of


class Layout(NamedTuple):
    """`Sizes`, then where in the arrays each table begins (`planner.simulation.engine.tables`)."""

    nodes: int
    sources: int
    units: int
    points: int
    epochs: int
    items: int
    most_flights: int
    most_samples: int
    sample_width: int
    factors: int
    policy: int
    admission: int
    at_decision: int
    draw: int
    corrected: int
    ties_local: int
    may_idle: int
    blocking: int
    medium: int
    returns: int
    slotted: int
    charges: int
    # Integers that a run never changes.
    source_node: int  # (S,)
    source_at: int  # (N,): its source, or NONE
    alive: int  # (E, N)
    owner: int  # (E, S, U): who runs a unit
    stop: int  # (E, S, U): where that worker's share ends
    follows: int  # (E, S, N): who comes next, LAST or OFF_ROUTE
    first: int  # (S + 1,): where each source's items begin
    channel_out: int  # (N,): what a sender occupies
    channel_in: int  # (N,): what a receiver occupies
    # Integers that it does.
    epoch: int
    arrived: int
    finished: int
    sequence: int
    samples: int
    flights: int
    events: int
    asked: int
    answer: int
    answered: int
    lost: int  # 1: a message came to a worker that had left
    resent: int
    ticked: int  # 1: a slot begins now
    ticks: int
    idle_ticks: int  # slots in a row in which nothing was begun
    come: int  # (S,): inputs that came
    taken: int  # (S,): that left the reservoir
    out: int  # (S,): that are finished
    held: int  # (S,): 1: a user's policy holds its inputs for this instant
    cpu: int  # (N,): FREE, BUSY or SENDING
    cpu_item: int  # (N,)
    life: int  # (N,): how often it has left
    out_head: int  # (N,): outbox
    out_tail: int  # (N,)
    out_count: int  # (N,)
    wire_item: int  # (N,)
    dirty: int  # (N,): 1: decides when free
    draws: int  # (N,): 1 + inputs drawn in this decision; 0: it may draw none
    holds: int  # (N,): items in its queues
    head: int  # (N, 2S): queues, parts of every source's model, then whole models
    tail: int  # (N, 2S)
    length: int  # (N, 2S)
    item_source: int  # (items,)
    units_done: int  # (items,)
    up_to: int  # (items,): units that are done after the worker it waits at
    came: int  # (items,): units that were done when it came to the worker that holds it
    behind: int  # (items,): the next one in its queue or outbox
    pred: int  # (items,): who sent it
    pred_life: int  # (items,)
    goes_to: int  # (items,): its receiver; of a whole model, who runs it
    goes_life: int  # (items,)
    order: int  # (items,)
    whole: int  # (items,)
    channel: int  # (2N,): 1: occupied
    flight_order: int  # (most_flights,): heap of messages under way
    flight_item: int  # (most_flights,)
    sample: int  # (most_samples, sample_width): queues, outboxes, reservoirs
    # Floats that a run never changes.
    slot_s: int
    horizon_s: int
    patience_s: int  # BALANCE: backlog that counts as none
    done_s: int  # (N, U + 1): seconds of the first u units
    send_s: int  # (N, N, U + 1): seconds that a link carries what u units leave
    delay_s: int  # (N, N)
    change_s: int  # (E,)
    pace: int  # (E, N): seconds per second of `done_s`
    wire_pace: int  # (E, N): the same of `send_s`
    part_s: int  # (E, S, N): seconds of one distributed input at each worker
    part_wire_s: int  # (E, S, N): seconds that each worker sends for it
    part_port_s: int  # (E, S, N): seconds that it occupies each worker's interface
    whole_s: int  # (E, N)
    ship_s: int  # (E, S, N): seconds that its source sends an input to each worker
    arrival_s: int  # (items,)
    factor: int  # (factors,)
    # Floats that it does.
    now: int
    next_tick: int
    next_cpu: int
    next_wire: int
    next_come: int
    next_sample: int
    sample_step: int
    in_system_area: int
    cpu_until: int  # (N,)
    wire_until: int  # (N,)
    busy_s: int  # (N,)
    held_s: int  # (N,)
    sent_s: int  # (N,)
    due_s: int  # (N,): admitted work that it is still to do
    wire_due_s: int  # (N,): and to send
    port_due_s: int  # (N,): and for its interface to be occupied by parts
    wire_began: int  # (N,)
    lean: int  # (S,): BALANCE: share of the reservoir that is expected to be distributed
    cpu_began: int  # (N,)
    owed: int  # (S,)
    expected: int  # (S,)
    finish_s: int  # (items,)
    started_s: int  # (items,)
    flight_s: int  # (most_flights,)
    sample_s: int  # (most_samples,)
