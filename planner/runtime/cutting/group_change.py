"""A change of group: all live tensors on their way to the next stage's nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from planner.runtime.cutting.regions import Holdings
from planner.runtime.cutting.transfers import Transfer, handed_over
from planner.runtime.running.records import Operand, Receive, Send, Step
from planner.runtime.running.slices import Stretch

Group = tuple[Holdings, tuple[str, ...]]
"""What the nodes of a group hold, and their names."""


def change_of_group(
    name: str, tensors: Sequence[str], before: Group, after: Group
) -> list[tuple[Stretch, dict[str, Step]]]:
    """The senders' step, then one step of the receivers for every tensor.

    Parameters
    ----------
    name : str
        Of the change of group.
    tensors : sequence of str
        Those alive at the cut.
    before, after : Group
    """
    senders, receivers = before[1], after[1]
    sends: dict[str, list[Send]] = {node: [] for node in senders}
    taken = []
    for tensor in tensors:
        owners = before[0].owners[tensor], after[0].owners[tensor]
        transfers = handed_over(tensor, *owners, len(receivers))
        for item in transfers:
            sender, receiver = senders[item.sender], receivers[item.receiver]
            content = content_of(before[0], item)
            sends[sender].append(
                Send(receiver, f"{tensor} from {sender}", tensor, item.features, content)
            )
        steps = {
            member: _taken_over(tensor, node, transfers, after[0], senders)
            for node, member in enumerate(receivers)
        }
        taken.append((Stretch(f"{name} {tensor}", receivers), steps))
    told = {node: Step(name, sends=tuple(sends[node])) for node in senders}
    return [(Stretch(name, senders), told), *taken]


def content_of(holdings: Holdings, item: Transfer) -> Operand:
    """Where the elements of a message lie in what the sender holds."""
    wanted = holdings.features_at(item.tensor, item.features)
    held = holdings.held(item.tensor, item.sender).positions
    index = None
    if len(held) != len(wanted):
        index = torch.from_numpy(np.searchsorted(held, wanted))
    return Operand((item.tensor,), index, (len(wanted),))


def _taken_over(
    tensor: str,
    node: int,
    transfers: list[Transfer],
    after: Holdings,
    senders: tuple[str, ...],
) -> Step:
    mine = [item for item in transfers if item.receiver == node]
    if not mine:
        return Step(tensor)
    region = after.held(tensor, node)
    numbers = [after.features_at(tensor, item.features) for item in mine]
    stored = np.concatenate(numbers)
    order = np.argsort(stored, kind="stable")
    index = None if np.array_equal(stored, region.positions) else torch.from_numpy(order)
    messages = tuple(f"{tensor} from {senders[item.sender]}" for item in mine)
    operand = Operand(messages, index, region.local_shape)
    receives = tuple(
        Receive(senders[item.sender], message, tensor, item.features)
        for item, message in zip(mine, messages, strict=True)
    )
    return Step(
        tensor,
        kernel="take",
        operands=(operand,),
        shape=region.local_shape,
        receives=receives,
        frees=messages,
    )
