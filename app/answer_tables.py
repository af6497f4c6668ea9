"""A plan for a prompt and its answer as rows, for the command line and the page alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from app.node_times import COMPUTES, SENDS, WAITS, parts_of
from app.tables import Cell, Item, Table, scaled, tabulate
from planner.domain.answer import AnswerPlan, AnswerStage
from planner.strategies.phases.fitting import Fits
from planner.strategies.phases.peers import AnswerComparison
from planner.strategies.timeline import NodeTime
from planner.units import SIZES, TIMES, fitting_unit


def stages_table(plan: AnswerPlan) -> Table:
    """One row per stage."""
    return tabulate(
        f"{plan.model}: stages",
        plan.stages,
        {
            "nodes": lambda x: " ".join(x.nodes),
            "blocks": blocks_words,
            "experts on hosts": lambda x: x.host_blocks or None,
            "prompt": lambda x: x.prompt or None,
            "answer": lambda x: x.step or None,
            **_sizes(plan, lambda stage: stage.nodes),
        },
        "sizes: of the fullest node of a stage" if plan.node_count > len(plan.stages) else "",
    )


def nodes_table(plan: AnswerPlan, times: Mapping[str, Sequence[NodeTime]]) -> Table:
    """One row per node that works: its time in each phase, and what it holds.

    Parameters
    ----------
    plan : AnswerPlan
    times : mapping of sequence of NodeTime
        By phase (`planner.strategies.phases.times.times_of_phases`).
    """
    limits = {node.name: node.memory_bytes for node in plan.cluster.nodes}
    unit = fitting_unit(SIZES, limits.values())
    columns: dict[str, Callable[[tuple[NodeTime, NodeTime]], Cell]] = {
        "node": lambda x: x[0].node,
        "stage": lambda x: x[0].stage,
    }
    for place, phase in enumerate(("prompt", "token")):
        for word, part in zip((COMPUTES, SENDS, WAITS), range(3), strict=True):
            columns[f"{phase}: {word} (ms)"] = partial(_milliseconds, place, part)
    columns |= {
        **_sizes(plan, _node),
        f"memory ({unit})": lambda x: (limits[x[0].node] or 0) / SIZES[unit] or None,
    }
    return tabulate(
        f"{plan.model}: nodes",
        list(zip(times["prompt"], times["step"], strict=True)),
        columns,
        "memory needed: live activations as well. Derived by the cost model.",
    )


def _sizes(
    plan: AnswerPlan, nodes_of: Callable[[Item], Sequence[str]]
) -> dict[str, Callable[[Item], Cell]]:
    """Columns of what nodes hold, each in a unit that fits; of several nodes the most."""
    columns: dict[str, Callable[[Item], Cell]] = {}
    for name, sizes in (
        ("weights", plan.predicted.weight_bytes),
        ("cache", plan.predicted.cache_bytes),
        ("memory needed", plan.predicted.memory_bytes),
    ):
        unit = fitting_unit(SIZES, sizes.values())
        columns[f"{name} ({unit})"] = partial(_most, sizes, SIZES[unit], nodes_of)
    return columns


def _most(
    sizes: Mapping[str, int], one: float, nodes_of: Callable[[Item], Sequence[str]], item: Item
) -> float:
    """What the fullest of an item's nodes holds, in units."""
    return max(sizes[name] for name in nodes_of(item)) / one


def _node(times: tuple[NodeTime, NodeTime]) -> tuple[str, ...]:
    """Whose times they are."""
    return (times[0].node,)


def _milliseconds(place: int, part: int, times: tuple[NodeTime, NodeTime]) -> float:
    """A part of one phase's time."""
    return parts_of(times[place])[part] * 1e3


def blocks_words(stage: AnswerStage) -> str:
    """Which blocks a stage runs: ``0 to 15, head``."""
    parts = []
    if stage.blocks and stage.first_block is not None:
        last = stage.first_block + stage.blocks - 1
        parts.append(f"{stage.first_block} to {last}" if stage.blocks > 1 else str(last))
    return ", ".join([*parts, *(["head"] if stage.head else [])])


@dataclass(frozen=True)
class TimesColumn:
    """Seconds in a unit that fits all of a column."""

    unit: str
    cell: Callable[[object], float | None]


def times_column(rows: Sequence[object], field: str) -> TimesColumn:
    """A column of a field of some rows, in seconds."""
    unit = fitting_unit(TIMES, (getattr(row, field) for row in rows))
    return TimesColumn(unit, scaled(field, 1 / TIMES[unit]))


def comparison_table(found: AnswerComparison) -> Table:
    """One row per rule."""
    first, answer = (times_column(found.rows, x) for x in ("first_token_s", "answer_s"))
    return tabulate(
        f"{found.model} on {found.cluster}",
        found.rows,
        {
            "strategy": attrgetter("strategy"),
            "nodes": attrgetter("nodes"),
            "stages": attrgetter("stages"),
            f"first token ({first.unit})": first.cell,
            "per token (ms)": scaled("token_s", 1e3),
            "tokens/s": attrgetter("tokens_per_s"),
            f"answer ({answer.unit})": answer.cell,
            "all tokens/s": attrgetter("all_tokens_per_s"),
            "fits": lambda x: "yes" if x.fits else "no",
            "status": attrgetter("status"),
            "note": attrgetter("note"),
        },
    )


def fits_table(found: Fits) -> Table:
    """One row per width of the weights."""
    first = times_column(found.rows, "first_token_s")
    return tabulate(
        f"{found.model} on {found.cluster}: what fits",
        found.rows,
        {
            "weights": attrgetter("width"),
            "bits per weight": attrgetter("weight_bits"),
            "largest context": attrgetter("context"),
            "nodes": attrgetter("nodes"),
            "tokens/s": attrgetter("tokens_per_s"),
            f"first token ({first.unit})": first.cell,
            "note": attrgetter("note"),
        },
        "contexts in steps of 256 tokens; speeds: of the best plan with room for that context",
    )
