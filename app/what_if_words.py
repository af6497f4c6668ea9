"""Sweeps and what a target would take, in words, for the command line and the page alike."""

from __future__ import annotations

import itertools

from planner.strategies.what_if.needed import Needed
from planner.strategies.what_if.quantities import Quantity, Value
from planner.strategies.what_if.sweep import Sweep
from planner.units import format_seconds, format_si

_DIGITS = 6  # no fewer than values are rounded to, so that what is read can be typed
_WORDS: dict[Quantity, str] = {
    "bandwidth": "bandwidth",
    "compute": "computing speed",
    "nodes": "number of nodes",
    "link-latency": "delay of a message",
    "memory": "memory limit",
}


def quantity_words(quantity: Quantity, value: Value) -> str:
    """A value with its unit."""
    if quantity == "nodes":
        return f"{value:,} node" if value == 1 else f"{value:,} nodes"
    if quantity == "link-latency":
        return format_seconds(value)
    unit = {"bandwidth": "B/s", "compute": "MAC/s", "memory": "B"}[quantity]
    return format_si(value, unit, _DIGITS)


def sweep_sentences(found: Sweep) -> list[str]:
    """What the two ends of a sweep say, from where on distributing pays, and what is missing."""
    with_plan = [(point.value, point.best) for point in found.points if point.best]
    sentences = []
    if with_plan:
        (first, before), (last, after) = with_plan[0], with_plan[-1]
        sentences.append(
            f"{_WORDS[found.over].capitalize()}: {format_seconds(before.latency_s)} per input at "
            f"{quantity_words(found.over, first)}, {format_seconds(after.latency_s)} at "
            f"{quantity_words(found.over, last)}."
        )
    for (value, one), (following, other) in itertools.pairwise(with_plan):
        if found.over != "nodes" and (one.nodes == 1) != (other.nodes == 1):
            best = "One node is" if other.nodes == 1 else "Several nodes are"
            sentences.append(
                f"{best} best from somewhere between {quantity_words(found.over, value)} and "
                f"{quantity_words(found.over, following)} on."
            )
    missing = len(found.points) - len(with_plan)
    if missing:
        sentences.append(f"No plan at {missing} of {len(found.points)} values.")
    return sentences


def needed_sentences(found: Needed) -> list[str]:
    """Whether the target is met, the least value that does, and how sure that is."""
    target = format_seconds(found.target_latency_s)
    sentences = [f"{target} is {_met(found)}."]
    if found.outcome == "any":
        sentences.append(f"Any {_WORDS[found.of]} is enough: {_plan(found)} does not depend on it.")
    elif found.outcome == "unreachable":
        sentences.append(_unreachable(found))
    elif found.enough is None:
        sentences.append(
            f"Whether any {_WORDS[found.of]} is enough stays open: the solver had no time for a "
            "proof; allow more (--time-limit)."
        )
    else:
        sentences.append(f"{quantity_words(found.of, found.enough)} is enough: {_plan(found)}.")
        sentences.append(_least(found))
    return sentences


def _met(found: Needed) -> str:
    now = "" if found.current is None else f" with {quantity_words(found.of, found.current)}"
    best = "no plan fits"
    if found.current_best is not None:
        best = f"the best plan takes {format_seconds(found.current_best.latency_s)}"
    state = {True: "met already", False: "not met yet", None: "perhaps met"}[found.met]
    return f"{state}{now}: {best}"


def _plan(found: Needed) -> str:
    assert found.best is not None
    words = f"{found.best.strategy} on {quantity_words('nodes', found.best.nodes)}"
    return f"{words}, {format_seconds(found.best.latency_s)}"


def _least(found: Needed) -> str:
    below = found.not_enough
    if found.of == "nodes" and below == 0:
        return "There is no smaller number."
    if below is None:
        return "Less may be enough as well: no value is proven not to be."
    not_enough = f"{quantity_words(found.of, below)} is proven not to be"
    if found.of == "nodes" and found.proven:
        return f"That is the smallest number: {not_enough}."
    if found.proven:
        return f"That is the smallest value to within {found.tolerance * 100:.3g} %: {not_enough}."
    return f"Less may be enough as well; {not_enough}, and what lies between stays open."


def _unreachable(found: Needed) -> str:
    target = format_seconds(found.target_latency_s)
    bound = next(trial.bound_s for trial in found.trials if trial.value == found.largest)
    least = "no plan fits the other limits"
    if bound is not None:
        least = f"no plan takes less than {format_seconds(bound)}"
    if found.of == "nodes":
        return f"No number of nodes up to {found.largest} is enough for {target}: {least}."
    kind = _WORDS[found.of]
    return f"No {kind} is enough for {target}: {least}, with as good as unlimited {kind}."
