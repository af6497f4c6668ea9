"""Policies: what a source does with its next input, and which queue a free worker serves.

A policy of your own is a class with two methods; everything it may look at is in `View`:

    class AllToTheNext(Policy):
        name = "all-to-the-next"

        def admit(self, view: View, source: int) -> int:
            return DISTRIBUTED if view.waiting(view.home(source), source) < 4 else LOCAL

        def serve(self, view: View, node: int) -> Queue | None:
            return max(view.queues(node), key=lambda queue: queue.length, default=None)

    simulate(scenario, [AllToTheNext()])  # or planner simulate … --policy module:AllToTheNext

``admit`` answers LOCAL (the source runs the whole model), DISTRIBUTED (AR-MDI's route),
``to_worker(n)`` (worker n runs the whole model) or HOLD (not yet). It is asked when an input comes,
or, with ``at_decision = True``, when the source's own node is about to choose what to serve; the
input waits in the reservoir until then. ``serve`` answers one of the queues that hold something,
or None to idle until something changes. The engine stays compiled; only the two methods run in
Python. `tests/simulation/test_policies.py` holds complete examples.
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.errors import BadInputError
from planner.simulation.engine import state as s
from planner.simulation.engine.state import Floats, Ints, Layout
from planner.simulation.scenario import POLICIES, MsMdiSettings

HOLD, LOCAL, DISTRIBUTED = s.HOLD, s.LOCAL, s.DISTRIBUTED


def to_worker(node: int) -> int:
    """The answer of ``admit`` that has worker ``node`` run the whole model."""
    return s.TO_WORKER + node


@dataclass(frozen=True)
class Queue:
    """A queue that holds something: parts of a source's model, or its whole model."""

    source: int
    whole: bool
    length: int


@dataclass(frozen=True)
class View:
    """What a policy may look at; it changes nothing. Workers and sources are counted from 0."""

    at: Layout
    i: Ints
    f: Floats

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return self.f[self.at.now]

    def home(self, source: int) -> int:
        """The worker that a source is at."""
        return self.i[self.at.source_node + source]

    def waiting(self, node: int, source: int, whole: bool = False) -> int:
        """q_n^j: parts that wait at a worker for a source; whole models where asked for."""
        place = (2 * node + whole) * self.at.sources + source
        return self.i[self.at.length + place]

    def queues(self, node: int) -> list[Queue]:
        """The queues of a worker that hold something: parts first, then whole models."""
        return [
            Queue(source, whole, length)
            for whole in (False, True)
            for source in range(self.at.sources)
            if (length := self.waiting(node, source, whole))
        ]

    def reservoir(self, source: int) -> int:
        """μ_i: inputs that came and have not been admitted."""
        return self.i[self.at.come + source] - self.i[self.at.taken + source]

    def next_worker(self, node: int, source: int) -> int | None:
        """Who comes behind a worker on a source's route; None behind the last."""
        after = self.i[self.at.follows + self._row(source) * self.at.nodes + node]
        return after if after >= 0 else None

    def due_s(self, node: int) -> float:
        """Seconds of admitted work that a worker is still to do, or has begun."""
        return self.f[self.at.due_s + node]

    def to_send_s(self, node: int) -> float:
        """Seconds of admitted messages that a worker is still to send."""
        return self.f[self.at.wire_due_s + node]

    def whole_s(self, node: int) -> float:
        """Seconds of a whole model on a worker."""
        return self.f[self.at.whole_s + self.i[self.at.epoch] * self.at.nodes + node]

    def part_s(self, node: int, source: int) -> float:
        """Seconds of a worker's part of a source's model."""
        return self.f[self.at.part_s + self._row(source) * self.at.nodes + node]

    def part_send_s(self, node: int, source: int) -> float:
        """Seconds that a worker sends for one distributed input of a source."""
        return self.f[self.at.part_wire_s + self._row(source) * self.at.nodes + node]

    def _row(self, source: int) -> int:
        return self.i[self.at.epoch] * self.at.sources + source


class Policy:
    """Base of a user's policy."""

    name = "mine"
    at_decision = False
    draw: int | None = 1  # inputs that a decision may admit, with ``at_decision``; None: any number

    def admit(self, view: View, source: int) -> int:
        """Where the next input of a source goes."""
        raise NotImplementedError

    def serve(self, view: View, node: int) -> Queue | None:
        """Which queue a free worker serves; it holds something when it is asked."""
        raise NotImplementedError


@dataclass(frozen=True)
class Rule:
    """A built-in policy in the engine's numbers, or the shell of a user's.

    Attributes
    ----------
    policy, admission, draw : as in `planner.simulation.engine.state.Sizes`
    at_decision : inputs wait in the reservoir until their source's worker decides
    corrected, ties_local, idles : how MS-MDI's text is read (`MsMdiSettings`)
    slot_s : seconds between decisions; None: whenever a worker is free
    modes : ways of `planner.simulation.bound` that it may use, for what it can carry
    user : whom the engine asks; None: a built-in policy
    follows : the policy that this one chose before the run; None: it is one itself
    """

    name: str
    policy: int
    admission: int = s.HOLD
    at_decision: bool = False
    draw: int = 1
    corrected: bool = True
    ties_local: bool = False
    idles: bool = False
    slot_s: float | None = None
    modes: tuple[str, ...] = ("local", "distributed")
    user: Policy | None = None
    follows: str | None = None


def rule_of(policy: str | Policy, ms_mdi: MsMdiSettings) -> Rule:
    """The engine's numbers of a policy.

    Raises
    ------
    BadInputError
        There is no policy of that name, or it is ``rehearsed``.
    """
    if isinstance(policy, Policy):
        return Rule(
            policy.name,
            s.USER,
            at_decision=policy.at_decision,
            draw=-1 if policy.draw is None else policy.draw,
            modes=("local", "distributed", "ship"),
            user=policy,
        )
    rules = {
        "local": Rule("local", s.FIRST_COME, s.LOCAL, modes=("local",)),
        "ddi": Rule("ddi", s.FIRST_COME, s.TO_WORKER, modes=("local", "ship")),
        "ar-mdi": Rule("ar-mdi", s.FIRST_COME, s.DISTRIBUTED, modes=("distributed",)),
        "ms-mdi": Rule(
            "ms-mdi",
            s.MS_MDI,
            at_decision=True,
            draw=-1 if ms_mdi.draw == "all" else ms_mdi.draw,
            corrected=ms_mdi.form == "corrected",
            ties_local=ms_mdi.ties == "local",
            idles=ms_mdi.idles,
            slot_s=ms_mdi.slot_s,
        ),
        "balance": Rule("balance", s.BALANCE, at_decision=True),
    }
    if policy == "rehearsed":
        raise BadInputError("policy 'rehearsed': rehearsals choose its rule; use `simulate`")
    if policy not in rules:
        raise BadInputError(f"policy {policy!r}: unknown; there are {', '.join(POLICIES)}")
    return rules[policy]
