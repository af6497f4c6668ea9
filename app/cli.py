"""The ``planner`` command."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import typer
from typer.exceptions import TyperException

from app import options
from app.asked import Asked, asks_for_study, load_profile, one_of
from app.export import export_plan, find_masks, plan_json, planned_model
from app.progress import leavable, working
from app.render import Format, View, emit, say
from app.tables import (
    Table,
    comparison_table,
    frontier_table,
    plan_summary_table,
    plan_table,
    profile_table,
)
from app.tree_view import draw_tree
from app.words import (
    NO_ACCURACY_MODEL,
    binding_sentences,
    certificate_sentence,
    fewer_nodes_sentence,
    frontier_sentence,
    headline,
    warnings,
)
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.settings import Objective, Parallelism
from planner.errors import BadInputError, PlannerError
from planner.strategies.binding import what_binds as find_what_binds
from planner.strategies.compare import compare as compare_strategies
from planner.strategies.optimise import Request, optimise
from planner.strategies.pareto import Trade, frontier
from planner.units import format_bytes
from profiles.files import document_text, one_line, read_document, write_atomically
from profiles.measured import attach_times, read_times

INTERRUPTED = 130

cli = typer.Typer(
    name="planner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Plan how several devices run one neural network together: what each layer costs, "
    "which features to send, on how many nodes, and what to train.",
    epilog="Exit codes: 0 done; 2 bad input; 3 no plan fits; 4 the solver stopped without a plan; "
    "130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@cli.command()
def profile(
    source: options.Source,
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    no_witness: options.NoWitness = False,
    attach: Annotated[
        Path | None,
        typer.Option(help="Measured times: .csv (layer,device_type,seconds) or .json."),
    ] = None,
    view: Annotated[
        View,
        typer.Option(help="Layers nested by the paths in their names with sums, or one a line."),
    ] = View.tree,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Levels of the tree to show (default: all).")
    ] = None,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Count every layer of a model: MACs, parameters, bytes, and what was not counted."""
    if depth is not None and (view is View.flat or output is not Format.table):
        raise BadInputError("--depth: only a tree on the terminal has levels (--view tree)")
    found = load_profile(source, input_shape, batch, not no_witness)
    if attach:
        found = attach_times(found, read_times(attach), where=attach.name)
    _write(output_file, document_text(found))
    totals = found.totals
    heading = [
        f"{found.name}: {totals.macs:,} MACs, {totals.params:,} parameters "
        f"({format_bytes(totals.param_bytes)}), {totals.layers} layers; "
        f"from {found.provenance.front_end}",
        *_coverage_lines(found),
    ]
    emit(
        output,
        profile_table(found),
        found.model_dump(mode="json"),
        heading=heading,
        drawn=partial(draw_tree, found, depth) if view is View.tree else None,
    )


def _coverage_lines(found: ModelProfile) -> list[str]:
    coverage = found.coverage
    lines = [f"{coverage.covered_share:.1%} of the operators are counted or known to be free"]
    if coverage.uncounted:
        names = ", ".join(f"{name} ({count})" for name, count in coverage.uncounted.items())
        lines.append(f"NOT counted: {names}")
    if coverage.witness:
        skipped = ", ".join(coverage.witness.skipped_ops) or "none"
        lines.append(
            f"{coverage.witness.tool} counts {coverage.witness.total_macs:,} MACs; "
            f"operators that it skipped: {skipped}"
        )
    elif coverage.witness_note:
        lines.append(f"no second count: {coverage.witness_note}")
    return lines


