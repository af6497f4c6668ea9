"""The report as one HTML file: no script, nothing fetched, pictures as SVG inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import escape

from app.blocks import block_table, blocks
from app.drawing.cluster import cluster_picture
from app.drawing.shapes import DARK, LIGHT, Colour
from app.drawing.svg import to_svg
from app.drawing.times import time_bars
from app.figures import figures
from app.next_steps import SHOWN, none_sentence, option, sentence, untried_sentence
from app.node_times import cluster_table, node_time_table
from app.render import shown_cell
from app.tables import Cell, Table, tabulate
from app.version import VERSION
from app.words import (
    answer_sentence,
    binding_sentences,
    certificate_sentence,
    fewer_nodes_sentence,
    lost_words,
    warnings,
)
from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.plan import Plan
from planner.strategies.timeline import node_times
from planner.units import format_rate, format_seconds, format_times
from profiles.files import one_line

NO_STEPS = (
    "What to change first was not asked for: planner plan … --next-steps -o plan.json has it in "
    "the plan, and a report shows it."
)
_MOST_BLOCKS = 16
_WIDTH = 760.0


def report_html(case: Case, plan: Plan) -> str:
    """The whole file.

    Parameters
    ----------
    case : Case
        Of the model that the plan was made for, on the plan's cluster.
    plan : Plan
    """
    title = f"{plan.model.name} on {plan.cluster.name}"
    body = "\n".join(_body(case, plan, title))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_text(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def _body(case: Case, plan: Plan, title: str) -> Iterator[str]:
    times = node_times(case, plan)
    yield f"<h1>{_text(title)}</h1>"
    yield f'<p class="answer">{_text(answer_sentence(plan, case.profile))}</p>'
    for warning in warnings(plan):
        yield f'<p class="warning">{_text(warning[:1].upper() + warning[1:])}.</p>'
    yield _table(_figure_table(plan))
    yield "<h2>Where the time of one input goes</h2>"
    yield _figure(to_svg(time_bars(times, _WIDTH)))
    yield _folded("The numbers", _table(node_time_table(times)))
    yield "<h2>What lies where</h2>"
    yield _figure(to_svg(cluster_picture(plan, times, _WIDTH)))
    yield _folded("The numbers", _table(cluster_table(plan, times)))
    yield "<h2>What to change first</h2>"
    yield from _steps(plan)
    yield "<h2>Layers by block</h2>"
    yield _table(replace(block_table(blocks(case, plan, _MOST_BLOCKS)), title=""))
    yield "<h2>How sure this is</h2>"
    yield _paragraph(certificate_sentence(plan))
    yield _paragraph(fewer_nodes_sentence(plan))
    yield "<h2>Where the numbers come from</h2>"
    yield _paragraph(
        "Every time is derived by the cost model from the figures of the cluster below and the "
        "model's counts; nothing was run unless a figure says that it was measured."
    )
    yield _table(_origin_table(plan))
    if plan.cluster.figures:
        yield _folded("The cluster's figures", _table(figure_table(plan.cluster)))
    yield (
        f'<p class="end">Made by planner {_text(VERSION)} from a plan with the digest '
        f"{plan.digest[:12]}, for a profile with the SHA-256 {plan.model.profile_sha256[:12]}.</p>"
    )


def _figure_table(plan: Plan) -> Table:
    """One node alone, without training, with training."""
    return tabulate(
        "Beside one node alone",
        figures(plan),
        {
            "plan": lambda x: x.name + (" (this plan)" if x.is_plan else ""),
            "latency": lambda x: None if x.latency_s is None else format_seconds(x.latency_s, 3),
            "inputs per second": lambda x: x.throughput_per_s and format_rate(x.throughput_per_s),
            "nodes": lambda x: x.nodes,
            "against one node": lambda x: None if x.ratio is None else format_times(x.ratio),
            "note": lambda x: x.note,
        },
    )


def _steps(plan: Plan) -> Iterator[str]:
    found = plan.next_steps
    if found is None:
        yield _paragraph(NO_STEPS)
        return
    items = "".join(
        f"<li>{_text(sentence(step, plan))} <code>{_text(option(step))}</code></li>"
        for step in found.steps[:SHOWN]
    )
    if items:
        yield f"<ol>{items}</ol>"
    for told in (none_sentence(found), untried_sentence(found), *binding_sentences(plan)):
        if told:
            yield _paragraph(told)


_PREDICTED = (
    ("latency_s", "latency"),
    ("comm_s", "communication"),
    ("compute_s", "computation"),
    ("throughput_per_s", "throughput"),
    ("memory_bytes", "memory"),
)


def _origin_table(plan: Plan) -> Table:
    """What is known of each predicted number."""
    predicted = plan.predicted
    rows: list[tuple[Cell, ...]] = [
        (words, _predicted(plan, field), predicted.origin.get(field)) for field, words in _PREDICTED
    ]
    lost = lost_words(predicted.accuracy_drop, predicted.energy_loss)
    if plan.drops_features and lost:
        field = "accuracy_drop" if predicted.energy_loss is None else "energy_loss"
        known = plan.accuracy_model or "none"
        rows.append((f"loss ({known})", lost, predicted.origin.get(field)))
    return Table("", ("number", "value", "origin"), tuple(rows))


def _predicted(plan: Plan, field: str) -> str:
    if field == "memory_bytes":
        return f"{max(plan.predicted.memory_bytes.values()) / 1e6:,.3g} MB on the fullest node"
    value = getattr(plan.predicted, field)
    if field == "throughput_per_s":
        return f"{format_rate(value)} inputs/s"
    return format_seconds(value, 3)


def figure_table(cluster: Cluster) -> Table:
    """Where every figure of a cluster comes from."""
    return tabulate(
        "The cluster's figures",
        cluster.figures,
        {
            "figure": lambda x: x.key,
            "origin": lambda x: x.origin + (", a data sheet's peak" if x.peak else ""),
            "where from": lambda x: x.source,
        },
    )


def _text(text: str) -> str:
    return escape(one_line(text))


def _paragraph(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _folded(summary: str, inside: str) -> str:
    return f"<details><summary>{_text(summary)}</summary>{inside}</details>"


def _table(table: Table) -> str:
    """A table that scrolls by itself where it is wide; columns without anything are left out."""
    shown = [
        index
        for index, _ in enumerate(table.columns)
        if any(row[index] not in (None, "") for row in table.rows)
    ]
    head = "".join(f'<th scope="col">{_text(table.columns[index])}</th>' for index in shown)
    rows = "".join(
        f"<tr>{''.join(_cell(row[index]) for index in shown)}</tr>" for row in table.rows
    )
    title = f"<caption>{_text(table.title)}</caption>" if table.title else ""
    foot = f'<p class="foot">{_text(table.footer)}</p>' if table.footer else ""
    return (
        f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{foot}"
    )


def _cell(cell: Cell) -> str:
    number = isinstance(cell, int | float) and not isinstance(cell, bool)
    kind = ' class="number"' if number else ""
    return f"<td{kind}>{escape(shown_cell(cell) if cell != '' else '–')}</td>"


def _variables(palette: dict[Colour, str]) -> str:
    return "".join(f"--plan-{name}:{colour};" for name, colour in palette.items())


def _style() -> str:
    rules: Iterable[str] = (
        f":root{{color-scheme:light dark;{_variables(LIGHT)}}}",
        f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}",
        "body{margin:0;background:var(--plan-ground);color:var(--plan-text);"
        "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}",
        "main{max-width:820px;margin:0 auto;padding:24px 16px 48px}",
        "h1{font-size:1.1rem;margin:0;color:var(--plan-faint)}",
        "h2{font-size:1.15rem;margin:2rem 0 .5rem}",
        ".answer{font-size:1.5rem;line-height:1.3;font-weight:600;margin:.25rem 0 1rem}",
        ".warning{border-left:4px solid var(--plan-busiest);padding-left:12px}",
        "figure{margin:0}",
        "figure svg{min-width:560px}",  # on a phone one scrolls rather than reads with a lens
        "figure,.wide{overflow-x:auto}",
        "table{border-collapse:collapse;font-size:.9rem;margin:.5rem 0}",
        "caption{text-align:left;color:var(--plan-faint)}",
        "th,td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid var(--plan-line);"
        "vertical-align:top}",
        ".number{text-align:right;font-variant-numeric:tabular-nums}",
        ".foot,.end{font-size:.85rem;color:var(--plan-faint)}",
        "code{font-size:.85em;color:var(--plan-faint);white-space:nowrap}",
        "summary{cursor:pointer}",
        "@media print{details{display:block}}",
    )
    return "\n".join(rules) + "\n"


_STYLE = _style()
