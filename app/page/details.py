"""The details behind the header's line: settings, every number with its origin, A beside B."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import streamlit as st

from app.figures import ALONE, TRAINING, UNTRAINED, Figure, figures
from app.page.answer import Answer
from app.page.hints import hint
from app.page.show import ORIGIN_WORDS, on_page, table
from app.page.store import Pinned
from app.page.text import count, plain
from app.tables import Cell, Table, scaled
from app.words import certificate_sentence, fewer_nodes_sentence, headline
from planner.domain.cluster import Origin
from planner.domain.settings import Objective
from planner.units import format_bytes, format_rate, format_seconds

_BESIDE = (
    ("latency (ms)", "latency_s", 1e3),
    ("communication (ms)", "comm_s", 1e3),
    ("computation (ms)", "compute_s", 1e3),
    ("throughput (1/s)", "throughput_per_s", 1.0),
    ("accuracy drop (points)", "accuracy_drop", 1.0),
    ("energy loss (%)", "energy_loss", 100.0),
    ("mean S_comm (%)", "mean_comm_sparsity", 100.0),
    ("mean S_comp (%)", "mean_comp_sparsity", 100.0),
)


def beside_table(a: Answer, b: Answer) -> Table:
    """Every number of two plans and what B is over A."""
    rows: list[tuple[Cell, ...]] = []
    for name, field, scale in _BESIDE:
        cell = scaled(field, scale)
        rows.append(_row(name, cell(a.plan.predicted), cell(b.plan.predicted)))
    memory = [max(x.plan.predicted.memory_bytes.values()) / 1e6 for x in (a, b)]
    rows.append(_row("memory of the fullest node (MB)", *memory))
    rows.append(_row("nodes", float(a.plan.node_count), float(b.plan.node_count)))
    rows.append(_row("stages", float(len(a.plan.stages)), float(len(b.plan.stages))))
    kept = [row for row in rows if row[1] is not None or row[2] is not None]
    return Table(
        "A and B",
        ("number", "A", "B", "B - A", "B / A"),
        tuple(kept),
        footer="A is the pinned plan, B the present one. Predicted by the cost model, as its "
        "plan file says for each number: measured, derived or assumed.",
    )


def _row(name: str, a: float | None, b: float | None) -> tuple[Cell, ...]:
    if a is None or b is None:
        return (name, a, b, None, None)
    return (name, a, b, b - a, b / a if a else None)


def changed_settings(a: Answer, b: Answer) -> str:
    """What was asked otherwise for B, in one line; empty where nothing was."""
    changes = []
    if a.profile.name != b.profile.name:
        changes.append(f"model {a.profile.name} → {b.profile.name}")
    if a.case.cluster.name != b.case.cluster.name:
        changes.append(f"cluster {a.case.cluster.name} → {b.case.cluster.name}")
    left = [words for words in a.settings if words not in b.settings]
    right = [words for words in b.settings if words not in a.settings]
    if left or right:
        changes.append(f"{', '.join(left) or 'nothing'} → {', '.join(right) or 'nothing'}")
    return "; ".join(changes)


_SHOWN_CHANGE = 0.0005  # relative; less would read as 0.0 %


@dataclass(frozen=True)
class Number:
    """One of the five: ``amount`` is what is compared with the pinned plan's, in ``unit``."""

    name: str
    text: str
    origin: Origin | None
    words: str
    amount: float | None
    less_is_better: bool = True


def details(answer: Answer, pinned: Pinned | None) -> None:
    """Draw all that the header's line leaves out."""
    st.subheader(plain(answer.title), anchor=False)
    st.markdown(f"#### {plain(headline(answer.plan))}")
    st.caption(plain(answer.settings_sentence))
    _figures(answer)
    other = pinned.answer if pinned else None
    a = other if isinstance(other, Answer) else None
    before = {number.name: number for number in numbers(a)} if a else {}
    with st.container(horizontal=True, gap="small", key="metrics"):
        for number in numbers(answer):
            _metric(number, before.get(number.name), a is not None)
    if a is not None:
        _beside(answer, a)
    st.markdown(plain(certificate_sentence(answer.plan)))
    st.markdown(plain(fewer_nodes_sentence(answer.plan)))


def _figures(answer: Answer) -> None:
    """What one node takes, the best plan without training, and with it; the plan is one of them."""
    alone, *others = figures(answer.plan)
    with st.container(horizontal=True, gap="small", key="figures"):
        for figure in (alone, *others):
            name = figure.name[0].upper() + figure.name[1:]
            st.metric(
                f":green-badge[this plan] {name}" if figure.is_plan else name,
                "–" if figure.latency_s is None else format_seconds(figure.latency_s),
                delta=_about_figure(figure, alone, answer.plan.objective),
                delta_color="off",
                delta_arrow="off",
                help=_FIGURE_WORDS[figure.name],
                border=True,
                height="stretch",
            )


