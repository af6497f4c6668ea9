"""What one node says of its runs: when it did what, on the source's clock."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from planner.domain.arrays import Frozen, IntArray
from planner.run import clocks
from planner.run.processes import Ran
from planner.run.share import Share
from planner.runtime.running.program import Action, Compute, Post

Kind = Literal["compute", "post", "await"]


class ActionDocument(Frozen):
    """An action of the node's program."""

    kind: Kind
    name: str = Field(description="of the segment or the message")
    stretches: tuple[str, ...]
    peer: str = ""
    size_bytes: int = 0


class SentDocument(Frozen):
    """What was handed to the socket in all runs, the first ones included."""

    stretch: str
    receiver: str
    size_bytes: int


class NodeTimes(Frozen):
    """A node's runs; times are nanoseconds of the source's clock."""

    node: str
    clock_error_ns: int
    actions: tuple[ActionDocument, ...]
    begins: IntArray = Field(description="by run and action")
    ends: IntArray = Field(description="by run and action")
    starts: IntArray = Field(description="by run, when the inputs were there")
    wholes: IntArray = Field(description="by run; at the source when the outputs were whole")
    sent: tuple[SentDocument, ...]


def node_times(share: Share, ran: Ran) -> NodeTimes:
    """Everything that a node knows of its runs."""
    before, after = ran.offsets

    def there(moments: NDArray[np.int64]) -> NDArray[np.int64]:
        return clocks.at(before, after, moments)

    stamps = ran.stamps
    return NodeTimes(
        node=share.node,
        clock_error_ns=max(before.error_ns, after.error_ns),
        actions=tuple(_document(share, action) for action in share.program.actions),
        begins=there(stamps.actions[:, :, 0]),
        ends=there(stamps.actions[:, :, 1]),
        starts=there(stamps.start),
        wholes=there(stamps.whole),
        sent=tuple(
            SentDocument(stretch=stretch, receiver=receiver, size_bytes=size)
            for (stretch, receiver), size in stamps.sent_bytes.items()
        ),
    )


def _document(share: Share, action: Action) -> ActionDocument:
    if isinstance(action, Compute):
        return ActionDocument(kind="compute", name=action.name, stretches=action.stretches)
    sends = isinstance(action, Post)
    return ActionDocument(
        kind="post" if sends else "await",
        name=action.message,
        stretches=(action.stretch,),
        peer=action.receiver if isinstance(action, Post) else action.sender,
        size_bytes=share.program.forms[
            action.value if isinstance(action, Post) else action.message
        ].size_bytes,
    )
