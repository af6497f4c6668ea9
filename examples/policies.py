"""A policy of one's own: ``planner simulate SCENARIO --policy examples.policies:LeastBacklog``."""

from __future__ import annotations

from planner.simulation.policies import DISTRIBUTED, LOCAL, Policy, Queue, View


class LeastBacklog(Policy):
    """Whichever way leaves the busiest of its workers with less to do, in seconds."""

    name = "least-backlog"

    def admit(self, view: View, source: int) -> int:
        """Asked for every input: what would be due after it, either way."""
        home = view.home(source)
        local_s = view.due_s(home) + view.whole_s(home)
        distributed_s = max(
            view.due_s(node) + view.part_s(node, source) + view.part_send_s(node, source)
            for node in range(view.at.nodes)
        )
        return DISTRIBUTED if distributed_s < local_s else LOCAL

    def serve(self, view: View, node: int) -> Queue | None:
        """Asked of every free worker that holds something: the longest queue."""
        return max(view.queues(node), key=lambda queue: queue.length)
