"""All nodes' programs in one process, taking turns: what a run on a network must come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from planner.errors import InconsistentResultError
from planner.runtime.running.program import Await, Compute, Program
from planner.runtime.running.transport import InProcess

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What came of it.

    Attributes
    ----------
    values : dict of str to dict of str to tensor
        By node: everything that it held at some time.
    transport : InProcess
        What passed.
    """

    values: dict[str, dict[str, torch.Tensor]]
    transport: InProcess

    def parts(self, programs: Mapping[str, Program], output: str) -> dict[str, torch.Tensor]:
        """The nodes' parts of a model output."""
        return {
            name: self.values[name][program.outputs[output]]
            for name, program in programs.items()
            if output in program.outputs
        }


def rehearsed(programs: Mapping[str, Program], inputs: Tensors) -> Rehearsal:
    """Run all programs, each as far as it gets before the next one's turn.

    Parameters
    ----------
    programs : mapping of str to Program
        By node.
    inputs : mapping of str to tensor
        Of the model.

    Raises
    ------
    InconsistentResultError
        Nodes wait for messages that nobody sends, or are sent what they do not wait for.
    """
    transport = InProcess()
    values = {n: {key: inputs[key] for key in item.inputs} for n, item in programs.items()}
    turns = {name: _run(item, values[name], transport) for name, item in programs.items()}
    while turns:
        waiting = {name: next(turn, None) for name, turn in turns.items()}
        turns = {name: turn for name, turn in turns.items() if waiting[name] is not None}
        stuck = [(n, a) for n, a in waiting.items() if a and not _arrived(transport, n, a)]
        if stuck and len(stuck) == len(turns):
            name, action = stuck[0]
            raise InconsistentResultError(
                f"node {name!r} waits for {action.message!r} from {action.sender!r} for ever"
            )
    if transport.undelivered:
        raise InconsistentResultError(f"{transport.undelivered} messages are sent to nobody")
    return Rehearsal(values, transport)


def _arrived(transport: InProcess, node: str, action: Await) -> bool:
    return transport.arrived((action.sender, node), action.message)


def _run(
    program: Program, values: dict[str, torch.Tensor], transport: InProcess
) -> Iterator[Await]:
    """Run a program; give the turn away while a message is not there."""
    for action in program.actions:
        if isinstance(action, Compute):
            made = action.module(*(values[name] for name in action.reads))
            values.update(zip(action.makes, made, strict=True))
        elif isinstance(action, Await):
            while not _arrived(transport, program.node, action):
                yield action
            values[action.message] = transport.receive(
                (action.sender, program.node), action.message
            )
        else:
            pair = program.node, action.receiver
            content = values[action.value]
            transport.send(action.stretch, pair, action.message, content, shared=action.shared)