_FIGURE_WORDS = {
    ALONE: "The whole model on the best single node.",
    UNTRAINED: "The best plan that drops nothing: the weights stay as they are.",
    TRAINING: "The best plan that drops features, for which the model must be trained: at the "
    "limit of the side bar, or where none is given at the usual one, half a point (a tenth of the "
    "weights' energy). Give that limit to make it the plan.",
}


def _about_figure(figure: Figure, alone: Figure, objective: Objective) -> str:
    if figure.latency_s is None:
        return on_page(figure.note)
    parts = [
        f"{format_rate(figure.throughput_per_s or 0.0)} /s",
        count(figure.nodes or 1, "node"),
        on_page(figure.note),
    ]
    if figure is not alone and alone.latency_s is not None and figure.nodes != 1:
        ratio = alone.latency_s / figure.latency_s
        if objective == "throughput":
            ratio = (figure.throughput_per_s or 0.0) / (alone.throughput_per_s or 1.0)
        words = "as fast" if objective == "latency" else "the throughput"
        parts.insert(0, f"{ratio:.3g}× {words}")
    return ", ".join(filter(None, parts))


def _interval(answer: Answer) -> str:
    low, high = answer.plan.predicted.latency_low_s, answer.plan.predicted.latency_high_s
    if low is None or high is None:
        return ""
    ends = f"{format_seconds(low)} to {format_seconds(high)}"
    return f" By the intervals of the cluster's figures {ends}."


def numbers(answer: Answer) -> Iterator[Number]:
    """Latency, throughput, what is lost, memory and mean sparsity of an answer's plan."""
    predicted = answer.plan.predicted
    origin = predicted.origin
    yield Number(
        "Latency",
        format_seconds(predicted.latency_s),
        origin["latency_s"],
        f"Communication {format_seconds(predicted.comm_s)}, "
        f"computation {format_seconds(predicted.compute_s)}.{_interval(answer)}",
        predicted.latency_s,
    )
    yield Number(
        "Throughput",
        f"{format_rate(predicted.throughput_per_s)} /s",
        origin["throughput_per_s"],
        "1 / the busiest of stages and transfers.",
        predicted.throughput_per_s,
        less_is_better=False,
    )
    yield _loss(answer)
    most = max(predicted.memory_bytes.values())
    yield Number(
        "Memory per node",
        format_bytes(most),
        origin["memory_bytes"],
        "Of the node that needs most.",
        float(most),
    )
    mean = predicted.mean_comm_sparsity
    yield Number(
        "Mean S_comm",
        "–" if mean is None else f"{mean:.1%}",
        None if mean is None else "derived",
        "Over the bytes of every layer that mixes features and runs on several nodes. A stage on "
        "a single node exchanges none.",
        mean,
    )


def _loss(answer: Answer) -> Number:
    predicted = answer.plan.predicted
    if predicted.energy_loss is not None:
        return Number(
            "Energy loss",
            f"{predicted.energy_loss:.1%}",
            predicted.origin.get("energy_loss"),
            "It says nothing in points of accuracy.",
            predicted.energy_loss,
        )
    drop = predicted.accuracy_drop
    model = answer.case.loss_model
    words = "No accuracy model was chosen, so nothing is known."
    if model is not None:
        words = f"Points of {plain(model.metric)}"
        if predicted.accuracy is not None:
            words += f": {predicted.accuracy:.2f} are predicted"
        words += "."
    return Number(
        "Accuracy drop",
        "–" if drop is None else f"{drop:.2f} points",
        None if drop is None else predicted.origin["accuracy_drop"],
        words,
        drop,
    )


def _metric(number: Number, before: Number | None, pinned: bool) -> None:
    """A number, its origin, and beside a pinned plan what has become of it."""
    delta: str | None = number.origin
    color, arrow = "off", "off"
    change = _change(number, before)
    if pinned:
        delta = change or "as in A"
    if change:
        color = "inverse" if number.less_is_better else "normal"
        arrow = "auto"
        if number.name == "Mean S_comm":
            color = "off"
    origin = f" {ORIGIN_WORDS[number.origin]}" if number.origin else ""
    st.metric(
        number.name,
        number.text,
        delta=delta,
        delta_color=color,  # type: ignore[arg-type]
        delta_arrow=arrow,  # type: ignore[arg-type]
        help=hint(number.name, first=number.words + origin),
        border=True,
        height="stretch",
    )


def _change(number: Number, before: Number | None) -> str:
    """By how much a number differs from the pinned one; empty where it does not."""
    if before is None or number.amount is None or before.amount is None:
        return ""
    if number.amount == before.amount:
        return ""
    if not before.amount:
        return f"A: {before.text}"
    change = number.amount / before.amount - 1
    return f"{change:+.1%} (A: {before.text})" if abs(change) >= _SHOWN_CHANGE else ""


def _beside(answer: Answer, a: Answer) -> None:
    """The two plans beside each other."""
    st.markdown(f"**A: {plain(a.title)}. B: this plan**")
    changes = changed_settings(a, answer)
    st.markdown(plain(changes) if changes else "A and B have the same settings.")
    table(beside_table(a, answer), key="table_a_and_b", height="content")
