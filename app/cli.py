"""The ``planner`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app import options
from app.export import export_plan, plan_json
from app.inputs import (
    Accuracy,
    build_study,
    default_limits,
    find_accuracy,
    parse_input_shapes,
    tuned_cluster,
)
from app.render import Format, emit, say
from app.tables import Table, comparison_table, plan_summary_table, plan_table, profile_table
from app.words import (
    NO_ACCURACY_MODEL,
    certificate_sentence,
    fewer_nodes_sentence,
    headline,
    warnings,
)
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.settings import CostSettings, Limits
from planner.errors import BadInputError, PlannerError
from planner.strategies.compare import compare as compare_strategies
from planner.strategies.optimise import Request, optimise
from planner.strategies.study import Study
from planner.units import format_bytes, parse_quantity
from profiles.catalog import resolve_cluster
from profiles.files import document_text, read_document, write_atomically
from profiles.measured import attach_times, read_times
from profiles.sources import load_source

cli = typer.Typer(
    name="planner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Plan how several devices run one neural network together: what each layer costs, "
    "which features to send, on how many nodes, and what to train.",
    epilog="Exit codes: 0 done; 2 bad input; 3 no plan fits; 4 the solver stopped without a plan.",
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
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Count every layer of a model: MACs, parameters, bytes, and what was not counted."""
    found = _load(source, input_shape, batch, not no_witness)
    if attach:
        found = attach_times(found, read_times(attach), where=attach.name)
    if output_file:
        write_atomically(output_file, document_text(found))
        say(f"wrote {output_file}")
    totals = found.totals
    heading = [
        f"{found.name}: {totals.macs:,} MACs, {totals.params:,} parameters "
        f"({format_bytes(totals.param_bytes)}), {totals.layers} layers; "
        f"from {found.provenance.front_end}",
        *_coverage_lines(found),
    ]
    emit(output, profile_table(found), found.model_dump(mode="json"), heading=heading)


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
def plan(
    source: options.Source,
    cluster: options.ClusterName = "small-nodes",
    nodes: Annotated[int | None, typer.Option(min=1, help="Exactly this many nodes.")] = None,
    max_nodes: Annotated[
        int | None, typer.Option(min=1, help="At most this many nodes (default: all).")
    ] = None,
    parallelism: Annotated[
        str | None,
        typer.Option(help="within-layer or pipeline (default: the better of both)."),
    ] = None,
    objective: options.ObjectiveOption = "latency",
    max_accuracy_drop: options.MaxDrop = None,
    accuracy_model: options.AccuracyName = None,
    max_latency: options.MaxLatency = None,
    min_throughput: options.MinThroughput = None,
    overlap: options.Overlap = False,
    casting: options.CastingOption = None,
    medium: options.MediumOption = None,
    share_inputs: options.ShareInputs = False,
    count_input: options.CountInput = False,
    count_output: options.CountOutput = False,
    bandwidth: options.Bandwidth = None,
    compute: options.Compute = None,
    memory: options.Memory = None,
    solver: Annotated[
        str, typer.Option(help="auto, ilp or exhaustive.", rich_help_panel="Solver")
    ] = "auto",
    time_limit: options.TimeLimit = None,
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    no_witness: options.NoWitness = False,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Find the best plan for a model on a cluster, with its certificate."""
    if nodes is not None and max_nodes is not None:
        raise BadInputError("--nodes and --max-nodes: give one of them")
    model = _load(source, input_shape, batch, not no_witness)
    accuracy = find_accuracy(accuracy_model, model)
    study = _study(
        model,
        cluster,
        nodes or max_nodes,
        _settings(overlap, casting, medium, share_inputs, count_input, count_output),
        accuracy,
        (bandwidth, compute, memory),
    )
    available = len(study.cluster.nodes)
    request = Request(
        node_counts=(nodes,) if nodes else tuple(range(1, available + 1)),
        parallelism=_parallelism(parallelism),
        objective=_choice("--objective", objective, ("latency", "throughput")),
        limits=_limits(max_accuracy_drop, max_latency, min_throughput, accuracy),
        exactly=nodes is not None,
        solver=_choice("--solver", solver, ("auto", "ilp", "exhaustive")),
        time_limit_s=time_limit,
    )
    best = optimise(study, request)
    if output_file:
        write_atomically(output_file, plan_json(best))
        say(f"wrote {output_file}")
    for warning in [*filter(None, [accuracy.note]), *warnings(best)]:
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
    ]


@cli.command()
def compare(
    source: options.Source,
    cluster: options.ClusterName = "small-nodes",
    nodes: Annotated[
        list[int] | None, typer.Option(min=1, help="Node counts; repeatable (default: 2).")
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0, max=1.0, help="S_comm of the uniform rows; repeatable (default: 0.8, 0.9)."
        ),
    ] = None,
    objective: options.ObjectiveOption = "latency",
    max_accuracy_drop: options.MaxDrop = None,
    accuracy_model: options.AccuracyName = None,
    max_latency: options.MaxLatency = None,
    min_throughput: options.MinThroughput = None,
    overlap: options.Overlap = False,
    casting: options.CastingOption = None,
    medium: options.MediumOption = None,
    share_inputs: options.ShareInputs = False,
    count_input: options.CountInput = False,
    count_output: options.CountOutput = False,
    bandwidth: options.Bandwidth = None,
    compute: options.Compute = None,
    memory: options.Memory = None,
    split_points: options.SplitPoints = None,
    time_limit: options.TimeLimit = None,
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    no_witness: options.NoWitness = False,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Show every strategy of the papers and the optimum side by side."""
    counts = tuple(nodes or [2])
    model = _load(source, input_shape, batch, not no_witness)
    accuracy = find_accuracy(accuracy_model, model)
    study = _study(
        model,
        cluster,
        max(counts),
        _settings(overlap, casting, medium, share_inputs, count_input, count_output),
        accuracy,
        (bandwidth, compute, memory),
        tuple(split_points or []),
    )
    comparison = compare_strategies(
        study,
        counts,
        tuple(sparsity or [0.8, 0.9]),
        _choice("--objective", objective, ("latency", "throughput")),
        _limits(max_accuracy_drop, max_latency, min_throughput, accuracy),
        time_limit,
    )
    if output_file:
        write_atomically(output_file, document_text(comparison))
        say(f"wrote {output_file}")
    if accuracy.note:
        say(f"note: {accuracy.note}")
    if accuracy.model is None:
        say(f"note: {NO_ACCURACY_MODEL}")
    emit(output, comparison_table(comparison), comparison.model_dump(mode="json"))


@cli.command()
def export(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan .json.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    output: options.Output = Format.table,
) -> None:
    """Write what training needs: the plan and the features that each layer keeps."""
    found = read_document(plan_file, Plan, what="plan")
    written = export_plan(found, to)
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


def _load(
    source: str, input_shape: list[str] | None, batch: int | None, witness: bool
) -> ModelProfile:
    shapes = parse_input_shapes(input_shape or [])
    return load_source(source, input_shapes=shapes or None, batch=batch, witness=witness)


def _study(
    model: ModelProfile,
    cluster_name: str,
    nodes: int | None,
    settings: CostSettings,
    accuracy: Accuracy,
    tuning: tuple[str | None, str | None, str | None],
    split_points: tuple[str, ...] = (),
) -> Study:
    bandwidth, compute, memory = tuning
    cluster = resolve_cluster(cluster_name)
    if nodes is not None and nodes > len(cluster.nodes):
        raise BadInputError(
            f"--nodes {nodes}: cluster {cluster.name} has {len(cluster.nodes)} nodes"
        )
    tuned = tuned_cluster(
        cluster,
        bandwidth_bytes_per_s=_quantity(bandwidth, "bandwidth"),
        macs_per_s=_quantity(compute, "compute"),
        memory_bytes=None if memory is None else int(_quantity(memory, "memory") or 0),
        nodes=nodes,
    )
    return build_study(model, tuned, settings, accuracy, split_points)


def _quantity(text: str | None, kind: str) -> float | None:
    return None if text is None else parse_quantity(text, kind, where=f"--{kind}")


def _settings(
    overlap: bool,
    casting: str | None,
    medium: str | None,
    share_inputs: bool,
    count_input: bool,
    count_output: bool,
) -> CostSettings:
    return CostSettings(
        overlap=overlap,
        casting=_choice("--casting", casting, ("unicast", "broadcast", None)),
        medium=_choice("--medium", medium, ("full_duplex", "half_duplex", "shared", None)),
        share_inputs=share_inputs,
        count_input=count_input,
        count_output=count_output,
    )


def _limits(
    max_accuracy_drop: float | None,
    max_latency: str | None,
    min_throughput: float | None,
    accuracy: Accuracy,
) -> Limits:
    latency = (
        None if max_latency is None else parse_quantity(max_latency, "time", where="--max-latency")
    )
    if min_throughput is not None and min_throughput <= 0:
        raise BadInputError("--min-throughput: found 0; give inputs per second above 0")
    limits = Limits(
        max_accuracy_drop=max_accuracy_drop,
        max_latency_s=latency,
        min_throughput_per_s=min_throughput,
    )
    return default_limits(limits, accuracy)


def _choice(option: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        names = ", ".join(name for name in allowed if name)
        raise BadInputError(f"{option} {value!r}: give one of {names}")
    return value


def _parallelism(value: str | None) -> tuple[Any, ...]:
    every = ("within-layer", "pipeline")
    return every if value is None else (_choice("--parallelism", value, every),)


def main() -> None:
    """Run the command; a planner error becomes one line on stderr and its exit code."""
    try:
        cli()
    except PlannerError as error:
        sys.stderr.write(f"planner: {error}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
