"""What a run works on: one array of integers, one of floats, and where in them everything stands.

A compiled function pays for every array that it is handed, so there are two, and `Layout` says
where each table begins: ``f[at.busy_s + node]``. Plain runs use two lists.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of everything, and the rules of the run; switches are 0 or 1."""

    nodes: int  # N
    sources: int  # S
    units: int  # U of the model
    points: int  # U + 1
    epochs: int  # E, between churn and drift
    items: int  # inputs of all sources
    most_flights: int  # messages under way at once, on links with a delay
    most_samples: int
    sample_width: int  # numbers of a sample: N * 2S queues, N outboxes, S reservoirs
    factors: int  # random factors on the time of services, 0 or one for every item and worker
    policy: int
    admission: int  # FIRST_COME: LOCAL, DISTRIBUTED, or TO_WORKER for the worker done first
    at_decision: int  # inputs wait in the reservoir until their source decides
    draw: int  # inputs a decision takes out of the reservoir; -1: all of them
    corrected: int  # MS-MDI: the last worker of a route subtracts nothing in equation (2)
    ties_local: int  # MS-MDI: of equal queues the local one
    may_idle: int  # MS-MDI: an empty queue that weighs more keeps a worker from serving
    blocking: int  # a worker computes nothing while it sends
    medium: int
    returns: int  # results are sent back to their source
    slotted: int  # decisions are made at slots of `slot_s` only
    counts_due: int  # the policy looks at `due_s` and its like; others spare the counting


@dataclass(frozen=True, slots=True)
class Layout(Sizes):
    """`Sizes`, then where in the arrays each table begins (`planner.simulation.engine.tables`).

    A table that has no shape here is a single number.
    """

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
    concerns: int  # the source or worker that the engine stopped for
    answer: int
    answered: int
    lost: int  # 1: a message came to a worker that had left
    resent: int
    ticked: int  # 1: a slot begins now
    ticks: int
    idle_ticks: int  # slots in a row in which nothing was begun
    come: int  # (S,): inputs that came
    taken: int  # (S,): that left the reservoir
    finished_of: int  # (S,): that are finished
    on_hold: int  # (S,): 1: a user's policy holds its inputs for this instant
    cpu: int  # (N,): FREE, BUSY or SENDING
    cpu_item: int  # (N,)
    life: int  # (N,): how often it has left
    out_head: int  # (N,): outbox
    out_tail: int  # (N,)
    out_count: int  # (N,)
    wire_item: int  # (N,)
    awake: int  # (N,): 1: decides when free
    draws: int  # (N,): 1 + inputs that its source drew in this decision; 0: it may draw none
    queued: int  # (N,): items in its queues
    head: int  # (N, 2S): queues, parts of every source's model, then whole models
    tail: int  # (N, 2S)
    length: int  # (N, 2S)
    item_source: int  # (items,)
    units_done: int  # (items,)
    up_to: int  # (items,): units that are done after the worker it waits at
    units_on_entry: int  # (items,): units that were done when it came to the worker that holds it
    behind: int  # (items,): the next one in its queue or outbox
    pred: int  # (items,): who sent it
    pred_life: int  # (items,)
    goes_to: int  # (items,): its receiver; of a whole model, who runs it
    goes_life: int  # (items,)
    order: int  # (items,): `sequence` when it came to its queue or outbox
    whole: int  # (items,): 1: one worker runs the whole model
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
    in_system_area: int  # inputs in the system, integrated over seconds
    cpu_until: int  # (N,)
    wire_until: int  # (N,)
    busy_s: int  # (N,): it computed
    held_s: int  # (N,): blocking sends kept it from computing
    sent_s: int  # (N,): its link was used
    due_s: int  # (N,): admitted work that it is still to do
    wire_due_s: int  # (N,): and to send
    port_due_s: int  # (N,): and for its interface to be occupied by parts
    wire_began: int  # (N,)
    cpu_began: int  # (N,)
    lean: int  # (S,): BALANCE: share of its inputs that a source means to distribute
    owed: int  # (S,): BALANCE: inputs that it should have distributed by that, less those it did
    expected: int  # (S,): BALANCE: inputs to reckon with, not only those that are there
    finish_s: int  # (items,): -1: not yet
    started_s: int  # (items,): -1: not yet
    flight_s: int  # (most_flights,): when a message under way comes
    sample_s: int  # (most_samples,)
