"""A conversion: a tensor on its way to another layout, in one exchange of the group's nodes."""

from __future__ import annotations

from dataclasses import replace

from planner.domain.layouts import Conversion
from planner.runtime.cutting.group_change import Group, item_of, put_together, receive_of, send_of
from planner.runtime.cutting.stock import Stored
from planner.runtime.cutting.transfers import converted
from planner.runtime.running.records import Step


def conversion(name: str, item: Conversion, on: Group, broadcast: bool) -> dict[str, Step]:
    """Every node's step, by its name.

    Parameters
    ----------
    name : str
        Of the exchange.
    item : Conversion
    on : Group
        The layout is added to its stock.
    broadcast : bool
    """
    tensor, holdings = item.tensor, on.holdings
    source = on.stock.read(tensor, item.source)
    extents = tuple(holdings.held(tensor, item.target, node) for node in range(len(on.nodes)))
    # a whole tensor, or one whose parts are added up, takes the place of what was there
    replaces = item.target == "whole" or item.source == "sums"
    key = tensor if replaces else f"{tensor} by {item.target}"
    gone = on.stock.add(Stored(tensor, key, item.target, extents))
    transfers = converted(item, holdings, broadcast)
    steps = {}
    for node, member in enumerate(on.nodes):
        mine = item_of(transfers, node)
        own = source.key, holdings.region(tensor, source.extents[node]).positions
        messages = {
            each.message(name, on.nodes): holdings.region(tensor, each.extent).positions
            for each in mine
        }
        gone_here = [*gone, *messages]
        step = Step(key)
        if extents[node].empty:
            gone_here += [key] if replaces else []
        elif item.source == "sums":
            parts = {sender: [own] if sender == node else [] for sender in range(len(on.nodes))}
            for each, found in zip(mine, messages.items(), strict=True):
                parts[each.sender].append(found)
            operands = tuple(
                put_together(holdings, tensor, part, extents[node]) for part in parts.values()
            )
            step = Step(key, kernel="add", operands=operands, shape=operands[0].shape)
        else:
            sources = [own, *messages.items()]
            operand = put_together(holdings, tensor, sources, extents[node])
            step = Step(key, kernel="take", operands=(operand,), shape=operand.shape)
        sends = [
            send_of(name, each, source, holdings, on.nodes, on.nodes)
            for each in transfers
            if each.sender == node
        ]
        receives = [receive_of(name, each, on.nodes) for each in mine]
        steps[member] = replace(
            step, sends=tuple(sends), receives=tuple(receives), frees=tuple(gone_here)
        )
    return steps
