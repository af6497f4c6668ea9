"""What stays above every view: its name, the three chips, three figures and what became of them."""

from __future__ import annotations

import html
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.inputs import accuracy_note
from app.page.answer import Answer
from app.page.details import details
from app.page.devices import devices_chip
from app.page.hints import hinted
from app.page.language_details import language_details
from app.page.model_choice import model_chip
from app.page.show import on_page
from app.page.store import Moment, Shown, store
from app.page.text import count, plain, said
from app.words import LEAST_CHANGE, better_words, warnings
from planner.units import format_bytes, format_rate, format_seconds

_RATES = ("throughput", "tokens-per-second")


@dataclass(frozen=True)
class Head:
    """The places of the header.

    Attributes
    ----------
    start : DeltaGenerator
        Of the view's name and the chips.
    figures : DeltaGenerator
        Of three figures.
    doing : DeltaGenerator
        Of what is done meanwhile.
    below : DeltaGenerator
        Of what went wrong; it does not stay.
    """

    start: DeltaGenerator
    figures: DeltaGenerator
    doing: DeltaGenerator
    below: DeltaGenerator


def head(title: str) -> Head:
    """Draw the name of the view, and the chips that need no model."""
    with st.container(key="head", gap=None):
        start = st.container(key="start", horizontal=True, vertical_alignment="center")
        with st.container(key="line", horizontal=True, vertical_alignment="center"):
            figures = st.container(key="three", horizontal=True, width="content")
            doing = st.container(key="doing", horizontal=True, width="content")
    start.title(title, anchor=False)
    model_chip(start)
    devices_chip(start)
    return Head(start, figures, doing, st.container(key="below"))


def header(answer: Shown, place: DeltaGenerator, *, is_old: bool) -> None:
    """Draw the line of figures, and what is behind it.

    Parameters
    ----------
    answer : Answer
        With a plan.
    place : DeltaGenerator
    is_old : bool
        Another plan is looked for, or what is asked has none.
    """
    place.html(figures_line(answer, is_old=is_old))
    notes = notes_on(answer) if isinstance(answer, Answer) else []
    if notes:
        first = notes[0].partition(":")[0].partition(";")[0]
        more = f", and {len(notes) - 1} more" if len(notes) > 1 else ""
        with place.popover(
            f"{said(first)}{more}: why", icon=":material/warning:", type="tertiary", key="notes"
        ):
            for note in notes:
                st.warning(plain(f"{note[:1].upper()}{note[1:]}."))
    with place.popover("Details", type="tertiary", key="details"):
        if isinstance(answer, Answer):
            details(answer, store().pinned)
        else:
            language_details(answer)


def _cells(answer: Shown) -> list[tuple[str, str]]:
    """The figures: name and value."""
    if isinstance(answer, Answer):
        predicted = answer.plan.predicted
        most = max(predicted.memory_bytes.values())
        return [
            ("per input", format_seconds(predicted.latency_s, 3)),
            ("inputs per second", format_rate(predicted.throughput_per_s)),
            (_FULLEST, format_bytes(most)),
        ]
    found = answer.plan.plan.predicted
    most = max(found.memory_bytes.values())
    return [
        ("tokens per second", format_rate(found.tokens_per_s)),
        ("to the first token", format_seconds(found.first_token_s, 3)),
        ("for the whole answer", format_seconds(found.answer_s, 3)),
        (_FULLEST, format_bytes(most)),
    ]


_FULLEST = "on the fullest node"
_ABOUT = {_FULLEST: ("memory",)}


def figures_line(answer: Shown, *, is_old: bool) -> str:
    """A few figures and the change, as HTML."""
    title = html.escape(answer.title)
    said = f'<div class="what"><dt>the plan of</dt><dd>{title}</dd></div>'
    said += "".join(
        f"<div>{hinted('dt', name, *_ABOUT.get(name, ()))}<dd>{html.escape(value)}</dd></div>"
        for name, value in _cells(answer)
    )
    if is_old:
        said += '<div class="old-mark"><dt>these are of</dt><dd>the plan before</dd></div>'
    elif change := _change(answer):
        said += change
    return f'<dl class="figures{" old" if is_old else ""}">{said}</dl>'


def _change(answer: Shown) -> str:
    """By how much the objective differs from A's, or from the last state's."""
    kept = store()
    moment: Moment | None = kept.pinned.moment if kept.pinned else kept.before
    if moment is None or answer.goal not in moment.score:
        return ""
    name = "A" if kept.pinned else "before"
    by_rate = answer.goal in _RATES
    change = answer.score[answer.goal] / moment.score[answer.goal]
    if abs(change - 1) < LEAST_CHANGE:
        return f'<div class="same"><dt>{name}</dt><dd>as in</dd></div>' if kept.pinned else ""
    ratio = change if by_rate else 1 / change
    kind, words = "better" if ratio > 1 else "worse", better_words(ratio, by_rate=by_rate)
    return f'<div class="{kind}"><dt>than {name}</dt><dd>{words}</dd></div>'


def notes_on(answer: Answer) -> list[str]:
    """What a reader must know before trusting the plan, each without its full stop."""
    notes = [note] if (note := accuracy_note(answer.case)) else []
    unknown = answer.profile.coverage.uncounted
    if unknown:
        notes.append(
            f"{count(sum(unknown.values()), 'operator')} of the model were not understood: they "
            "count for nothing; the view Layers names them (the model itself)"
        )
    return [on_page(note) for note in (*warnings(answer.plan), *notes)]
