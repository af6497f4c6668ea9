"""One worker of the testbed: runs every policy, turn by turn, and writes what happened when.

    python -m benchmarks.multi_source.worker FOLDER

The testbed gives it its rank and its factor. A worker computes in one thread; while a slower node
would still compute, it takes in what comes. All clocks are one: workers share a machine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from app.run_inputs import drawn_inputs
from benchmarks.multi_source.ledger import Ledger, Task
from benchmarks.multi_source.pieces import Piece, Tensors, load_piece, load_whole
from benchmarks.multi_source.predicted import WHOLE, route_name
from benchmarks.multi_source.streams import END, Ears, Heard, Mouth, Stream, streams_of
from planner.domain.cluster import Cluster
from planner.errors import InconsistentResultError, NodeLostError, PlannerError
from planner.meeting import Meeting, environment, first_line, open_store, torch_distributed
from planner.run.channel import Gloo
from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.network import Network
from planner.simulation.policies import rule_of
from planner.simulation.scenario import Scenario
from profiles.files import read_document
from scripts.testbed.nodes import Slowness, own_factor

LIMIT_S = 120.0
"""Longer than any worker waits for another."""
_DOING = "sources share workers"
_HOW_TO_START = "python -m benchmarks.multi_source starts them all"
_AHEAD_S = 1.0  # from the last worker's word to the start
_ALONE = 16  # the first one warms up
_CLOSE = 1e-3  # as sums in another order
# Words say the turn and their kind, then an item, a source, or a source and its queue's length.
_DONE, _OVER, _LENGTH = range(3)
_KINDS = 3
_LENGTHS = 1 << 20


@dataclass(eq=False)
class Worker:
    """What a worker has in all turns.

    Attributes
    ----------
    rank : int
    factor : float
        By how much it is slower than this machine.
    scenario, network : as the simulator has them
    pieces : dict of int to Piece
        By source, the own share of its route.
    whole : Piece
    inputs, outputs : list of dict
        By source: each of its inputs has the same content, and what the whole model makes of it.
    meeting : Meeting
    streams : list of Stream
        That it sends or receives.
    ears : Ears
    mouth : Mouth
    """

    rank: int
    factor: float
    scenario: Scenario
    network: Network
    pieces: dict[int, Piece]
    whole: Piece
    inputs: list[Tensors]
    outputs: list[Tensors]
    meeting: Meeting
    streams: list[Stream]
    ears: Ears
    mouth: Mouth

    @classmethod
    def met(cls, folder: Path) -> Worker:
        """Meet the others, and load what the folder has for this one."""
        here = environment(what="sources share workers", how_to_start=_HOW_TO_START)
        scenario = read_document(folder / "scenario.json", Scenario, what="scenario")
        assert isinstance(scenario.cluster, Cluster)
        network = network_of(scenario)
        sources = range(len(network.source_node))
        pieces = {
            source: load_piece(folder, source, network.names[here.rank])
            for source in sources
            if here.rank in [worker for worker, _, _ in network.route(source)]
        }
        whole, forms = load_whole(folder, scenario.cluster)
        inputs = drawn_inputs(len(sources), forms, scenario.seed)
        store = open_store(here, LIMIT_S, _DOING)
        found = torch_distributed(_DOING).PrefixStore("gloo", store)
        channel = Gloo(found, here.rank, here.world, LIMIT_S)
        streams = streams_of(network, here.rank, pieces)
        return cls(
            rank=here.rank,
            factor=own_factor(),
            scenario=scenario,
            network=network,
            pieces=pieces,
            whole=whole,
            inputs=inputs,
            outputs=[whole.run(values)[1] for values in inputs],
            meeting=Meeting(store, here, [*network.names], LIMIT_S, "turns", NodeLostError),
            streams=streams,
            ears=Ears(channel, [stream for stream in streams if stream.receiver == here.rank]),
            mouth=Mouth(channel, LIMIT_S),
        )

    def stream(self, receiver: int, source: int | None = None) -> Stream:
        """Of parts of a source's inputs, or of words, to another worker."""
        (found,) = (
            stream
            for stream in self.streams
            if (stream.sender, stream.receiver, stream.source) == (self.rank, receiver, source)
        )
        return found

    def home(self, source: int) -> int:
        """The worker that a source is at."""
        return int(self.network.source_node[source])

    def before(self, source: int) -> int | None:
        """Who comes before this worker on a route; None for the first."""
        route = [worker for worker, _, _ in self.network.route(source)]
        place = route.index(self.rank)
        return route[place - 1] if place else None

    def alone(self) -> dict[str, float]:
        """Seconds of each piece, while the worker neither sends nor waits for others."""
        own = {route_name(source): piece for source, piece in self.pieces.items()}
        if self.rank in self.network.source_node:
            own[WHOLE] = self.whole
        given = {
            name: {key: torch.randn(form.shape) for key, form in piece.receives.items()}
            or self.inputs[0]
            for name, piece in own.items()
        }
        times: dict[str, list[float]] = {name: [] for name in own}
        for _ in range(_ALONE):
            # in turns, as in a run: a piece does not find its own weights in the caches
            for name, piece in own.items():
                begin_s = time.perf_counter()
                with Slowness(self.factor):
                    piece.run(given[name])
                times[name].append(time.perf_counter() - begin_s)
        return {name: fmean(found[1:]) for name, found in times.items()}

    def part(self) -> None:
        """Leave, when all others do."""
        for stream in self.streams:
            if stream.sender == self.rank:
                self.mouth.say(stream, stream.letter.written((END, 0), None))
        self.mouth.finish()
        self.ears.close()
        self.meeting.gathered("parting", b"-")
        self.meeting.leave()


