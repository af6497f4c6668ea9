"""``planner sweep``."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from app import options
from app.asking import asks_for_case, one_of
from app.commands.saying import on_cluster, say_accuracy, write_file
from app.progress import leavable, working
from app.quantity_options import parse_value
from app.question import with_usual_loss_limit
from app.render import Format, emit
from app.what_if_tables import sweep_table
from app.what_if_words import sweep_sentences
from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.request import Request
from planner.errors import BadInputError, InfeasibleError, SolverStoppedError
from planner.strategies.hardware import Quantity, Value, present_value, spread_values
from planner.strategies.sweep import Sweep
from planner.strategies.sweep import sweep as sweep_over
from profiles.files import document_text

_AROUND = 32.0  # by default from so much less than the present value to so much more


@asks_for_case()
def sweep(
    case: Case,
    request: Request,
    over: Annotated[
        str,
        typer.Option(help="bandwidth (B), compute (C), nodes (N), link-latency or memory."),
    ],
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="VALUE",
            help="Where to begin: 1MB/s, 100MMAC/s, 2, 10us, 8MB "
            "(default: a 32nd of the present value; 1 node).",
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="VALUE",
            help="Where to end (default: 32 times the present value; all nodes). Nodes beyond "
            "the cluster's are copies of its last one.",
        ),
    ] = None,
    points: Annotated[
        int, typer.Option(min=2, max=200, help="At most so many values, spaced by factors.")
    ] = 20,
    values: Annotated[
        str | None,
        typer.Option(metavar="VALUE,VALUE,...", help="These values instead: 1MB/s,10MB/s."),
    ] = None,
    max_nodes: int | None = None,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Vary bandwidth, speed, nodes, delay or memory: the best plan at every value, certified."""
    quantity: Quantity = one_of("--over", over, get_args(Quantity))
    if quantity == "nodes" and max_nodes is not None:
        raise BadInputError("--over nodes varies the number of nodes: leave --max-nodes out")
    if values is None:
        wanted = _range(case.cluster, quantity, first, last, points)
    elif first is not None or last is not None:
        raise BadInputError("--values and --from or --to: give one of them")
    else:
        wanted = tuple(parse_value(quantity, text, "--values") for text in values.split(","))
    doing = f"sweeping {quantity}: {on_cluster(case)}"
    with working(doing) as tell:
        found = leavable(
            sweep_over,
            case,
            with_usual_loss_limit(case, request),
            quantity,
            wanted,
            lambda done, of: tell(f"{doing}, {done} of {of} values"),
        )
    _refuse_empty(found)
    write_file(output_file, document_text(found))
    say_accuracy(case)
    document = found.model_dump(mode="json")
    emit(output, sweep_table(found), document, heading=sweep_sentences(found))


def _range(
    cluster: Cluster, quantity: Quantity, first: str | None, last: str | None, points: int
) -> tuple[Value, ...]:
    """The values of a range; an end that was not given follows from the present value."""
    ends = [
        None if text is None else parse_value(quantity, text, option)
        for option, text in (("--from", first), ("--to", last))
    ]
    now = present_value(cluster, quantity)
    if quantity == "nodes":
        around: tuple[Value, ...] = (1, len(cluster.nodes))
    elif now:
        around = (now / _AROUND, now * _AROUND)
        if quantity == "memory":
            around = (max(round(around[0]), 1), round(around[1]))
    elif None in ends:
        raise BadInputError(
            f"--from and --to: give both, {cluster.name} has no single {quantity} to begin with"
        )
    else:
        around = ()
    begin, end = (given if given is not None else around[index] for index, given in enumerate(ends))
    return spread_values(quantity, begin, end, points)


def _refuse_empty(found: Sweep) -> None:
    """A sweep without any plan has only a reason to give."""
    if any(point.best for point in found.points):
        return
    last = found.points[-1]
    error = InfeasibleError if last.failure == "infeasible" else SolverStoppedError
    raise error(f"at none of {len(found.points)} values of {found.over}: {last.reason}")
