"""Work on constants alone: the same for every input, and so a layer of its own nowhere."""

from __future__ import annotations

from collections.abc import Sequence

from profiles.graph import Graph, Kind, Making
from profiles.macs import MAC_FORMULAS, graph_macs
from profiles.meanings.call import Emitter

_SHOWN = 3


def work_of(emitter: Emitter) -> tuple[Kind, int]:
    """What kind of product the operators are that an emitter has, and their MACs."""
    operators = tuple(emitter.operators)
    kinds: list[Kind] = [o.kind for o in operators if o.kind in MAC_FORMULAS]
    graph = Graph("made", tuple(emitter.activations.values()), (), operators)
    return kinds[0] if kinds else "matmul", graph_macs(graph)


def making_notes(makings: Sequence[Making]) -> list[str]:
    """What a profile says of the products of constants that its layers read."""
    counted = [making for making in makings if making.counted]
    tables = [making for making in makings if not making.counted]
    notes = []
    if counted:
        notes.append(
            f"{_work(counted)} products of weights alone ({_listed(counted)}) are counted in every "
            "run, once, with the layers that read them first; a runtime may do them when it loads"
        )
    if tables:
        notes.append(
            f"{_work(tables)} products of constants without trained weights ({_listed(tables)}), "
            "such as tables of positions, are work of loading and not counted"
        )
    return notes


def few(names: Sequence[str]) -> str:
    """The first of some names."""
    return f"{', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"


def _work(makings: Sequence[Making]) -> str:
    return f"{sum(making.macs for making in makings):,} MACs of {len(makings)}"


def _listed(makings: Sequence[Making]) -> str:
    return few([making.call for making in makings])
