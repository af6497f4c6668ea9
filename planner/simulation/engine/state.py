"""What a run works on: one array of integers, one of floats, and where in them everything stands.

A compiled function pays for every array that it is handed, so there are two, and `Layout` says
where each table begins: ``f[at.busy_s + node]``. Plain runs use two lists.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Annotated

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
    channels: int  # 2N: what messages occupy
    sources: int  # S
    edges: int  # S + 1: where every source's items begin, and the last one's end
    kinds: int  # K = 2S: of a worker's queues: parts of every source's model, then whole models
    units: int  # U of the model
    points: int  # P = U + 1
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


# Fields of `Layout`: where a table of integers or of floats begins. Its shape is named by fields of
# `Sizes`, and read from here when tables are laid out.
Int = Annotated[int, int]
IntS = Annotated[int, int, "sources"]
IntN = Annotated[int, int, "nodes"]
IntNK = Annotated[int, int, "nodes", "kinds"]
IntEN = Annotated[int, int, "epochs", "nodes"]
IntESN = Annotated[int, int, "epochs", "sources", "nodes"]
IntESU = Annotated[int, int, "epochs", "sources", "units"]
IntEdges = Annotated[int, int, "edges"]
IntChannels = Annotated[int, int, "channels"]
IntItems = Annotated[int, int, "items"]
IntFlights = Annotated[int, int, "most_flights"]
IntSample = Annotated[int, int, "most_samples", "sample_width"]
Float = Annotated[int, float]
FloatS = Annotated[int, float, "sources"]
FloatN = Annotated[int, float, "nodes"]
FloatNP = Annotated[int, float, "nodes", "points"]
FloatNN = Annotated[int, float, "nodes", "nodes"]
FloatNNP = Annotated[int, float, "nodes", "nodes", "points"]
FloatE = Annotated[int, float, "epochs"]
FloatEN = Annotated[int, float, "epochs", "nodes"]
FloatESN = Annotated[int, float, "epochs", "sources", "nodes"]
FloatItems = Annotated[int, float, "items"]
FloatFactors = Annotated[int, float, "factors"]
FloatFlights = Annotated[int, float, "most_flights"]
FloatSamples = Annotated[int, float, "most_samples"]


@dataclass(frozen=True, slots=True)
class Layout(Sizes):
    """`Sizes`, then where in the arrays each table begins (`planner.simulation.engine.tables`).

    A field's type says what its table holds, and its shape; `Int` and `Float` are single numbers.
    """

    # Integers that a run never changes.
    source_node: IntS
    source_at: IntN  # its source, or NONE
    alive: IntEN
    owner: IntESU  # who runs a unit
    stop: IntESU  # where that worker's share ends
    follows: IntESN  # who comes next, LAST or OFF_ROUTE
    first: IntEdges  # where each source's items begin
    channel_out: IntN  # what a sender occupies
    channel_in: IntN  # what a receiver occupies
    # Integers that it does.
    epoch: Int
    arrived: Int
    finished: Int
    sequence: Int
    samples: Int
    flights: Int
    events: Int
    concerns: Int  # the source or worker that the engine stopped for
    answer: Int
    answered: Int
    lost: Int  # 1: a message came to a worker that had left
    resent: Int
    ticked: Int  # 1: a slot begins now
    ticks: Int
    idle_ticks: Int  # slots in a row in which nothing was begun
    come: IntS  # inputs that came
    taken: IntS  # that left the reservoir
    finished_of: IntS  # that are finished
    on_hold: IntS  # 1: a user's policy holds its inputs for this instant
    cpu: IntN  # FREE, BUSY or SENDING
    cpu_item: IntN
    life: IntN  # how often it has left
    out_head: IntN  # outbox
    out_tail: IntN
    out_count: IntN
    wire_item: IntN
    awake: IntN  # 1: decides when free
    draws: IntN  # 1 + inputs that its source drew in this decision; 0: it may draw none
    queued: IntN  # items in its queues
    head: IntNK  # queues
    tail: IntNK
    length: IntNK
    item_source: IntItems
    units_done: IntItems
    up_to: IntItems  # units that are done after the worker it waits at
    units_on_entry: IntItems  # units that were done when it came to the worker that holds it
    behind: IntItems  # the next one in its queue or outbox
    pred: IntItems  # who sent it
    pred_life: IntItems
    goes_to: IntItems  # its receiver; of a whole model, who runs it
    goes_life: IntItems
    order: IntItems  # `sequence` when it came to its queue or outbox
    whole: IntItems  # 1: one worker runs the whole model
    channel: IntChannels  # 1: occupied
    flight_order: IntFlights  # heap of messages under way
    flight_item: IntFlights
    sample: IntSample  # queues, outboxes, reservoirs
    # Floats that a run never changes.
    slot_s: Float
    horizon_s: Float
    patience_s: Float  # BALANCE: backlog that counts as none
    done_s: FloatNP  # seconds of the first u units
    send_s: FloatNNP  # seconds that a link carries what u units leave
    delay_s: FloatNN
    change_s: FloatE
    pace: FloatEN  # seconds per second of `done_s`
    wire_pace: FloatEN  # the same of `send_s`
    part_s: FloatESN  # seconds of one distributed input at each worker
    part_wire_s: FloatESN  # seconds that each worker sends for it
    part_port_s: FloatESN  # seconds that it occupies each worker's interface
    whole_s: FloatEN
    ship_s: FloatESN  # seconds that its source sends an input to each worker
    arrival_s: FloatItems
    factor: FloatFactors
    # Floats that it does.
    now: Float
    next_tick: Float
    next_cpu: Float
    next_wire: Float
    next_come: Float
    next_sample: Float
    sample_step: Float
    in_system_area: Float  # inputs in the system, integrated over seconds
    cpu_until: FloatN
    wire_until: FloatN
    busy_s: FloatN  # it computed
    held_s: FloatN  # blocking sends kept it from computing
    sent_s: FloatN  # its link was used
    due_s: FloatN  # admitted work that it is still to do
    wire_due_s: FloatN  # and to send
    port_due_s: FloatN  # and for its interface to be occupied by parts
    wire_began: FloatN
    cpu_began: FloatN
    lean: FloatS  # BALANCE: share of its inputs that a source means to distribute
    owed: FloatS  # BALANCE: inputs that it should have distributed by that, less those it did
    expected: FloatS  # BALANCE: inputs to reckon with, not only those that are there
    finish_s: FloatItems  # -1: not yet
    started_s: FloatItems  # -1: not yet
    flight_s: FloatFlights  # when a message under way comes
    sample_s: FloatSamples