@cli.command()
@asks_for_study
def plan(
    asked: Asked,
    nodes: Annotated[int | None, typer.Option(min=1, help="Exactly this many nodes.")] = None,
    max_nodes: options.MaxNodes = None,
    parallelism: options.ParallelismOption = "hybrid",
    objective: options.ObjectiveOption = "latency",
    solver: Annotated[
        str, typer.Option(help="auto, ilp or exhaustive.", rich_help_panel="Solver")
    ] = "auto",
    what_binds: Annotated[
        bool,
        typer.Option(
            "--what-binds", help="Also say which limit or resource binds and what more is worth."
        ),
    ] = False,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Find the best plan for a model on a cluster, with its certificate."""
    if nodes is not None and max_nodes is not None:
        raise BadInputError("--nodes and --max-nodes: give one of them")
    request = Request(
        max_nodes=asked.node_count(nodes or max_nodes, "--nodes" if nodes else "--max-nodes"),
        parallelism=one_of("--parallelism", parallelism, get_args(Parallelism)),
        objective=one_of("--objective", objective, get_args(Objective)),
        limits=asked.limits,
        exactly=nodes is not None,
        solver=one_of("--solver", solver, ("auto", "ilp", "exhaustive")),
        time_limit_s=asked.time_limit_s,
    )
    with working(f"planning {_on(asked)}"):
        best = leavable(optimise, asked.study, request)
    if what_binds:
        with working(f"asking what binds {_on(asked)}"):
            binding = leavable(find_what_binds, asked.study, request)
        best = best.model_copy(update={"binding": binding})
    _write(output_file, plan_json(best))
    for warning in [*filter(None, [asked.accuracy.note]), *warnings(best)]:
        say(f"note: {warning}")
    table = plan_summary_table(best) if output is Format.table else plan_table(best)
    emit(output, table, best.model_dump(mode="json"), heading=_plan_heading(best))


def _plan_heading(best: Plan) -> list[str]:
    needs = max(best.predicted.memory_bytes.values())
    return [
        f"{best.model.name} on {best.cluster.name}",
        headline(best),
        f"communication {best.predicted.comm_s * 1e3:,.4g} ms, computation "
        f"{best.predicted.compute_s * 1e3:,.4g} ms, at most {format_bytes(needs)} on a node",
        certificate_sentence(best),
        fewer_nodes_sentence(best),
        *binding_sentences(best),
    ]


@cli.command()
@asks_for_study
def compare(
    asked: Asked,
    nodes: Annotated[
        list[int] | None, typer.Option(min=1, help="Node counts; repeatable (default: 2).")
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0, max=1.0, help="S_comm of the uniform rows; repeatable (default: 0.8, 0.9)."
        ),
    ] = None,
    split_points: options.SplitPoints = None,
    objective: options.ObjectiveOption = "latency",
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Show every strategy of the papers and the optimum side by side."""
    counts = tuple(asked.node_count(count) for count in nodes or [2])
    with working(f"comparing strategies for {_on(asked)}"):
        comparison = leavable(
            compare_strategies,
            replace(asked.study, split_points=tuple(split_points or [])),
            counts,
            tuple(sparsity or [0.8, 0.9]),
            one_of("--objective", objective, get_args(Objective)),
            asked.limits,
            asked.time_limit_s,
        )
    _write(output_file, document_text(comparison))
    _say_accuracy(asked)
    emit(output, comparison_table(comparison), comparison.model_dump(mode="json"))


@cli.command()
@asks_for_study
def pareto(
    asked: Asked,
    trade: Annotated[
        str,
        typer.Option(
            help="accuracy (drop against latency) or throughput (latency against throughput)."
        ),
    ] = "accuracy",
    points: Annotated[int, typer.Option(min=2, max=200, help="At most so many points.")] = 12,
    max_nodes: options.MaxNodes = None,
    parallelism: options.ParallelismOption = "hybrid",
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Show what latency an accuracy drop buys, every point an optimum with its certificate."""
    traded: Trade = one_of("--trade", trade, get_args(Trade))
    with working(f"tracing the frontier of {_on(asked)}"):
        found = leavable(
            frontier,
            asked.study,
            traded,
            max_nodes=asked.node_count(max_nodes, "--max-nodes"),
            parallelism=one_of("--parallelism", parallelism, get_args(Parallelism)),
            limits=asked.frontier_limits(traded),
            points=points,
            time_limit_s=asked.time_limit_s,
        )
    _write(output_file, document_text(found))
    _say_accuracy(asked)
    heading = [frontier_sentence(found)]
    emit(output, frontier_table(found), found.model_dump(mode="json"), heading=heading)


def _on(asked: Asked) -> str:
    return f"{asked.study.profile.name} on {asked.study.cluster.name}"


def _say_accuracy(asked: Asked) -> None:
    if asked.accuracy.note:
        say(f"note: {asked.accuracy.note}")
    if asked.accuracy.model is None:
        say(f"note: {NO_ACCURACY_MODEL}")


def _write(path: Path | None, text: str) -> None:
    if path:
        write_atomically(path, text)
        say(f"wrote {path}")


@cli.command()
def export(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan .json.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    weights: Annotated[
        Path | None,
        typer.Option(help="The model's weights, .safetensors or .onnx: also write masks for them."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="With --weights: the model that the plan was made for, as `planner plan` had it "
            "(default: the catalogue model of the plan's name).",
        ),
    ] = None,
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    no_witness: options.NoWitness = False,
    output: options.Output = Format.table,
) -> None:
    """Write what training needs: the plan, the features that each layer keeps, and masks."""
    found = read_document(plan_file, Plan, what="plan")
    masks = None
    if weights is not None:
        source = model or planned_model(found)
        profiled = load_profile(source, input_shape, batch, not no_witness)
        with working(f"ranking the sub-rows of {found.model.name}"):
            masks = find_masks(found, profiled, weights)
        if not masks.arrays:
            say("note: this plan prunes nothing, so that there are no masks")
    elif model or input_shape or batch or no_witness:
        raise BadInputError(
            "--model, --input-shape, --batch and --no-witness are for masks: give --weights FILE"
        )
    written = export_plan(found, to, masks)
    table = Table("written", ("file",), tuple((str(path),) for path in written))
    emit(output, table, [str(path) for path in written], heading=[headline(found)])


@cli.command()
def catalog(
    kind: Annotated[
        str | None, typer.Argument(help="models, clusters or accuracy (default: all).")
    ] = None,
    output: options.Output = Format.table,
) -> None:
    """List what ships: models, clusters and published accuracy curves, with their sources."""
    from app.catalog_tables import CATALOG_TABLES

    if kind is not None and kind not in CATALOG_TABLES:
        raise BadInputError(f"KIND {kind!r}: give one of {', '.join(CATALOG_TABLES)}")
    kinds = [kind] if kind else list(CATALOG_TABLES)
    if output is Format.json:
        documents = {name: CATALOG_TABLES[name].document() for name in kinds}
        emit(output, CATALOG_TABLES[kinds[0]].table(), documents)
        return
    for name in kinds:
        emit(output, CATALOG_TABLES[name].table(), None)


@cli.command(name="app")
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8501,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
) -> None:
    """Serve the what-if page on 127.0.0.1."""
    from app.serve import run_page

    raise typer.Exit(run_page(port, headless=headless))


def main() -> None:
    """Run the command; what goes wrong becomes one line on stderr and its exit code."""
    try:
        code = cli(standalone_mode=False)
    except PlannerError as error:
        sys.stderr.write(f"planner: {error}\n")
        sys.exit(error.exit_code)
    except TyperException as error:  # of the words themselves: an unknown option, a missing SOURCE
        if message := error.format_message():  # without any words the help was shown
            sys.stderr.write(f"planner: {one_line(message)}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    if code == INTERRUPTED:  # typer's word for Ctrl-C
        sys.stderr.write("planner: interrupted\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # a solver's thread may still run
    sys.exit(code)
