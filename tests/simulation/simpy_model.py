"""The same ring of workers as SimPy processes, written without the engine: an oracle and a peer.

Local, AR-MDI and MS-MDI (corrected or literal, one input a decision) over links that are full
duplex or one shared medium, blocking or not, without churn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from planner.simulation.network import Network

DECISION = 2  # SimPy's priorities: 0 urgent, 1 normal; workers decide when all else has happened


class Worker:
    def __init__(self, ring: Ring, node: int) -> None:
        self.ring, self.node = ring, node
        sources = len(ring.network.source_node)
        self.parts: list[deque[int]] = [deque() for _ in range(sources)]
        self.local: deque[int] = deque()
        self.came: dict[int, int] = {}
        self.free = True
        self.woken = False

    def wake(self) -> None:
        self.woken = True
        self.ring.call_decisions()


class Ring:
    def __init__(
        self,
        network: Network,
        arrivals: list[np.ndarray],
        policy: str,
        blocking: bool,
        corrected: bool = True,
    ) -> None:
        self.env = simpy.Environment()
        self.network, self.policy = network, policy
        self.blocking, self.corrected = blocking, corrected
        self.routes = [network.route(s) for s in range(len(arrivals))]
        self.step = [{node: k for k, (node, _, _) in enumerate(r)} for r in self.routes]
        self.reservoir: list[deque[int]] = [deque() for _ in arrivals]
        self.source_of: list[int] = []
        self.finish = np.full(sum(map(len, arrivals)), np.nan)
        self.orders = 0
        self.called = False
        shared = network.medium == "shared"
        one = simpy.Resource(self.env)
        names = network.names
        self.links = [one if shared else simpy.Resource(self.env) for _ in names]
        self.workers = [Worker(self, node) for node in range(len(names))]
        for source, times in enumerate(arrivals):
            first = len(self.source_of)
            self.source_of += [source] * len(times)
            self.env.process(self.arrive(source, times, first))

    def run(self) -> np.ndarray:
        self.env.run()
        return self.finish

    def arrive(self, source: int, times: np.ndarray, first: int) -> Generator[Any]:
        home = self.workers[self.network.source_node[source]]
        for k, when in enumerate(times.tolist()):
            # Absolute: adding up intervals would round.
            wait = self.env.event()
            wait._ok, wait._value = True, None
            self.env.schedule(wait, delay=when - self.env.now)
            yield wait
            if self.policy == "ms-mdi":
                self.reservoir[source].append(first + k)
            elif self.policy == "local":
                home.local.append(first + k)
            else:
                self.hand(home, first + k)
            home.wake()

    def hand(self, worker: Worker, item: int) -> None:
        worker.parts[self.source_of[item]].append(item)
        self.orders += 1
        worker.came[item] = self.orders
        worker.wake()

    def call_decisions(self) -> None:
        if not self.called:
            self.called = True
            call = self.env.event()
            call._ok, call._value = True, None
            call.callbacks.append(self.decide)
            self.env.schedule(call, priority=DECISION)

    def decide(self, _: simpy.Event) -> None:
        self.called = False
        for worker in self.workers:
            if not (worker.free and worker.woken):
                continue
            worker.woken = False
            if self.policy == "ms-mdi":
                self.draw(worker)
            choice = self.choose(worker)
            if choice is not None:
                worker.free = False
                self.env.process(self.serve(worker, choice))

    def draw(self, worker: Worker) -> None:
        for source, node in enumerate(self.network.source_node):
            if node == worker.node and self.reservoir[source]:
                item = self.reservoir[source].popleft()
                if len(worker.local) < len(worker.parts[source]):
                    worker.local.append(item)
                else:
                    self.hand(worker, item)
                worker.woken = False

    def choose(self, worker: Worker) -> int | None:
        """A source's number, -1 for the local queue, None for nothing."""
        if self.policy == "local":
            return -1 if worker.local else None
        waiting = [s for s, queue in enumerate(worker.parts) if queue]
        if self.policy == "ar-mdi":
            return min(waiting, key=lambda s: worker.came[worker.parts[s][0]], default=None)
        best, most = None, None
        for source in waiting:
            route, k = self.routes[source], self.step[source][worker.node]
            pressure = len(worker.parts[source])
            if k + 1 < len(route):
                pressure -= len(self.workers[route[k + 1][0]].parts[source])
            elif not self.corrected:
                home = self.network.source_node[source]
                pressure -= len(self.workers[home].parts[source])
            if most is None or pressure > most:
                best, most = source, pressure
        if worker.local and (most is None or len(worker.local) > most):
            best = -1
        return best

    def serve(self, worker: Worker, choice: int) -> Generator[Any]:
        done = self.network.done_s[worker.node]
        if choice == -1:
            item = worker.local.popleft()
            yield self.env.timeout(float(done[-1] - done[0]))
            self.finish[item] = self.env.now
        else:
            item = worker.parts[choice].popleft()
            k = self.step[choice][worker.node]
            _, begin, end = self.routes[choice][k]
            yield self.env.timeout(float(done[end] - done[begin]))
            if k + 1 == len(self.routes[choice]):
                self.finish[item] = self.env.now
            elif self.blocking:
                yield from self.send(worker, item, k)
            else:
                self.env.process(self.send(worker, item, k))
        worker.free = True
        worker.wake()

    def send(self, worker: Worker, item: int, k: int) -> Generator[Any]:
        route = self.routes[self.source_of[item]]
        receiver, units, _ = route[k + 1]
        with self.links[worker.node].request() as grant:
            yield grant
            seconds = self.network.send_s[worker.node, receiver, units]
            yield self.env.timeout(float(seconds))
        delay = self.network.delay_s[worker.node, receiver]
        if delay > 0:
            self.env.process(self.fly(receiver, item, float(delay)))
        else:
            self.hand(self.workers[receiver], item)

    def fly(self, receiver: int, item: int, delay: float) -> Generator[Any]:
        yield self.env.timeout(delay)
        self.hand(self.workers[receiver], item)
