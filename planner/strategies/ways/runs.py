"""Runs of layers that may share one widened halo, the overlap computed twice (eq. 38).

DeepThings' idea: nodes fetch once, before the run, all positions that its layers will need, and
make what lies between on as many as the next ones need. Which runs are offered is decided here by
what they cost; whether one is taken, by the solver.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.exchange import Links, time_exchange
from planner.cost.layouts import GroupLayouts, Messages
from planner.cost.steps import halo_of_run, needed_in_run
from planner.cost.ways import NeededPositions, Work, work_of
from planner.cost.work import takes_time, work_s
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import Layout
from planner.domain.model_profile import ModelProfile
from planner.domain.positions import SAME
from planner.structure import last_uses

MAX_WINDOWS = 4
"""Layers of a run that read neighbouring positions, at most."""
MAX_LAYERS = 24
"""Layers of a run, at most."""


@dataclass(frozen=True)
class Run:
    """Layers ``start`` to ``stop - 1``.

    Attributes
    ----------
    outside : tuple of str
        Tensors from before that it reads.
    sign : int
        Equal for runs that are alike in everything.
    """

    start: int
    stop: int
    outside: tuple[str, ...]
    sign: int


def runs_that_pay(
    case: Case, groups: Sequence[tuple[str, ...]], kinds: NDArray[np.int64]
) -> list[Run]:
    """All runs that are faster, on the smallest or the largest group, than their layers alone.

    Parameters
    ----------
    case : Case
    groups : sequence of tuples of str
        Of two or more nodes each.
    kinds : int array, shape (L,)
        Layers that are alike on every group.
    """
    chosen = sorted({min(groups, key=len), max(groups, key=len)})
    signs: dict[Hashable, int] = {}
    pays: dict[int, bool] = {}
    costs = [_Costs(case, names) for names in chosen]
    last = last_uses(case.profile)
    found = []
    # the shortest first: a run must be faster than its parts, shorter runs among them
    for start, stop in sorted(_candidates(case.profile), key=lambda run: (run[1] - run[0], run)):
        outside = _outside(case.profile, start, stop)
        like = _signature(case.profile, kinds, start, stop, outside, last)
        sign = signs.setdefault(like, len(signs))
        if sign not in pays:
            pays[sign] = any([cost.pays(start, stop, outside) for cost in costs])
        if pays[sign]:
            found.append(Run(start, stop, outside, sign))
            for cost in costs:
                cost.offer(start, stop, outside)
    return found


def _candidates(profile: ModelProfile) -> Iterator[tuple[int, int]]:
    """Runs from a layer with work to one that reads neighbours."""
    layers = profile.layers
    for start, first in enumerate(layers):
        if not (first.macs or _reaches(first)):
            continue
        windows = 0
        for stop in range(start + 1, min(start + MAX_LAYERS, len(layers)) + 1):
            layer = layers[stop - 1]
            if not _fits(layer):
                break
            if _reaches(layer):
                windows += 1
                if windows > MAX_WINDOWS:
                    break
                if stop - start > 1:
                    yield start, stop


def _fits(layer: LayerProfile) -> bool:
    geometry = layer.positions
    return (
        geometry is not None
        and geometry.parts
        and not geometry.statistics_bytes
        and all(window is not None for window in geometry.reads)
    )


def _reaches(layer: LayerProfile) -> bool:
    """Whether it reads neighbouring positions."""
    return layer.positions is not None and any(
        window not in (None, SAME) for window in layer.positions.reads
    )


def _outside(profile: ModelProfile, start: int, stop: int) -> tuple[str, ...]:
    inside = {layer.name for layer in profile.layers[start:stop]}
    read = (name for layer in profile.layers[start:stop] for name in layer.inputs)
    return tuple(dict.fromkeys(name for name in read if name not in inside))


def _signature(
    profile: ModelProfile,
    kinds: NDArray[np.int64],
    start: int,
    stop: int,
    outside: tuple[str, ...],
    last: dict[str, int],
) -> Hashable:
    layers = profile.layers[start:stop]
    place = {layer.name: at for at, layer in enumerate(layers)}
    place |= {name: -1 - at for at, name in enumerate(outside)}
    return (
        tuple(kinds[start:stop].tolist()),
        tuple(tuple(place[name] for name in layer.inputs) for layer in layers),
        tuple(last[layer.name] >= stop for layer in layers),
    )


class _Costs:
    """Seconds of runs and of their parts on one group."""

    def __init__(self, case: Case, names: tuple[str, ...]) -> None:
        self._case = case
        self._on = case.layouts(names)
        self._nodes = case.cluster.only(names).nodes
        group, element_bytes = case.cluster.only(names), case.profile.element_bytes
        self._links = Links.of(group, case.settings, element_bytes=element_bytes)
        self._alone: dict[tuple[int, bool], float] = {}
        self._runs: dict[tuple[int, int], tuple[float, float]] = {}
        self._offered: dict[int, list[int]] = {}

    def offer(self, start: int, stop: int, outside: tuple[str, ...]) -> None:
        """Let a run be part of longer ones."""
        self._offered.setdefault(start, []).append(stop)
        self._run_s(start, stop, outside)

    def pays(self, start: int, stop: int, outside: tuple[str, ...]) -> bool:
        """Whether a run is faster than its parts, where its inputs lie by positions or whole."""
        on = self._on
        tensors = [*outside, *(layer.name for layer in self._case.profile.layers[start:stop])]
        if not all(on.count(name, "positions") for name in tensors):
            return False
        together = self._run_s(start, stop, outside)
        apart = self._apart_s(start, stop)
        return any(run_s < parts_s for run_s, parts_s in zip(together, apart, strict=True))

    def _run_s(self, start: int, stop: int, outside: tuple[str, ...]) -> tuple[float, float]:
        """Seconds of a run whose inputs lie by positions, and whole."""
        if (start, stop) not in self._runs:
            on = self._on
            needs = needed_in_run(on, start, stop, "positions")
            compute = self._compute_s(range(start, stop), "positions", needs)
            halo = halo_of_run(on, start, stop, needs, set(outside))
            self._runs[start, stop] = compute + self._exchange_s(halo), compute
        return self._runs[start, stop]

    def _apart_s(self, start: int, stop: int) -> tuple[float, float]:
        """The same of the fastest way to part it into layers and shorter runs."""
        rest = [0.0] * (stop - start + 1)
        for row in range(stop - 1, start, -1):
            rest[row - start] = min(
                seconds + rest[end - start] for end, (seconds, _) in self._begun(row, stop)
            )
        first = [
            (seconds + rest[end - start], whole_s + rest[end - start])
            for end, (seconds, whole_s) in self._begun(start, stop)
        ]
        return min(seconds for seconds, _ in first), min(seconds for _, seconds in first)

    def _begun(self, row: int, stop: int) -> Iterator[tuple[int, tuple[float, float]]]:
        """A layer and the runs that are known to pay from there, and where they end."""
        yield row + 1, (self._alone_s(row, False), self._alone_s(row, True))
        for end in self._offered.get(row, []):
            if end <= stop:
                yield end, self._runs[row, end]

    def _alone_s(self, row: int, whole: bool) -> float:
        if (row, whole) not in self._alone:
            lies: Layout = "whole" if whole else "positions"
            seconds = self._compute_s([row], lies, None)
            exchange = self._work(row, lies, None).exchange
            self._alone[row, whole] = seconds + self._exchange_s(exchange)
        return self._alone[row, whole]

    def _work(self, row: int, lies: Layout, needs: NeededPositions | None) -> Work:
        layer = self._case.profile.layers[row]
        reads = (lies,) * len(layer.inputs)
        # what a run needs of a layer follows from where it ends: its positions say which
        made = None if needs is None else needs.made[layer.name].tobytes()

        def make() -> Work:
            work = work_of(self._on, row, "positions", reads, needs)
            assert work is not None
            return work

        return self._on.once(("work of run", row, lies, made), make)

    def _compute_s(self, rows: Sequence[int], lies: Layout, needs: NeededPositions | None) -> float:
        """Seconds of layers one after the other, each as long as its slowest node's."""
        every = self._case.profile.layers
        rows = [row for row in rows if takes_time(every[row], self._nodes)]
        if not rows:
            return 0.0
        works = [self._work(row, lies, needs) for row in rows]
        # all at once: one call for each layer took a quarter of a search
        seconds = work_s(
            [every[row] for row in rows],
            self._nodes,
            np.array([work.macs for work in works]),
            np.array([work.touched_bytes for work in works]),
            np.array([work.share for work in works]),
        )
        return float(seconds.max(axis=1).sum())

    def _exchange_s(self, messages: Messages) -> float:
        parts = messages.selected, messages.moved, self._links, messages.added
        return float(time_exchange(*parts).latency_s)


def crowded_out(runs: Sequence[Run], layers: int, most: int) -> list[Run]:
    """So many runs at most over any place between two layers, the shortest first."""
    covering = np.zeros(layers + 1, dtype=np.int64)
    kept = []
    for run in sorted(runs, key=lambda run: (run.stop - run.start, run.start)):
        inside = slice(run.start + 1, run.stop)
        if covering[inside].max(initial=0) < most:
            covering[inside] += 1
            kept.append(run)
    return sorted(kept, key=lambda run: (run.start, run.stop))


def held_in_run(on: GroupLayouts, run: Run, row: int) -> NDArray[np.int64]:
    """Bytes of what a run has made before one of its layers, and of its halo, shape (n,)."""
    needs = needed_in_run(on, run.start, run.stop, "positions")
    total = halo_of_run(on, run.start, run.stop, needs, set(run.outside)).pairs.sum(axis=0)
    for layer in on.profile.layers[run.start : row]:
        if on.last[layer.name] >= row:
            total = total + on.bytes_of(layer.name, "positions", needs.made[layer.name])
    held: NDArray[np.int64] = total
    return held
