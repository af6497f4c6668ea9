"""Sweeps and what a target would take: values as they are typed, as rows and in words."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

from app.tables import Cell, Table, loss_words, lost, scaled, shown_gap, tabulate
from planner.errors import BadInputError
from planner.strategies.what_if.needed import Needed, Trial
from planner.strategies.what_if.quantities import Quantity, Value, check_value
from planner.strategies.what_if.summary import PlanSummary
from planner.strategies.what_if.sweep import Sweep, SweepPoint
from planner.strategies.what_if.swings import Swings
from planner.units import format_rate, format_seconds, format_si, parse_quantity


@dataclass(frozen=True)
class Form:
    """How a quantity is typed, said, drawn and written down.

    Attributes
    ----------
    kind : str
        Its units, as `planner.units.parse_quantity` knows them; empty for a number of nodes.
    unit : str
        In words, with a prefix.
    words, symbol : str
        In sentences, and on the page's buttons.
    column, axis : str
        With the unit that ``scale`` makes of SI.
    scale : float
    """

    kind: str
    unit: str
    words: str
    symbol: str
    column: str
    axis: str
    scale: float


QUANTITIES: dict[Quantity, Form] = {
    "bandwidth": Form("bandwidth", "B/s", "bandwidth", "bandwidth B", "bandwidth B (MB/s)",
                       "bandwidth B of every link (MB/s)", 1e-6),
    "compute": Form("compute", "MAC/s", "computing speed", "computing speed C",
                    "computing speed C (GMAC/s)", "computing speed C of every node (GMAC/s)", 1e-9),
    "nodes": Form("", "", "number of nodes", "nodes N", "at most (nodes)", "nodes, at most", 1.0),
    "link-latency": Form("time", "s", "delay of a message", "delay of a message",
                         "delay of a message (ms)", "delay of a message (ms)", 1e3),
    "memory": Form("memory", "B", "memory limit", "memory", "memory limit (MB)",
                    "memory of every node (MB)", 1e-6),
    "memory-bandwidth": Form("bandwidth", "B/s", "memory bandwidth", "memory bandwidth",
                             "memory bandwidth (GB/s)", "memory bandwidth of every node (GB/s)",
                             1e-9),
}  # fmt: skip


def parse_value(quantity: Quantity, text: str, where: str) -> Value:
    """Read a value of a quantity into SI.

    Parameters
    ----------
    quantity : Quantity
    text : str
        With a unit, or in SI without one; a number of nodes has none.
    where : str
        The option, for the message.

    Raises
    ------
    BadInputError
        No such value, or one that no cluster may have.
    """
    if kind := QUANTITIES[quantity].kind:
        value: Value = parse_quantity(text, kind, where=where)
    elif text.strip().isdecimal() and len(text) < 10:
        value = int(text)
    else:
        raise BadInputError(f"{where}: found {text!r}; give a whole number of nodes")
    if quantity == "memory":
        value = int(value)
    return check_value(quantity, value)


_SAID_DIGITS = 6  # no fewer than values are rounded to, so that what is read can be typed


def quantity_words(quantity: Quantity, value: Value) -> str:
    """A value with its unit."""
    if quantity == "nodes":
        return f"{value:,} node" if value == 1 else f"{value:,} nodes"
    if quantity == "link-latency":
        return format_seconds(value)
    return format_si(value, QUANTITIES[quantity].unit, _SAID_DIGITS)


def sweep_sentences(found: Sweep) -> list[str]:
    """What the two ends of a sweep say, from where on distributing pays, and what is missing."""
    words = QUANTITIES[found.over].words
    with_plan = [(point.value, point.best) for point in found.points if point.best]
    sentences = []
    if with_plan:
        (first, before), (last, after) = with_plan[0], with_plan[-1]
        sentences.append(
            f"{words.capitalize()}: {format_seconds(before.latency_s)} per input at "
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
    words = QUANTITIES[found.of].words
    sentences = [f"{target} is {_met(found)}."]
    if found.outcome == "any":
        sentences.append(f"Any {words} is enough: {_plan(found)} does not depend on it.")
    elif found.outcome == "unreachable":
        sentences.append(_unreachable(found))
    elif found.enough is None:
        sentences.append(
            f"Whether any {words} is enough stays open: the solver had no time for a "
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
    kind = QUANTITIES[found.of].words
    return f"No {kind} is enough for {target}: {least}, with as good as unlimited {kind}."


_DIGITS = 12  # a value is shown as it was typed: 21.23, not 21.229999999999997


def sweep_table(found: Sweep) -> Table:
    """One row per value."""
    least = "least latency" if found.objective == "latency" else "most throughput"
    return tabulate(
        f"{found.model} on {found.cluster}: {least}",
        found.points,
        {
            QUANTITIES[found.over].column: lambda point: _shown(found.over, point.value),
            "latency (ms)": _of_best(scaled("latency_s", 1e3)),
            "comm. (ms)": _of_best(scaled("comm_s", 1e3)),
            "comp. (ms)": _of_best(scaled("compute_s", 1e3)),
            "throughput (1/s)": _of_best(attrgetter("throughput_per_s")),
            "loss": _of_best(lost),
            "nodes": _of_best(attrgetter("nodes")),
            "strategy": _of_best(attrgetter("strategy")),
            "S_comm (%)": _of_best(scaled("mean_comm_sparsity", 100)),
            "status": lambda point: point.best.certificate.status if point.best else point.failure,
            "gap": _of_best(lambda best: shown_gap(best.certificate)),
            "note": lambda point: _note(found, point),
        },
        "comm., comp.: communication and computation; loss: "
        f"{loss_words(point.best for point in found.points if point.best)}",
    )


def _of_best(cell: Callable[[PlanSummary], Cell]) -> Callable[[SweepPoint], Cell]:
    return lambda point: cell(point.best) if point.best else None


def _note(found: Sweep, point: SweepPoint) -> str:
    now = "the present value" if point.value == found.current else ""
    return point.reason or now


def needed_table(found: Needed) -> Table:
    """One row per value that was tried, by rising value."""
    return tabulate(
        f"{found.model} on {found.cluster}: what {format_seconds(found.target_latency_s)} takes",
        sorted(found.trials, key=lambda trial: trial.value or 0),
        {
            QUANTITIES[found.of].column: lambda trial: _shown(found.of, trial.value),
            "latency (ms)": scaled("latency_s", 1e3),
            "bound (ms)": scaled("bound_s", 1e3),
            "verdict": attrgetter("verdict"),
            "note": lambda trial: _trial_note(found, trial),
        },
        "bound: no plan is faster there; enough: a plan meets the target; not enough: the "
        "bound proves that none does",
    )


def _trial_note(found: Needed, trial: Trial) -> str:
    if trial.reason:
        return trial.reason
    if trial.value is None:
        return "the cluster as it is"
    if trial.value == found.current:
        return "the present value"
    if trial.value == found.largest and found.of != "nodes":
        return "as good as unlimited"
    return "the smallest value" if found.proven and trial.value == found.enough else ""


def _shown(quantity: Quantity, value: Value | None) -> Cell:
    if value is None or quantity == "nodes":
        return value
    return float(f"{value * QUANTITIES[quantity].scale:.{_DIGITS}g}")


SWUNG = {name: form.words for name, form in QUANTITIES.items()} | {
    "overhead": "time per layer",
    "nodes": "number of nodes, at most",
}
"""Quantities that are halved and doubled, in words."""


def swing_sentence(found: Swings) -> str:
    """Which quantity changes most."""
    if not found.swings:
        return "Nothing of this cluster can be halved or doubled."
    first = found.swings[0]
    ends = " and ".join(
        f"{_end(point, found)} with {words}"
        for point, words in ((first.half, "half as much"), (first.double, "twice as much"))
    )
    return f"What changes most is the {SWUNG[first.of]}: {ends}."


def _end(point: SweepPoint, found: Swings) -> str:
    if point.best is None:
        return "no plan"
    if found.objective == "throughput":
        return f"{format_rate(point.best.throughput_per_s)} inputs/s"
    return format_seconds(point.best.latency_s)


def swing_table(found: Swings) -> Table:
    """One row for each quantity and side."""
    rows = [
        (swing, words, point)
        for swing in found.swings
        for words, point in (("half", swing.half), ("twice", swing.double))
    ]
    return tabulate(
        f"{found.model} on {found.cluster}: half and twice of each quantity",
        rows,
        {
            "quantity": lambda row: SWUNG[row[0].of],
            "how much": lambda row: row[1],
            "value (SI)": lambda row: row[2].value,
            "latency (ms)": lambda row: _of_best(scaled("latency_s", 1e3))(row[2]),
            "throughput (1/s)": lambda row: _of_best(attrgetter("throughput_per_s"))(row[2]),
            "nodes": lambda row: _of_best(attrgetter("nodes"))(row[2]),
            "status": lambda row: row[2].best.certificate.status if row[2].best else row[2].failure,
        },
        "each found by planning again, all else as it is; now "
        f"{format_seconds(found.best.latency_s)} and "
        f"{format_rate(found.best.throughput_per_s)} inputs/s",
    )
