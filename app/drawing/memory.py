"""What the nodes hold of a language model, as one bar for every node."""

from __future__ import annotations

from app.drawing.bars import ROW, WIDTH, Bar, Parts, part_bars
from app.drawing.shapes import Picture
from planner.domain.answer import AnswerPlan
from planner.units import format_bytes

_MOST = 16
_PARTS = Parts(("weights", "cache", "waits"), ("weights", "cache", "other"))


def memory_bars(plan: AnswerPlan, width: float = WIDTH, row: float = ROW) -> Picture:
    """One bar per node that works: weights, keys and values, and live activations.

    A full bar is the node's memory; where that is not known, what the fullest node needs.

    Parameters
    ----------
    plan : AnswerPlan
    width : float
        In pixels of a screen.
    row : float
        Height of a row.
    """
    names = plan.running_nodes
    bars = [_bar(plan, name) for name in names[:_MOST]]
    kept = plan.workload.kept_tokens
    said = f"Memory for {kept:,} tokens"
    title = f"What every node needs in memory, with room for {kept:,} tokens of every request"
    hidden = len(names) - len(bars)
    return part_bars(bars, _PARTS, title, width=width, said=said, hidden=hidden, row=row)


def _bar(plan: AnswerPlan, name: str) -> Bar:
    found = plan.predicted
    weights, cache, all_of_it = (
        sizes[name] for sizes in (found.weight_bytes, found.cache_bytes, found.memory_bytes)
    )
    limit = next(node.memory_bytes for node in plan.cluster.nodes if node.name == name)
    parts = weights, cache, all_of_it - weights - cache
    words = tuple(format_bytes(part) for part in parts)
    return Bar(name, parts, words, limit or max(found.memory_bytes.values()))
