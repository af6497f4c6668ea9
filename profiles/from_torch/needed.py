"""Which calls of an ATen graph its outputs need; runtimes leave the others out."""

from __future__ import annotations

from collections.abc import Iterator

from profiles.from_torch.emitter import base_name, writes_in_place
from profiles.from_torch.ops import VIEWS
from profiles.from_torch.program import SAME, AtenNode, Body, Ref, references


def needed_calls(body: Body) -> frozenset[int]:
    """Numbers of the calls that an output reads, through others or memory that they share."""
    owners: dict[str, str] = {}
    for node in body.nodes:
        target = node.arguments.get("self")
        if isinstance(target, Ref) and _shares_memory(node):
            owners.update((name, owners.get(target.name, target.name)) for name in node.outputs)
    read: set[str] = set()
    memory: set[str] = set()  # of all that is read

    def note(names: Iterator[str]) -> None:
        for name in names:
            read.add(name)
            memory.add(owners.get(name, name))

    note(iter(body.outputs))
    needed = set()
    for number, node in reversed(list(enumerate(body.nodes))):
        written = writes_in_place(node.target) and any(
            owners.get(name, name) in memory for name in node.outputs
        )
        if written or not read.isdisjoint(node.outputs):
            needed.add(number)
            note(name for value in node.arguments.values() for name in references(value))
    return frozenset(needed)


def _shares_memory(node: AtenNode) -> bool:
    """Whether what a call returns may be a view of its first argument, or that argument."""
    base = base_name(node.target)
    return node.target == SAME or base in VIEWS or writes_in_place(node.target)
