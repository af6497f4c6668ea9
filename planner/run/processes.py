"""One node's process: it meets the others, checks that all mean the same, and runs its share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

from planner.errors import BadInputError, NodeLostError, PlannerError
from planner.meeting import (
    Environment,
    Meeting,
    environment,
    first_line,
    open_store,
    torch_distributed,
)
from planner.run import clocks
from planner.run.cards import Card, check_cards, check_messages
from planner.run.channel import Bound, Channel, Gloo
from planner.run.clocks import Offset
from planner.run.faults import Beats, Watch
from planner.run.loop import Beginning, Doing, Feed, Job, Loop, LostError, Output, Stamps, Take
from planner.run.messages import Messages, messages_of
from planner.run.share import Share

_RUN = "plans are run"
_PREFIX = "run"
START_S = 60.0
"""For which all others are waited for at first, unless more is said."""

_LEAST_AHEAD_NS = 500_000
_FINGERPRINT_BYTES = 8


@dataclass(frozen=True)
class Options:
    """How a process runs.

    Attributes
    ----------
    timeout_s : float
        For which one message of another process is waited for.
    start_s : float
        For which all others are waited for at first: interpreters start at different speeds.
    threads : int
        To compute with.
    bound : Bound
    """

    timeout_s: float = 30.0
    start_s: float = START_S
    threads: int = 1
    bound: Bound = field(default_factory=Bound)


@dataclass(frozen=True)
class Ran:
    """What a process did.

    Attributes
    ----------
    job : Job
        As the source has it.
    stamps : Stamps
    offsets : (Offset, Offset)
        Of the own clock, before and behind all runs.
    """

    job: Job
    stamps: Stamps
    offsets: tuple[Offset, Offset]


def engine_label(engine: str) -> str:
    """What runs segments, with its version; messages go through gloo of torch."""
    torch_label = f"torch {torch.__version__}, gloo"
    if engine == "onnxruntime":
        return f"onnxruntime {version(engine)}, {torch_label}"
    return torch_label if engine == "torch" else f"torch.compile of {torch_label}"


def own_version() -> str:
    """Of this package, as it is installed."""
    try:
        return version("disco-planner")
    except PackageNotFoundError:
        return "unknown"


def place_of_run(nodes: Sequence[str], here: Environment | None = None) -> Environment:
    """Place of this process among those of a plan's nodes.

    Parameters
    ----------
    nodes : sequence of str
    here : Environment, optional
        By default what torchrun told.

    Raises
    ------
    BadInputError
        torchrun did not start it, or not one process for every node.
    """
    how_to_start = (
        f"start one on every node under torchrun, such as: torchrun --nnodes {len(nodes)} "
        "--node-rank 0 --nproc-per-node 1 --master-addr FIRST_NODE --master-port 29500 "
        "-m planner.run PLAN --slices DIR; or try it on this machine alone with planner run --local"
    )
    here = here or environment(what="a plan is run", how_to_start=how_to_start)
    if here.world != len(nodes):
        raise BadInputError(
            f"the plan runs on {len(nodes)} node{'s' * (len(nodes) > 1)} ({', '.join(nodes)}), "
            f"found {here.world} process{'es' * (here.world > 1)}; {how_to_start}"
        )
    return here


def run_share(
    share: Share,
    job: Job,
    feed: Feed,
    take: Take,
    report: Callable[[Ran], bytes] = lambda _: b"",
    *,
    options: Options = Options(),
    here: Environment | None = None,
    prefix: str = _PREFIX,
) -> list[bytes]:
    """Meet the other processes, run a node's share with them, and part.

    Parameters
    ----------
    share : Share
    job : Job
        The source's counts; what other nodes have is not asked for.
    feed, take : callables
        Called at the source alone: the inputs of a run, and what becomes of its outputs.
    report : callable
        What the node says of its runs.
    options : Options
    here : Environment, optional
        By default what torchrun told.
    prefix : str
        Of everything at the store: another one for another run at the same store.

    Returns
    -------
    list of bytes
        At the source the reports of all nodes, by rank; elsewhere nothing.

    Raises
    ------
    BadInputError
        The processes do not mean the same, or torchrun did not start this one.
    NodeLostError
        One of them stopped or never came: says which.
    """
    here = place_of_run(share.nodes, here)
    store = open_store(here, options.start_s, _RUN)
    names = [f"{name} (rank {rank})" for rank, name in enumerate(share.nodes)]
    meeting = Meeting(store, here, names, options.start_s, prefix, NodeLostError)
    node = _Node(share, meeting, options)
    try:
        return node.all(job, feed, take, report)
    except BaseException as error:
        node.say(error)
        raise
    finally:
        node.end()


def tell(here: Environment, error: PlannerError, node: str, limit_s: float) -> None:
    """Let the others know what a process ends from, if it has not met them yet."""
    with suppress(PlannerError):
        store = open_store(here, limit_s, _RUN, keeps=False)
        Meeting(store, here, [], limit_s, _PREFIX).fail(f"{node} stopped: {error}")


class _Node:
    """The steps of `run_share`, and what they leave behind for each other."""

    def __init__(self, share: Share, meeting: Meeting, options: Options) -> None:
        self._share, self._meeting, self._options = share, meeting, options
        self._doing = Doing()
        self._beats: Beats | None = None

    def all(self, job: Job, feed: Feed, take: Take, report: Callable[[Ran], bytes]) -> list[bytes]:
        share, meeting = self._share, self._meeting
        cards = self._cards(job)
        nodes = tuple(card.node for card in cards)
        ranks = {name: rank for rank, name in enumerate(nodes)}
        meeting.names = list(nodes)
        source = ranks[share.source]
        job = cards[source].job
        ends = share.ends(in_step=job.window == 1)
        messages = messages_of(share.program, ends)
        self._check(messages, nodes)
        outputs = self._outputs(nodes, source)
        watch = Watch(meeting, nodes)
        self._start_beats(watch)
        try:
            channel = self._channel()
            meeting.time_limit_s = self._options.timeout_s
            before = self._aligned(channel, nodes, source)
            ahead_ns = _LEAST_AHEAD_NS + 4 * before.error_ns
            loop = Loop(
                share.program,
                ends,
                messages,
                ranks,
                channel,
                job,
                outputs,
                self._options.timeout_s,
                self._doing,
                Beginning(ahead_ns, before.ahead_ns),
            )
            torch.set_num_threads(self._options.threads)
            stamps = loop.run(feed, take)
            after = self._aligned(channel, nodes, source)
        except LostError as error:
            raise watch.lost(error, self._doing.run) from error
        self._doing.now = "", "the end"
        found = meeting.gathered("report", report(Ran(job, stamps, (before, after))), at=source)
        meeting.gathered("parting", b"-")
        meeting.leave()
        return found

    def say(self, error: BaseException) -> None:
        """Tell the others what this process ends from."""
        name = self._share.node
        if isinstance(error, NodeLostError):
            self._meeting.fail(str(error))
        elif isinstance(error, PlannerError):
            self._meeting.fail(f"{name} stopped: {error}")
        else:
            words = f"{type(error).__name__}: {first_line(error)}"
            self._meeting.fail(f"{name} stopped at {self._doing.now[1]}: {words}")

    def end(self) -> None:
        """Leave no thread behind."""
        if self._beats:
            self._beats.stop()

    def _cards(self, job: Job) -> list[Card]:
        share = self._share
        mine = Card(share.node, share.plan_digest, share.slices_digest, job, own_version())
        said = self._meeting.gathered("card", mine.packed())
        cards = [Card.read(content, rank) for rank, content in enumerate(said)]
        check_cards(cards, share.nodes)
        return cards

    def _check(self, messages: Messages, nodes: Sequence[str]) -> None:
        mine = [messages.fingerprint(peer, sent=sent) for sent in (True, False) for peer in nodes]
        said = self._meeting.gathered("messages", b"".join(mine))
        size = _FINGERPRINT_BYTES
        check_messages(
            [[text[at : at + size] for at in range(0, len(text), size)] for text in said], nodes
        )

    def _outputs(self, nodes: Sequence[str], source: int) -> dict[str, Output]:
        """Where the parts of all nodes lie, at the source."""
        share = self._share
        own = [share.positions[name] for name in share.parts if name in share.positions]
        mine = [numbers.to(torch.int64).numpy().tobytes() for numbers in own]
        said = self._meeting.gathered("positions", b"".join(mine), at=source)
        found = {name: Output(shape, {}) for name, shape in share.outputs.items()}
        for node, content in zip(nodes, said, strict=bool(said)):
            numbers = np.frombuffer(content, dtype=np.int64).copy()
            start = 0
            for name, parts in share.parts.items():
                stop = start + (parts[node].size if node in parts else 0)
                if stop > start:
                    found[name].positions[node] = torch.from_numpy(numbers[start:stop])
                start = stop
            if start != len(numbers):
                raise BadInputError(f"{node}: its slices hold other parts of the outputs")
        return found if said else {}

    def _start_beats(self, watch: Watch) -> None:
        meeting = self._meeting
        store = open_store(meeting.here, meeting.time_limit_s, _RUN, keeps=False)
        self._beats = Beats(store, watch.beat_key(self._share.node), self._doing)
        self._beats.start()

    def _channel(self) -> Channel:
        meeting, here = self._meeting, self._meeting.here
        self._doing.now = "", "connecting to the other nodes"
        store = torch_distributed(_RUN).PrefixStore(f"{meeting.prefix}/gloo", meeting.store)
        try:
            return Gloo(store, here.rank, here.world, self._options.start_s, self._options.bound)
        except RuntimeError as error:
            said = meeting.failure
            raise NodeLostError(
                said or f"{self._share.node} cannot connect to all others: {first_line(error)}"
            ) from error

    def _aligned(self, channel: Channel, nodes: Sequence[str], source: int) -> Offset:
        here = self._meeting.here

        def waits(peer: int) -> None:
            self._doing.now = nodes[peer], "a stamp of its clock"

        try:
            return clocks.align(
                channel, here.rank, source, here.world, self._options.timeout_s, waits
            )
        except clocks.SilentError as error:
            raise LostError(nodes[error.peer], self._doing.now[1], error.reason) from error