class Turn:
    """One run of one policy."""

    def __init__(self, worker: Worker, policy: str, number: int) -> None:
        scenario, network = worker.scenario, worker.network
        arrivals = arrival_times(scenario)
        rule = rule_of(policy, scenario.ms_mdi)
        self._worker, self._number = worker, number
        self._ledger = Ledger(scenario, network, rule, arrivals, worker.rank)
        self._tells = policy == "ms-mdi"
        self._told = dict.fromkeys(worker.pieces, 0)
        self._left = {
            source: len(arrivals[source])
            for source in range(len(arrivals))
            if worker.home(source) == worker.rank
        }
        self._open = set(range(len(arrivals)))  # sources that are not done with all inputs
        self._held: dict[int, Tensors] = {}
        self._slow = Slowness(worker.factor, self._listen_for)
        self._start = 0.0
        self._finish_s: dict[int, float] = {}
        self._lasted: dict[str, list[float]] = {}

    def run(self) -> dict[str, Any]:
        """Take part until all inputs of all sources are done."""
        said = self._worker.meeting.gathered(
            f"start {self._number}", repr(time.perf_counter()).encode()
        )
        self._start = max(float(moment) for moment in said) + _AHEAD_S
        heard_s = 0.0
        while self._open:
            self._ledger.pass_time(self._now_s())
            task = self._ledger.begin()
            self._say_lengths()
            if task:
                self._work(task)
                heard_s = self._now_s()
            elif self._listen(min(self._ledger.next_input_s, heard_s + LIMIT_S)):
                heard_s = self._now_s()
            elif self._now_s() > heard_s + LIMIT_S:
                raise NodeLostError(f"nothing came for {LIMIT_S:g} s")
        self._worker.mouth.finish()
        return {
            "finish_s": self._finish_s,
            "whole": self._ledger.ran_whole(),
            "lasted_s": {name: fmean(found) for name, found in self._lasted.items()},
            "late_s": self._slow.late_s,
        }

    def _now_s(self) -> float:
        return time.perf_counter() - self._start

    def _work(self, task: Task) -> None:
        worker, begin_s = self._worker, self._now_s()
        held = self._held.pop(task.item, None)
        piece = worker.whole if task.whole else worker.pieces[task.source]
        with self._slow:
            posted, outputs = piece.run(held or worker.inputs[task.source])
        now_s = self._now_s()
        name = WHOLE if task.whole else route_name(task.source)
        self._lasted.setdefault(name, []).append(now_s - begin_s)
        finished = self._ledger.end(now_s)
        for item, source, receiver in self._ledger.to_send():
            stream = worker.stream(receiver, source)
            worker.mouth.say(stream, stream.letter.written((self._number, item), posted))
        if finished is not None:
            self._finish_s[finished] = now_s
            self._say([worker.home(task.source)], _DONE, finished)
            self._check(outputs, task.source)

    def _check(self, outputs: Tensors, source: int) -> None:
        for name, wanted in self._worker.outputs[source].items():
            if not torch.allclose(outputs[name].reshape(wanted.shape), wanted, _CLOSE, _CLOSE):
                raise InconsistentResultError(f"{name!r}: the pieces do not make the whole model")

    def _say_lengths(self) -> None:
        """Tell who comes before on a route how many parts wait here, where that has changed."""
        for source, told in self._told.items() if self._tells else ():
            length, before = self._ledger.length(source), self._worker.before(source)
            if length != told and before is not None:
                self._told[source] = length
                self._say([before], _LENGTH, source * _LENGTHS + length)

    def _say(self, receivers: Iterable[int], kind: int, content: int) -> None:
        worker = self._worker
        for receiver in receivers:
            if receiver == worker.rank:
                self._understand(worker.rank, kind, content)
            else:
                stream = worker.stream(receiver)
                first = self._number * _KINDS + kind
                worker.mouth.say(stream, stream.letter.written((first, content), {}))

    def _listen_for(self, seconds: float) -> None:
        """Take in what comes for so long, and tell others of it."""
        until_s = self._now_s() + seconds
        while self._now_s() < until_s:
            self._listen(until_s)
            self._say_lengths()

    def _listen(self, until_s: float) -> bool:
        """Wait for one message, or for an input; whether a message came in time."""
        now_s = self._now_s()
        heard = self._worker.ears.next(min(until_s, self._ledger.next_input_s) - now_s)
        self._ledger.pass_time(self._now_s())
        if heard:
            self._take(heard)
        return heard is not None

    def _take(self, heard: Heard) -> None:
        first, second = heard.stream.letter.numbers(heard.message)
        if heard.stream.source is None:
            number, kind = divmod(first, _KINDS)
            if number == self._number:  # else a length that an earlier turn did not wait for
                self._understand(heard.stream.sender, kind, second)
        else:
            self._held[second] = heard.stream.letter.values(heard.message)
            self._ledger.receive(second)

    def _understand(self, sender: int, kind: int, content: int) -> None:
        if kind == _LENGTH:
            source, length = divmod(content, _LENGTHS)
            self._ledger.hear(sender, source, length)
        elif kind == _OVER:
            self._open.discard(content)
        else:
            ((source, left),) = self._left.items()
            self._left[source] = left - 1
            if left == 1:
                self._say(range(len(self._worker.network.names)), _OVER, source)


def main() -> None:
    """Do all turns of a folder's setting."""
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, Any]]] = {"alone": [], "turns": []}
    with torch.inference_mode():
        worker = Worker.met(folder)
        try:
            for repeat in range(asked["repeats"]):
                worker.meeting.gathered(f"alone {repeat}", b"-")
                found["alone"].append(worker.alone())
                for number, policy in enumerate(asked["policies"]):
                    turn = Turn(worker, policy, repeat * len(asked["policies"]) + number)
                    found["turns"].append({"policy": policy, **turn.run()})
            worker.part()
        except (PlannerError, RuntimeError) as error:
            name = worker.network.names[worker.rank]
            raise SystemExit(worker.meeting.fail(f"{name}: {first_line(error)}")) from error
    out = folder / f"worker-{worker.rank}.json"
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
