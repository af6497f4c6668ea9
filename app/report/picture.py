"""The answer as one picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from app.drawing.cluster import cluster_picture, describe
from app.drawing.png import to_png
from app.drawing.shapes import CHARACTER, Colour, Picture, Words, stacked
from app.drawing.times import time_bars
from app.next_steps import SHOWN, sentence
from app.words import answer_sentence, certificate_sentence
from planner.case import Case
from planner.domain.plan import Plan
from planner.strategies.timeline import node_times

_WIDTH = 760.0
_LINE = 1.35  # of the size of letters


def report_png(case: Case, plan: Plan) -> bytes:
    """The file: the sentence, where the time goes, the cluster, next steps and the proof."""
    return to_png(answer_picture(case, plan))


def answer_picture(case: Case, plan: Plan, width: float = _WIDTH) -> Picture:
    """The same as shapes.

    Parameters
    ----------
    case : Case
        Of the model that the plan was made for, on the plan's cluster.
    plan : Plan
    width : float
        In pixels of a screen, without the edge.
    """
    times = node_times(case, plan)
    told = answer_sentence(plan, case.profile)
    title = f"{plan.model.name} on {plan.cluster.name}"
    parts = [
        paragraph([title], width, 14, "faint"),
        paragraph([told], width, 20, bold=True),
        time_bars(times, width),
        cluster_picture(plan, times, width),
    ]
    if plan.next_steps is not None and plan.next_steps.steps:
        steps = [
            f"{number}. {sentence(step, plan)}"
            for number, step in enumerate(plan.next_steps.steps[:SHOWN], start=1)
        ]
        parts += [
            paragraph(["What to change first"], width, 14, bold=True),
            paragraph(steps, width, 13),
        ]
    parts.append(paragraph([certificate_sentence(plan)], width, 11, "faint"))
    return stacked(parts, title, f"{told} {describe(plan, times)}")


def paragraph(
    texts: Sequence[str], width: float, size: float, fill: Colour = "text", bold: bool = False
) -> Picture:
    """Texts in lines of no more than a width, each begun on a new one."""
    most = max(int(width / (size * CHARACTER)), 10)
    lines = [line for text in texts for line in textwrap.wrap(text, most)]
    shapes = tuple(
        Words(0, (number + 0.8) * size * _LINE, line, size, fill, bold)
        for number, line in enumerate(lines)
    )
    return Picture(width, len(lines) * size * _LINE, texts[0], " ".join(texts), shapes)
