"""A change of group: all live tensors on their way to the next stage's nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planner.domain.layouts import Layout
from planner.errors import InconsistentResultError
from planner.runtime.cutting.gathering import Source, gathered
from planner.runtime.cutting.holdings import Holdings
from planner.runtime.cutting.stock import Stock, Stored
from planner.runtime.cutting.transfers import Transfer, handed_over, supplied
from planner.runtime.running.extents import Extent
from planner.runtime.running.records import Operand, Receive, Send, Step
from planner.runtime.running.slices import Stretch


@dataclass(frozen=True, eq=False)
class Group:
    """Some nodes, what they can hold, and what they store at present."""

    nodes: tuple[str, ...]
    holdings: Holdings
    stock: Stock


def change_of_group(
    name: str, arrives: Mapping[str, Layout], before: Group, after: Group
) -> list[tuple[Stretch, dict[str, Step]]]:
    """The senders' step, then one step of the receivers for every tensor.

    Parameters
    ----------
    name : str
        Of the change of group.
    arrives : mapping of str to Layout
        The tensors that are alive at the cut, and how each will lie.
    before, after : Group
        The tensors are put into the stock of the latter.
    """
    sends: dict[str, list[Send]] = {node: [] for node in before.nodes}
    taken = []
    for tensor, layout in arrives.items():
        lying = before.stock.main(tensor)
        has = [
            supplied(tensor, lying.layout, before.holdings, node)
            for node in range(len(before.nodes))
        ]
        needs = [after.holdings.held(tensor, layout, node) for node in range(len(after.nodes))]
        transfers = handed_over(tensor, has, needs)
        for item in transfers:
            send = send_of(name, item, lying, before.holdings, before.nodes, after.nodes)
            sends[before.nodes[item.sender]].append(send)
        steps = {
            member: _taken_over(name, item_of(transfers, node), needs[node], tensor, before, after)
            for node, member in enumerate(after.nodes)
        }
        taken.append((Stretch(f"{name} {tensor}", after.nodes), steps))
        after.stock.put(Stored(tensor, tensor, layout, tuple(needs)))
    told = {node: Step(name, sends=tuple(sends[node])) for node in before.nodes}
    return [(Stretch(name, before.nodes), told), *taken]


def item_of(transfers: Sequence[Transfer], receiver: int) -> list[Transfer]:
    """Those that go to a node."""
    return [item for item in transfers if item.receiver == receiver]


def send_of(
    before: str,
    item: Transfer,
    stored: Stored,
    holdings: Holdings,
    senders: Sequence[str],
    receivers: Sequence[str],
) -> Send:
    """The sender's side of a transfer of a tensor that is stored so."""
    held = holdings.region(item.tensor, stored.extents[item.sender]).positions
    wanted = holdings.region(item.tensor, item.extent).positions
    content = gathered([(stored.key, held)], wanted, (len(wanted),))
    if content is None:
        raise InconsistentResultError(
            f"{before}: node {senders[item.sender]!r} is to send what it does not hold of "
            f"{item.tensor!r}"
        )
    message = item.message(before, senders)
    receiver = receivers[item.receiver]
    return Send(receiver, message, item.tensor, item.extent, content, item.shared)


def receive_of(before: str, item: Transfer, senders: Sequence[str]) -> Receive:
    """The receiver's side of a transfer."""
    message = item.message(before, senders)
    return Receive(senders[item.sender], message, item.tensor, item.extent)


def put_together(
    holdings: Holdings, tensor: str, sources: Sequence[Source], extent: Extent
) -> Operand:
    """A node's part of a tensor from what it stores and what it was sent of it."""
    region = holdings.region(tensor, extent)
    operand = gathered(sources, region.positions, region.local_shape)
    if operand is None:
        raise InconsistentResultError(f"{tensor!r}: a node is not sent what it is to hold")
    return operand


def _taken_over(
    name: str, mine: list[Transfer], extent: Extent, tensor: str, before: Group, after: Group
) -> Step:
    if not mine:
        return Step(tensor)
    messages = [
        (item.message(name, before.nodes), after.holdings.region(tensor, item.extent).positions)
        for item in mine
    ]
    operand = put_together(after.holdings, tensor, messages, extent)
    return Step(
        tensor,
        kernel="take",
        operands=(operand,),
        shape=operand.shape,
        receives=tuple(receive_of(name, item, before.nodes) for item in mine),
        frees=tuple(message for message, _ in messages),
    )
