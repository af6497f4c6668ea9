"""Laying out a run's two arrays, and reading and writing the tables in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.simulation.engine.state import Floats, Ints, Layout, Sizes

Shape = tuple[int, ...]


def shapes(z: Sizes) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Shape of every table of integers and of floats, by its name in `Layout`."""
    n, s, e = z.nodes, z.sources, z.epochs
    ints: dict[str, Shape] = {"source_node": (s,), "first": (s + 1,), "alive": (e, n)}
    ints |= dict.fromkeys(("owner", "stop"), (e, s, z.units))
    ints |= {"follows": (e, s, n), "channel": (2 * n,)}
    ints |= dict.fromkeys(("come", "taken", "finished_of", "on_hold"), (s,))
    ints |= dict.fromkeys(("source_at", "channel_out", "channel_in", "cpu", "cpu_item"), (n,))
    ints |= dict.fromkeys(("life", "out_head", "out_tail", "out_count", "wire_item"), (n,))
    ints |= dict.fromkeys(("awake", "draws", "queued"), (n,))
    ints |= dict.fromkeys(("head", "tail", "length"), (n, 2 * s))
    ints |= dict.fromkeys(
        ("item_source", "units_done", "up_to", "units_on_entry", "behind"), (z.items,)
    )
    ints |= dict.fromkeys(("pred", "pred_life", "goes_to", "goes_life", "order"), (z.items,))
    ints |= {"whole": (z.items,), "sample": (z.most_samples, z.sample_width)}
    ints |= dict.fromkeys(("flight_order", "flight_item"), (z.most_flights,))
    ints |= dict.fromkeys(("epoch", "arrived", "finished", "sequence", "samples", "flights"), ())
    ints |= dict.fromkeys(("events", "concerns", "answer", "answered", "lost", "resent"), ())
    ints |= dict.fromkeys(("ticked", "ticks", "idle_ticks"), ())
    floats: dict[str, Shape] = {"done_s": (n, z.points), "send_s": (n, n, z.points)}
    floats |= {"delay_s": (n, n), "change_s": (e,), "factor": (z.factors,)}
    floats |= dict.fromkeys(("pace", "wire_pace", "whole_s"), (e, n))
    floats |= dict.fromkeys(("part_s", "part_wire_s", "part_port_s", "ship_s"), (e, s, n))
    floats |= dict.fromkeys(("cpu_until", "wire_until", "busy_s", "held_s", "sent_s"), (n,))
    floats |= dict.fromkeys(("due_s", "wire_due_s", "port_due_s", "wire_began", "cpu_began"), (n,))
    floats |= dict.fromkeys(("arrival_s", "finish_s", "started_s"), (z.items,))
    floats |= {
        "lean": (s,),
        "owed": (s,),
        "expected": (s,),
        "flight_s": (z.most_flights,),
        "sample_s": (z.most_samples,),
    }
    floats |= dict.fromkeys(("slot_s", "horizon_s", "patience_s", "now", "next_tick"), ())
    floats |= dict.fromkeys(("next_sample", "sample_step", "in_system_area"), ())
    floats |= dict.fromkeys(("next_cpu", "next_wire", "next_come"), ())
    return ints, floats


@dataclass(frozen=True)
class Tables:
    """A run's numbers.

    Attributes
    ----------
    at : Layout
    layout : the same as the engine takes it
        A list of one for the plain engine; for the compiled one an array of one record, which
        numba reads by address and takes twice as fast as a bare record.
    i, f : arrays for the compiled engine, lists for the plain one
    """

    at: Layout
    layout: Sequence[Layout]
    i: Ints
    f: Floats

    @classmethod
    def of(cls, sizes: Sizes, given: dict[str, Any], arrays: bool) -> Tables:
        """Lay tables out; those that are not given are 0.

        Parameters
        ----------
        given : table's name to its numbers
        arrays : arrays, not lists
        """
        places: dict[str, int] = {}
        laid: list[Any] = []
        for group, dtype in zip(shapes(sizes), (np.int64, np.float64), strict=True):
            edges = np.cumsum([0, *map(prod, group.values())]).tolist()
            places |= dict(zip(group, edges, strict=False))
            array: NDArray[Any] = np.zeros(edges[-1], dtype=dtype)
            for name in group.keys() & given.keys():
                begin = places[name]
                array[begin : begin + prod(group[name])] = np.asarray(given[name]).reshape(-1)
            laid.append(array if arrays else array.tolist())
        at = Layout(**asdict(sizes), **places)
        names = [(field.name, np.int64) for field in fields(at)]
        record: Any = np.array([astuple(at)], dtype=names)
        return cls(at, record if arrays else [at], laid[0], laid[1])

    def get(self, name: str) -> NDArray[Any]:
        """A copy of one table in its shape."""
        begin = getattr(self.at, name)
        ints, floats = shapes(self.at)
        shape = ints[name] if name in ints else floats[name]
        numbers = (self.i if name in ints else self.f)[begin : begin + prod(shape)]
        return np.array(numbers).reshape(shape)
