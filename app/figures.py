"""What one node takes, what a plan takes without training, and with it, side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.domain.plan import Alternative, Plan
from planner.strategies.optimise import LOSSLESS, TRAINED

ALONE, UNTRAINED, TRAINING = "one node alone", "without training", "with training"


@dataclass(frozen=True)
class Figure:
    """One of the three.

    Attributes
    ----------
    name : str
        `ALONE`, `UNTRAINED` or `TRAINING`.
    latency_s, throughput_per_s : float, optional
        None where there is no such plan, or it was not looked for.
    nodes : int, optional
    note : str
        What is lost, or why there are no numbers.
    lost : str
        What training costs, in a few words.
    ratio : float, optional
        How many times as good as one node alone in what the plan was asked for: as fast, or
        inputs per second; None without numbers of both.
    is_plan : bool
        Whether it is the plan itself.
    """

    name: str
    latency_s: float | None = None
    throughput_per_s: float | None = None
    nodes: int | None = None
    note: str = ""
    lost: str = ""
    ratio: float | None = None
    is_plan: bool = False


def beside(plan: Plan) -> str:
    """Strategy of the alternatives that drop nothing where the plan drops something, or that do."""
    return LOSSLESS if plan.drops_features else TRAINED


def figures(plan: Plan) -> tuple[Figure, Figure, Figure]:
    """The three, from a plan and its alternatives."""
    alone, *others = _alone(plan), _untrained(plan), _trained(plan)
    untrained, trained = (replace(each, ratio=_ratio(plan, each, alone)) for each in others)
    return alone, untrained, trained


def _ratio(plan: Plan, figure: Figure, alone: Figure) -> float | None:
    """How many times as good as one node alone."""
    if figure.latency_s is None or alone.latency_s is None:
        return None
    if plan.objective == "latency":
        return alone.latency_s / figure.latency_s
    return (figure.throughput_per_s or 0.0) / (alone.throughput_per_s or 1.0)


def _of_plan(name: str, plan: Plan, note: str = "") -> Figure:
    predicted = plan.predicted
    return Figure(
        name, predicted.latency_s, predicted.throughput_per_s, plan.node_count, note, is_plan=True
    )


def _of_other(name: str, other: Alternative, note: str = "", lost: str = "") -> Figure:
    if other.latency_s is None:
        return Figure(name, note=other.reason)
    return Figure(name, other.latency_s, other.throughput_per_s, other.nodes, note, lost)


def _find(plan: Plan, strategy: str) -> Alternative | None:
    """The best alternative of a strategy; where none fits, one that says why."""
    found = [other for other in plan.alternatives if other.strategy == strategy]
    fitting = [other for other in found if other.latency_s is not None]
    if plan.objective == "latency":
        return min(fitting or found, key=lambda other: other.latency_s or 0.0, default=None)
    return max(fitting or found, key=lambda other: other.throughput_per_s or 0.0, default=None)


def _alone(plan: Plan) -> Figure:
    if plan.node_count == 1:
        return _of_plan(ALONE, plan)
    other = _find(plan, "single-node")
    if other is None:
        return Figure(ALONE, note=f"not looked at: exactly {plan.node_count} nodes were asked for")
    return _of_other(ALONE, other)


def _untrained(plan: Plan) -> Figure:
    if not plan.drops_features:
        return _of_plan(UNTRAINED, plan)
    other = _find(plan, LOSSLESS)
    return Figure(UNTRAINED, note="not looked at") if other is None else _of_other(UNTRAINED, other)


def _trained(plan: Plan) -> Figure:
    predicted = plan.predicted
    if plan.drops_features:
        lost = _lost(predicted.accuracy_drop, predicted.energy_loss)
        return _of_plan(TRAINING, plan, lost or "what that costs is unknown")
    other = _find(plan, TRAINED)
    if other is not None:
        lost = _lost(other.accuracy_drop, other.energy_loss)
        return _of_other(TRAINING, other, lost, _few(other.accuracy_drop, other.energy_loss))
    if plan.accuracy_model is None:
        return Figure(TRAINING, note="unknown: no accuracy model")
    return Figure(TRAINING, note="nothing that may be dropped makes it faster")


def _lost(drop: float | None, energy: float | None) -> str:
    if energy is not None:
        return f"{energy:.1%} of the weights' energy pruned"
    return "" if drop is None else f"{drop:.2f} points lost"


def _few(drop: float | None, energy: float | None) -> str:
    """The same as one says it in passing."""
    if energy is not None:
        return f"{energy:.0%} of the weights' energy"
    return "" if drop is None else f"{drop:.2g} points"
