"""The commands that take a case and a request: plan, compare, pareto, sweep and needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, get_args

import typer
from rich.text import Text

from app.asking import asks_for_case, node_count, one_of
from app.blocks import blocks, layer_blocks
from app.export import plan_json
from app.inputs import accuracy_note
from app.loading import report_command
from app.next_steps import catalogue_links
from app.progress import work
from app.question import request_to_trade, with_usual_loss_limit
from app.render import Format, Outcome
from app.screen import Shown
from app.settings import SETTINGS
from app.tables import comparison_table, frontier_table, plan_table
from app.what_if import (
    needed_sentences,
    needed_table,
    parse_value,
    sweep_sentences,
    sweep_table,
    swing_sentence,
    swing_table,
)
from app.words import (
    NO_ACCURACY_MODEL,
    frontier_sentence,
    uncounted_lines,
    warnings,
)
from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.request import Request
from planner.errors import BadInputError, InfeasibleError, SolverStoppedError
from planner.strategies.compare import DEFAULT_SPARSITIES
from planner.strategies.compare import compare as compare_strategies
from planner.strategies.optimise import optimise
from planner.strategies.timeline import node_times
from planner.strategies.what_if.binding import what_binds as find_what_binds
from planner.strategies.what_if.frontier import Trade, frontier
from planner.strategies.what_if.needed import DEFAULT_TOLERANCE, Resource, needed
from planner.strategies.what_if.next_steps import next_steps as find_next_steps
from planner.strategies.what_if.quantities import Quantity, Value, present_value, spread_values
from planner.strategies.what_if.sweep import Sweep
from planner.strategies.what_if.sweep import sweep as sweep_over
from planner.strategies.what_if.swings import swings
from planner.units import parse_quantity


def on_cluster(case: Case) -> str:
    """The model and the cluster, in words."""
    return f"{case.profile.name} on {case.cluster.name}"


def known_notes(case: Case) -> list[str]:
    """What is to be known about the accuracy model, if there is one."""
    return [note for note in [accuracy_note(case)] if note]


def accuracy_notes(case: Case) -> list[str]:
    """The same, and that there is none: of results some of which drop features."""
    return known_notes(case) if case.loss_model else [NO_ACCURACY_MODEL]


_LEAST_PATIENCE_S = 10.0
_TIME_LIMIT_S = next(x.default for x in SETTINGS if x.field == "time_limit_s")


def _patience_s(took_s: float, limit_s: float | None) -> float:
    """How long next steps are tried: a limit of the user's own, or as long as the plan took.

    Parameters
    ----------
    took_s : float
        The plan; steps have a little time where that was none.
    limit_s : float, optional
        That is asked for, or the usual one.
    """
    if limit_s is not None and limit_s != _TIME_LIMIT_S:
        return limit_s
    return min(max(took_s, _LEAST_PATIENCE_S), limit_s or float("inf"))


@asks_for_case(before="what_binds")
def plan(
    case: Case,
    request: Request,
    output: Format,
    what_binds: Annotated[
        bool,
        typer.Option(
            "--what-binds", help="Also say which limit or resource binds and what more is worth."
        ),
    ] = False,
    next_steps: Annotated[
        bool | None,
        typer.Option(
            help="Try what to change first; in the JSON document only where asked for "
            "(default: on the terminal)."
        ),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show every layer in place of the blocks.")
    ] = False,
    source: str = "",
    input_shape: list[str] | None = None,
    batch: int | None = None,
    weight_bits: float | None = None,
    no_witness: bool = False,
    input_type: list[str] | None = None,
) -> Outcome:
    """Find the best plan for a model on a cluster, with its certificate."""
    begun = time.perf_counter()
    best = work(f"planning {on_cluster(case)}", optimise, case, request)
    took_s = time.perf_counter() - begun
    if what_binds:
        doing = f"asking what binds {on_cluster(case)}"
        binding = work(doing, find_what_binds, case, request)
        best = best.model_copy(update={"binding": binding})
    if output is Format.table if next_steps is None else next_steps:
        asked = replace(request, time_limit_s=_patience_s(took_s, request.time_limit_s))
        doing = f"trying what to change about {on_cluster(case)}"
        found = work(doing, find_next_steps, case, asked, links=catalogue_links(), best=best)
        best = best.model_copy(update={"next_steps": found})

    typed = {
        "input_shape": input_shape,
        "batch": batch,
        "weight_bits": weight_bits,
        "no_witness": no_witness,
        "input_type": input_type,
    }

    def screen(width: int) -> Iterator[Text]:
        parts = layer_blocks(case, best) if layers else blocks(case, best)
        told = report_command(best.model.name, source, typed)
        shown = Shown(best, case.profile, node_times(case, best), parts, best.next_steps, told)
        return shown.lines(width)

    notes = [*known_notes(case), *warnings(best)]
    return Outcome(best, plan_table(best), [], notes, screen=screen, text=plan_json(best))


@asks_for_case()
def compare(
    case: Case,
    request: Request,
    nodes: Annotated[
        list[int] | None, typer.Option(min=1, help="Node counts; repeatable (default: 2).")
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0, max=1.0, help="S_comm of the uniform rows; repeatable (default: 0.8, 0.9)."
        ),
    ] = None,
) -> Outcome:
    """Show every strategy of the papers and the optimum side by side."""
    counts = tuple(node_count(count, case.cluster) for count in nodes or [2])
    comparison = work(
        f"comparing strategies for {on_cluster(case)}",
        compare_strategies,
        case,
        with_usual_loss_limit(case, request),
        counts,
        tuple(sparsity or DEFAULT_SPARSITIES),
    )
    heading = uncounted_lines(case)
    return Outcome(comparison, comparison_table(comparison), heading, accuracy_notes(case))


@asks_for_case()
def pareto(
    case: Case,
    request: Request,
    trade: Annotated[
        str,
        typer.Option(
            help="accuracy (drop against latency) or throughput (latency against throughput)."
        ),
    ] = "accuracy",
    points: Annotated[int, typer.Option(min=2, max=200, help="At most so many points.")] = 12,
) -> Outcome:
    """Show what latency an accuracy drop buys, every point an optimum with its certificate."""
    traded: Trade = one_of("--trade", trade, get_args(Trade))
    doing = f"tracing the frontier of {on_cluster(case)}"
    free = request_to_trade(case, request, traded)
    found = work(doing, frontier, case, free, traded, points)
    heading = [*uncounted_lines(case), frontier_sentence(found)]
    return Outcome(found, frontier_table(found), heading, accuracy_notes(case))


_AROUND = 32.0  # by default from so much less than the present value to so much more


@asks_for_case()
def sweep(
    case: Case,
    request: Request,
    over: Annotated[
        str,
        typer.Option(
            help="bandwidth (B), compute (C), nodes (N), link-latency, memory or memory-bandwidth; "
            "all: half and twice of each."
        ),
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
) -> Outcome:
    """Vary bandwidth, speed, nodes, delay or memory: the best plan at every value, certified."""
    if one_of("--over", over, (*get_args(Quantity), "all")) == "all":
        if first is not None or last is not None or values is not None:
            raise BadInputError("--over all takes half and twice of each: leave the values out")
        return _swings(case, request)
    quantity: Quantity = one_of("--over", over, get_args(Quantity))
    if quantity == "nodes" and max_nodes is not None:
        raise BadInputError("--over nodes varies the number of nodes: leave --max-nodes out")
    if values is None:
        wanted = _range(case.cluster, quantity, first, last, points)
    elif first is not None or last is not None:
        raise BadInputError("--values and --from or --to: give one of them")
    else:
        wanted = tuple(parse_value(quantity, text, "--values") for text in values.split(","))
    found = work(
        f"sweeping {quantity}: {on_cluster(case)}",
        sweep_over,
        case,
        request,
        quantity,
        wanted,
        counting="of",
    )
    _refuse_empty(found)
    heading = [*uncounted_lines(case), *sweep_sentences(found)]
    return Outcome(found, sweep_table(found), heading, known_notes(case))


def _swings(case: Case, request: Request) -> Outcome:
    """Half and twice of every quantity that the cluster has."""
    doing = f"halving and doubling what there is: {on_cluster(case)}"
    found = work(doing, swings, case, request, counting="of")
    heading = [*uncounted_lines(case), swing_sentence(found)]
    return Outcome(found, swing_table(found), heading, known_notes(case))


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


@asks_for_case()
def needs(
    case: Case,
    request: Request,
    latency: Annotated[str, typer.Option(help="The target for one input, such as 100ms.")],
    of: Annotated[
        str,
        typer.Option(
            help="bandwidth (B of every link), compute (C of every node), memory-bandwidth "
            "or nodes (N)."
        ),
    ] = "bandwidth",
    tolerance: Annotated[
        float, typer.Option(help="How near to the smallest value, relative: 0.01 is one percent.")
    ] = DEFAULT_TOLERANCE,
    up_to: Annotated[
        int | None,
        typer.Option(
            "--up-to",
            min=1,
            help="With --of nodes, the most that are considered (default: 16, or all of a larger "
            "cluster). Those beyond the cluster's are copies of its last one.",
        ),
    ] = None,
    max_nodes: int | None = None,
) -> Outcome:
    """Find the smallest bandwidth, speed or number of nodes that meets a latency, with proof."""
    resource: Resource = one_of("--of", of, get_args(Resource))
    if request.limits.max_latency_s is not None:
        raise BadInputError("--latency is the limit on the latency: leave --max-latency out")
    if resource != "nodes" and up_to is not None:
        raise BadInputError("--up-to: only with --of nodes")
    if resource == "nodes" and max_nodes is not None:
        raise BadInputError("--of nodes: give --up-to in place of --max-nodes")
    target_s = parse_quantity(latency, "time", where="--latency")
    found = work(
        f"asking what {latency} takes: {on_cluster(case)}",
        needed,
        case,
        request,
        resource,
        target_s,
        tolerance=tolerance,
        most_nodes=up_to,
        counting="of about",
    )
    table = needed_table(found)
    sentences = [*uncounted_lines(case), *needed_sentences(found)]
    if found.outcome in ("found", "any"):
        return Outcome(found, table, sentences, known_notes(case))
    failure = InfeasibleError if found.outcome == "unreachable" else SolverStoppedError
    return Outcome(found, table, [], [], failure(" ".join(sentences)))
