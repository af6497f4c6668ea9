"""What one layer can do, given how its inputs lie: ways, and the conversions that they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planner.cost.layouts import GroupLayouts
from planner.cost.ways import MADE_IN, layouts_read
from planner.domain.layouts import Conversion, Holding, Layout, Way, holds, joined
from planner.domain.model_profile import ModelProfile
from planner.strategies.ways.runs import Run

Holdings = tuple[Holding, ...]


@dataclass(frozen=True)
class Option:
    """One way of a layer.

    Attributes
    ----------
    way : Way
    reads : tuple of Layout
        Of each input; ``whole`` where it lies so.
    conversions : tuple of (int, Layout, Layout)
        Input, and from which layout to which, in order.
    holdings : tuple of Holding
        Of each input behind the conversions.
    run : Run, optional
        Of fused halos that the layer is part of.
    whole : tuple of bool
        Where it begins a run: which of the run's inputs are held whole.
    """

    way: Way
    reads: tuple[Layout, ...]
    conversions: tuple[tuple[int, Layout, Layout], ...]
    holdings: Holdings
    run: Run | None = None
    whole: tuple[bool, ...] = ()

    @property
    def makes(self) -> Layout:
        """The layout of the output."""
        return MADE_IN[self.way]

    def planned(self, inputs: Sequence[str]) -> tuple[Conversion, ...]:
        """The conversions as plans have them."""
        return tuple(
            Conversion(tensor=inputs[at], source=source, target=target)
            for at, source, target in self.conversions
        )


def options_of(
    profile: ModelProfile, on: GroupLayouts, row: int, ways: Sequence[Way], holdings: Holdings
) -> list[Option]:
    """All ways of a layer whose inputs lie so, each with every conversion that leads there.

    What can lie how is the same on every group; a layer that can run in none of the ways gathers
    features.

    Parameters
    ----------
    profile : ModelProfile
    on : GroupLayouts
        Of any group of two or more nodes.
    row : int
    ways : sequence of Way
    holdings : tuple of Holding
        Of each input; equal where one tensor is read twice.
    """
    found = [option for way in ways for option in _of_way(profile, on, row, way, holdings)]
    return found or list(_of_way(profile, on, row, "features", holdings))


def _of_way(
    profile: ModelProfile, on: GroupLayouts, row: int, way: Way, holdings: Holdings
) -> Iterator[Option]:
    layer = profile.layers[row]
    reads = layouts_read(layer, way)
    if reads is None or not on.can_lie(layer.name, MADE_IN[way]):
        return
    if way == "sums" and not on.can_lie(layer.inputs[0], reads[0]):
        return
    wanted = tuple(
        layout if on.can_lie(name, layout) else "whole"
        for name, layout in zip(layer.inputs, reads, strict=True)
    )
    yield from _converted(on, layer.inputs, way, wanted, holdings, 0, ())


def _converted(
    on: GroupLayouts,
    inputs: Sequence[str],
    way: Way,
    wanted: tuple[Layout, ...],
    holdings: Holdings,
    at: int,
    done: tuple[tuple[int, Layout, Layout], ...],
) -> Iterator[Option]:
    """Make the inputs from one on lie as they must, in all ways that there are."""
    while at < len(inputs) and holds(holdings[at], wanted[at]):
        at += 1
    if at == len(inputs):
        reads = tuple(
            "whole" if "whole" in holding else layout
            for holding, layout in zip(holdings, wanted, strict=True)
        )
        yield Option(way, reads, done, holdings)
        return
    for source in sorted(holdings[at]):
        for target in (wanted[at], *_between(source, wanted[at])):
            if on.conversion(inputs[at], source, target) is None:
                continue
            after = joined(holdings[at], target)
            behind = tuple(
                after if name == inputs[at] else holding
                for name, holding in zip(inputs, holdings, strict=True)
            )
            step = (*done, (at, source, target))
            yield from _converted(on, inputs, way, wanted, behind, at, step)


def _between(source: Layout, target: Layout) -> tuple[Layout, ...]:
    """Layouts on the way: parts of a sum are added up before they are sent to all."""
    return ("features", "positions") if (source, target) == ("sums", "whole") else ()
