"""A plan's layers grouped by the blocks that their names tell, with what each block costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from app.profile_tree import Entry, profile_tree
from app.tables import Table, layout_of, tabulate, way_of
from planner.case import Case
from planner.domain.layouts import Layout, Way
from planner.domain.plan import LayerPlan, Plan
from planner.strategies.costed import cost_stages

MOST = 7
"""Blocks that are shown by default."""


@dataclass(frozen=True)
class Block:
    """Layers in a row whose names begin alike, in one stage of a plan.

    Attributes
    ----------
    name : str
        What their names begin with; of one layer its name.
    stage : int
        From 1.
    layers : tuple of str
        Names, in order.
    ways : tuple of (Way, int)
        In which how many of them run, the most frequent first; none on one node.
    layouts : tuple of Layout
        In which their outputs lie, the most frequent first.
    comm_s, compute_s, latency_s : float
        Sums over the layers; without what is handed over between stages.
    share : float
        Of the plan's latency.
    sparsity : (float, float), optional
        Least and most of S_comm, where anything is dropped.
    macs : int
        Of the model, whoever executes them.
    """

    name: str
    stage: int
    layers: tuple[str, ...]
    ways: tuple[tuple[Way, int], ...]
    layouts: tuple[Layout, ...]
    comm_s: float
    compute_s: float
    latency_s: float
    share: float
    sparsity: tuple[float, float] | None
    macs: int


def layer_blocks(case: Case, plan: Plan) -> tuple[Block, ...]:
    """Every layer as a block of its own."""
    latency_s = plan.predicted.latency_s
    return tuple(_block(row.plan.name, row.stage, [row], latency_s) for row in _rows(case, plan))


@dataclass(frozen=True)
class _Row:
    """One layer as it is planned."""

    plan: LayerPlan
    stage: int
    macs: int
    comm_s: float
    compute_s: float
    latency_s: float


def blocks(case: Case, plan: Plan, most: int = MOST) -> tuple[Block, ...]:
    """The layers of a plan in no more than so many blocks, where names and stages allow it.

    What takes longest is parted first.

    Parameters
    ----------
    case : Case
        That the plan was found for.
    plan : Plan
    most : int
    """
    rows = list(_rows(case, plan))
    places = {row.plan.name: place for place, row in enumerate(rows)}
    groups = _parted(case, {row.plan.name: row.latency_s for row in rows}, most)
    found = []
    for name, entry in groups:
        mine = [rows[places[layer.name]] for layer in entry.layers]
        for stage, members in groupby(mine, lambda row: row.stage):
            found.append(_block(name, stage, list(members), plan.predicted.latency_s))
    return tuple(found)


def _rows(case: Case, plan: Plan) -> Iterator[_Row]:
    costed = cost_stages(case.sharing(plan.settings.shares), plan.stages)
    for number, (stage, costs) in enumerate(zip(plan.stages, costed.stages, strict=True), start=1):
        table = costs.table
        seconds = (table.comm_s, table.compute_s, table.latency_s)
        columns = zip(*(column[costs.rows, 0].tolist() for column in seconds), strict=True)
        profiled = case.profile.layers[costs.rows]
        for layer, profile, found in zip(stage.layers, profiled, columns, strict=True):
            yield _Row(layer, number, profile.macs, *found)


def _parted(case: Case, seconds: dict[str, float], most: int) -> list[tuple[str, Entry]]:
    """Entries of the tree of names in order, the slowest parted as long as there is room."""
    root = profile_tree(case.profile)
    found = [("", root)]
    while True:
        open_ = [
            (sum(seconds[layer.name] for layer in entry.layers), -place)
            for place, (_, entry) in enumerate(found)
            if entry.children and (entry is root or len(found) - 1 + len(entry.children) <= most)
        ]
        if not open_:
            return found
        place = -max(open_)[1]
        name, entry = found[place]
        found[place : place + 1] = [(_named(name, child), child) for child in entry.children]


def _named(name: str, entry: Entry) -> str:
    """The whole name of an entry below another one."""
    if (
        entry.what.startswith("like ")
        or " × like " in entry.what
        or entry.label.endswith(" free operators")
    ):
        return f"{name}{entry.label}" if entry.label[:1] in "./" else f"{name} {entry.label}"
    return f"{name}{entry.label}" or "(itself)"


def _block(name: str, stage: int, rows: list[_Row], latency_s: float) -> Block:
    several = [row.plan for row in rows if row.plan.nodes > 1]
    ways = Counter(way for layer in several if (way := way_of(layer)))
    layouts = Counter(layout for layer in several if (layout := layout_of(layer)))
    dropped = [layer.sparsity or 0.0 for layer in several if layer.sparsity is not None]
    total = sum(row.latency_s for row in rows)
    return Block(
        name=name.strip() or rows[0].plan.name,
        stage=stage,
        layers=tuple(row.plan.name for row in rows),
        ways=tuple(ways.most_common()),
        layouts=tuple(layout for layout, _ in layouts.most_common()),
        comm_s=sum(row.comm_s for row in rows),
        compute_s=sum(row.compute_s for row in rows),
        latency_s=total,
        share=total / latency_s if latency_s else 0.0,
        sparsity=(min(dropped), max(dropped)) if any(dropped) else None,
        macs=sum(row.macs for row in rows),
    )


def ways_words(block: Block) -> str:
    """In which ways a block's layers run."""
    if len(block.ways) == 1:
        return block.ways[0][0]
    return ", ".join(f"{way} {count}" for way, count in block.ways)


def block_table(found: tuple[Block, ...]) -> Table:
    """One row per block."""
    several = len({block.stage for block in found}) > 1
    return tabulate(
        "Layers by block",
        found,
        {
            "block": lambda x: x.name,
            "layers": lambda x: len(x.layers),
            "stage": lambda x: x.stage if several else None,
            "split by": ways_words,
            "S_comm": lambda x: x.sparsity and f"{x.sparsity[0]:.2f} to {x.sparsity[1]:.2f}",
            "sends (ms)": lambda x: x.comm_s * 1e3,
            "computes (ms)": lambda x: x.compute_s * 1e3,
            "share (%)": lambda x: x.share * 100,
        },
    )
