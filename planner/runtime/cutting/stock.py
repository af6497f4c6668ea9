"""Where the live tensors lie while a stage's layers are cut out one after another."""

from __future__ import annotations

from dataclasses import dataclass

from planner.domain.layouts import Holding, Layout, joined, main_layout, settled
from planner.errors import InconsistentResultError
from planner.runtime.running.extents import Extent


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor in one of the layouts that it lies in.

    Attributes
    ----------
    tensor : str
    key : str
        What nodes store it under.
    layout : Layout
    extents : tuple of Extent
        What each node stores: its part, or more where halos are fused.
    """

    tensor: str
    key: str
    layout: Layout
    extents: tuple[Extent, ...]


class Stock:
    """The tensors that the nodes of a group store at present."""

    def __init__(self) -> None:
        self._found: dict[str, dict[Layout, Stored]] = {}

    def put(self, made: Stored) -> None:
        """A tensor that was made, or that came from another group."""
        self._found[made.tensor] = {made.layout: made}

    def add(self, made: Stored) -> list[str]:
        """A layout that a conversion has added; returns what is not stored any longer."""
        lying = self._found[made.tensor]
        gone = self._leave(made.tensor, joined(frozenset(lying), made.layout))
        self._found[made.tensor][made.layout] = made
        return [key for key in gone if key != made.key]

    def settle(self, name: str) -> list[str]:
        """A layer that reads a tensor has run; returns what is not stored any longer."""
        return self._leave(name, settled(frozenset(self._found[name])))

    def _leave(self, name: str, left: Holding) -> list[str]:
        lying = self._found[name]
        self._found[name] = {layout: item for layout, item in lying.items() if layout in left}
        return [item.key for layout, item in lying.items() if layout not in left]

    def read(self, name: str, layout: Layout) -> Stored:
        """A tensor as it is to be read; all of it where every node has that.

        Raises
        ------
        InconsistentResultError
            It does not lie so.
        """
        lying = self._found[name]
        found = lying.get(layout) or (lying.get("whole") if layout != "sums" else None)
        if found is None:
            raise InconsistentResultError(
                f"{name!r} is read as {layout!r}, but lies as {' and '.join(sorted(lying))}"
            )
        return found

    def main(self, name: str) -> Stored:
        """The layout in which a tensor is handed on."""
        lying = self._found[name]
        return lying[main_layout(lying)]

    def keys(self, name: str) -> list[str]:
        """All that a tensor is stored under."""
        return [item.key for item in self._found.get(name, {}).values()]
