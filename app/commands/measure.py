"""``planner measure``: from devices to a cluster file."""

from __future__ import annotations

import csv
import io
import os
import platform
import socket
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import numpy as np
import typer
from pydantic import ValidationError

from app import options
from app.asking import one_of
from app.inputs import parse_input_shapes
from app.loading import load_profile
from app.progress import working
from app.render import Format, Outcome, show
from app.tables import Table, tabulate
from planner.domain.cluster import Cluster, Figure, Link, Node
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.measure.fit import Fitted, fit_models, fit_samples, layers_predicted_s, predicted_s
from planner.measure.join import GivenLink, join
from planner.measure.parts import (
    LayerSample,
    LinkMeasurement,
    ModelTime,
    NodeMeasurement,
    value_of,
)
from planner.units import cell_number, format_bytes, format_seconds, format_si, parse_quantity
from profiles.built import built_model
from profiles.devices import link_names, load_link
from profiles.files import first_problem, one_line, read_document, read_text
from profiles.own_code import own_object

if TYPE_CHECKING:
    from planner.runtime.reading.traced import TracedModel

COLUMNS = ("model", "seconds")
LEAST_S, MOST_S = 1.0, 3600.0
MODEL_SECONDS = (1e-9, 1e9)
"""Of a model, as somebody may have written them down: figures that follow can be fitted."""
MODEL_PASSES = 15
MODEL_SHARE = 0.25
"""Of the time limit, for whole models."""

measure = typer.Typer(
    no_args_is_help=True,
    help="From devices to a cluster file: measure a node, the links between nodes, or fit a node "
    "to times that you have, and join the parts.",
)

Name = Annotated[
    str | None, typer.Option(help="What the node is called (default: as its host is).")
]
Written = Annotated[Path | None, typer.Option("--output", "-o", help="Write the .json part here.")]


@measure.command(cls=options.CheckedCommand)
def node(
    name: Name = None,
    engine: Annotated[str, typer.Option(help="What runs operators: torch or onnxruntime.")] = (
        "torch"
    ),
    threads: Annotated[int, typer.Option(min=1, max=1024, help="To compute with.")] = 1,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:CALLABLE",
            help="Also run this torch model as a whole and layer by layer, and say how well the "
            "figures predict it; it needs --input-shape.",
        ),
    ] = None,
    input_shape: options.InputShapes = None,
    time_limit: Annotated[
        float, typer.Option(min=LEAST_S, max=MOST_S, help="Seconds to measure at most.")
    ] = 60.0,
    output: options.Output = Format.table,
    output_file: Written = None,
) -> None:
    """Measure this machine: the rate of each kind of operator, and its memory bandwidth.

    Operators of each kind are run over a range of shapes, and a rate for each kind, one memory
    bandwidth and one time per operator are fitted to their times.
    """
    from planner.measure.running.operators import Engine, engine_label, run_shapes
    from planner.measure.shapes import standard_shapes

    host = socket.gethostname()
    called = _name(host if name is None else name)
    chosen: Engine = one_of("--engine", engine, get_args(Engine))
    label = engine_label(chosen)
    own = _own_model(model, input_shape, engine)
    operators_s = time_limit * (1 - MODEL_SHARE * bool(model))
    with working(f"measuring {called}") as tell:
        samples, times = run_shapes(
            standard_shapes(), engine=chosen, threads=threads, time_limit_s=operators_s, watch=tell
        )
        tell("fitting")
        now = _now()
        source = f"planner measure node, {label}, {_of(threads, 'thread')}"
        fitted = fit_samples(
            called, samples, source=source, measured_at=now, pass_factors=times.pass_factors
        )
        fitted = _with_memory(fitted, now)
        models = []
        if own:
            tell(f"running {own.profile.name}")
            models.append(_own_times(own, fitted.node, threads, time_limit * MODEL_SHARE))
    part = NodeMeasurement(
        part="node",
        complete=times.complete,
        name=called,
        host=host,
        engine=label,
        threads=threads,
        processor=_processor(),
        measured_at=now,
        node=fitted.node,
        figures=fitted.figures,
        residuals=fitted.residuals,
        models=tuple(models),
        pass_factors=times.pass_factors,
        samples=samples,
    )
    cut_off = BadInputError(
        f"--time-limit {time_limit:g}: was up after {_of(len(times.seconds), 'pass', 'passes')} "
        f"over {len(samples)} operators, too few for a median; the part is marked as cut off"
    )
    _show_node(part, output, output_file, None if part.complete else cut_off)


@measure.command(cls=options.CheckedCommand)
def links(
    name: Name = None,
    time_limit: Annotated[
        float, typer.Option(min=LEAST_S, max=MOST_S, help="Seconds to wait for a node at most.")
    ] = 120.0,
    output: options.Output = Format.table,
    output_file: Written = None,
) -> None:
    """Measure the links between nodes: run it on every node under torchrun.

    Every pair is measured: delay, bandwidth one way and both ways at once, the software's time per
    message, and whether pairs share a medium. Rank 0 writes what was found.
    """
    from planner.measure.running.links import measure_links

    with working("waiting for the other nodes") as tell:
        found = measure_links(
            name="" if name is None else _name(name), time_limit_s=time_limit, watch=tell
        )
    if found is not None:
        heading = [f"{_of(len(found.names), 'node')}, medium {found.medium}; {found.engine}"]
        show(Outcome(found, _pair_table(found), heading, []), output, output_file)


@measure.command(cls=options.CheckedCommand)
def fit(
    times: Annotated[
        Path,
        typer.Argument(
            metavar="TIMES.csv",
            help="Columns model,seconds: whole models on one device. A model is a catalogue name "
            "or a profile's .json file.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What the node is called (default: as the file is).")
    ] = None,
    only_rate: Annotated[
        bool, typer.Option("--only-rate", help="Fit C alone, with no time per operator.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="That the times are of.")] = 1,
    output: options.Output = Format.table,
    output_file: Written = None,
) -> None:
    """Fit a node to times of whole models that you have, such as two rows of a README."""
    rows = [(load_profile(text, None, None, False), seconds) for text, seconds in _rows(times)]
    called = _name(times.stem if name is None else name)
    now = _now()
    source = one_line(
        f"fitted to {_of(len(rows), 'time')} of whole models in {times.name}, {now[:10]}"
    )[:256]
    with working("fitting"):
        fitted = fit_models(called, rows, source=source, only_rate=only_rate)
    part = NodeMeasurement(
        part="node",
        complete=True,
        name=called,
        host=called,
        engine="as of the given times",
        threads=threads,
        measured_at=now,
        node=fitted.node,
        figures=fitted.figures,
        residuals=fitted.residuals,
        models=tuple(
            _compared(profile, seconds, fitted.node, fitted=True) for profile, seconds in rows
        ),
    )
    _show_node(part, output, output_file)


@measure.command(name="join", cls=options.CheckedCommand)
def join_parts(
    nodes: Annotated[
        list[Path],
        typer.Argument(metavar="NODE.json...", help="Parts of `measure node` or `measure fit`."),
    ],
    links_file: Annotated[
        Path | None, typer.Option("--links", help="The part of `measure links`.")
    ] = None,
    link: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Instead: a kind of link (planner catalog links), or a bandwidth: 300Mbit/s.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="The cluster's name.")] = "measured",
    output: options.Output = Format.table,
    output_file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the cluster .json here.")
    ] = None,
) -> None:
    """Write a cluster file of measured nodes and links; every figure says how, when and how surely.

    The nodes stand in the order that they are given; the first one holds the input.
    """
    parts = [read_document(path, NodeMeasurement, what="node part") for path in nodes]
    if links_file is not None and link is not None:
        raise BadInputError("--links and --link: give one of them")
    if links_file is not None:
        joined: LinkMeasurement | GivenLink = read_document(
            links_file, LinkMeasurement, what="links part"
        )
    elif link is not None:
        joined = _given_link(link)
    elif len(parts) == 1:
        joined = _no_link()
    else:
        raise BadInputError(
            f"{len(parts)} nodes need a link: give --links FILE of `planner measure links`, or "
            "--link KIND or a bandwidth"
        )
    try:
        cluster = join(parts, joined, name=name)
    except ValidationError as error:
        raise BadInputError(f"cluster: {first_problem(error, Cluster)}") from error
    heading = [f"{cluster.name}: {_of(len(cluster.nodes), 'node')}, medium {cluster.medium}"]
    values = _values(cluster)
    table = _figure_table(cluster.name, cluster.figures, values)
    show(Outcome(cluster, table, heading, []), output, output_file)


@dataclass(frozen=True)
class _Own:
    """The user's own model; not traced where torch.export refuses it."""

    module: Any
    profile: ModelProfile
    traced: TracedModel | None


def _own_model(model: str | None, input_shape: list[str] | None, engine: str) -> _Own | None:
    """The user's own model, if there is one, traced once for its profile and for its times."""
    if model is None:
        if input_shape:
            raise BadInputError("--input-shape: is that of --model, which is not given")
        return None
    if engine != "torch":
        raise BadInputError("--model: whole models are run with torch; leave out --engine")
    if ":" not in model:
        raise BadInputError(
            f"--model {model!r}: give MODULE:CALLABLE that makes a torch.nn.Module; a profile or a "
            "catalogue model has no code to run"
        )
    from profiles.from_torch.frontend import UntracedError

    try:
        with working(f"tracing {model}"):
            traced = built_model(model, input_shapes=parse_input_shapes(input_shape or []))
    except UntracedError:
        return _Own(own_object(model)(), load_profile(model, input_shape, None, False), None)
    return _Own(traced.module, traced.profile, traced)


def _own_times(own: _Own, node: Node, threads: int, limit_s: float) -> ModelTime:
    """The median time of the user's own model, and of its layers."""
    from planner.measure.running.operators import module_runnable, on_threads, timed
    from profiles.from_torch.timed_layers import layer_times

    profile = own.profile
    shapes = {spec.name: spec.shape for spec in profile.inputs}
    dtypes = {spec.name: spec.dtype for spec in profile.inputs}
    with on_threads(threads):
        runnable = module_runnable(own.module, shapes, dtypes)
        times = timed([runnable], deadline=time.monotonic() + limit_s / 2, enough=MODEL_PASSES)
    found = _compared(profile, statistics.median(map(float, times.seconds[:, 0])), node)
    if own.traced is None:
        return found  # no graph of it is there to be timed call by call
    with on_threads(threads):
        deadline = time.monotonic() + limit_s / 2
        by_layer = layer_times(own.traced, deadline=deadline, enough=MODEL_PASSES)
    told = zip(profile.layers, layers_predicted_s(profile, node), strict=True)
    samples = []
    for layer, predicted in told:
        if layer.name in by_layer:
            low, median, high = np.quantile(by_layer[layer.name], (0.25, 0.5, 0.75)).tolist()
            samples.append(
                LayerSample(
                    layer=layer.name,
                    kind=layer.kind,
                    seconds=median,
                    low_s=low,
                    high_s=high,
                    predicted_s=float(predicted),
                )
            )
    return found.model_copy(update={"layers": tuple(samples)})


def _compared(
    profile: ModelProfile, seconds: float, node: Node, *, fitted: bool = False
) -> ModelTime:
    return ModelTime(
        model=profile.name,
        macs=profile.totals.macs,
        measured_s=seconds,
        predicted_s=predicted_s(profile, node),
        fitted=fitted,
    )


def _show_node(
    part: NodeMeasurement,
    output: Format,
    file: Path | None,
    failure: BadInputError | None = None,
) -> None:
    heading = [f"{part.name}: {part.engine}, {_of(part.threads, 'thread')}"]
    if part.processor:
        heading.append(part.processor)
    for residual in part.residuals:
        heading.append(
            f"{residual.kind}: {_of(residual.samples, 'time')}, missed by {residual.median:.0%} "
            f"in the median, nine of ten by at most {residual.p90:.0%}"
        )
    for one in part.models:
        if one.predicted_s is not None:
            heading.append(
                f"{one.model}: measured {format_seconds(one.measured_s)}, predicted "
                f"{format_seconds(one.predicted_s)}, ratio {one.predicted_s / one.measured_s:.2f}"
                f"{' (fitted to it)' if one.fitted else ''}"
            )
        heading += _lines_of_kinds(one)
    values = {figure.key: value_of(part.node, figure.key) for figure in part.figures}
    table = _figure_table(part.name, part.figures, values)
    show(Outcome(part, table, heading, [], failure), output, file)


def _lines_of_kinds(model: ModelTime) -> list[str]:
    """A line for the model's layers of every kind, measured beside predicted."""
    found = []
    for kind in dict.fromkeys(item.kind for item in model.layers):
        some = [item for item in model.layers if item.kind == kind]
        measured = sum(item.seconds for item in some)
        predicted = sum(item.predicted_s for item in some)
        ratio = f", ratio {predicted / measured:.2f}" if measured and predicted else ""
        found.append(
            f"  {kind or 'views and others without a time'}: {_of(len(some), 'layer')}, measured "
            f"{format_seconds(measured)}, predicted {format_seconds(predicted)}{ratio}"
        )
    return found


def _values(cluster: Cluster) -> dict[str, float]:
    """What the figures of a cluster are about, by key, as far as that is a number."""
    several = len(cluster.nodes) > 1
    found: dict[str, float] = {}
    for figure in cluster.figures:
        for node in cluster.nodes:
            prefix = f"{node.name}." if several else ""
            if figure.key.startswith(prefix):
                with suppress(ValueError):
                    found[figure.key] = value_of(node, figure.key.removeprefix(prefix))
    links = {"": cluster.link} | {f"{'-'.join(x.between)}.": x for x in cluster.pair_links}
    for prefix, link in links.items():
        found[f"{prefix}bandwidth_bytes_per_s"] = link.bandwidth_bytes_per_s
        found[f"{prefix}latency_s"] = link.latency_s
    return found


def _figure_table(title: str, figures: Sequence[Figure], values: dict[str, float]) -> Table:
    def interval(figure: Figure) -> str | None:
        if figure.low is None or figure.high is None:
            return None
        return f"{_in_units(figure.key, figure.low)} to {_in_units(figure.key, figure.high)}"

    return tabulate(
        title,
        figures,
        {
            "figure": lambda figure: figure.key,
            "value": lambda figure: (
                _in_units(figure.key, values[figure.key]) if figure.key in values else None
            ),
            "interval": interval,
            "origin": lambda figure: figure.origin,
            "when": lambda figure: figure.measured_at,
            "where from": lambda figure: figure.source,
        },
        "intervals: nine times of ten",
    )


def _in_units(key: str, value: float) -> str:
    if "macs_per_s" in key:
        return format_si(value, "MAC/s")
    if key.endswith("bytes_per_s"):
        return format_si(value, "B/s")
    if key.endswith("bytes"):
        return format_bytes(value)
    return format_seconds(value) if key.endswith("_s") else f"{value:g}"


def _pair_table(found: LinkMeasurement) -> Table:
    return tabulate(
        "Links",
        found.pairs,
        {
            "from": lambda pair: pair.between[0],
            "to": lambda pair: pair.between[1],
            "delay (ms)": lambda pair: pair.latency_s.value * 1e3,
            "there (MB/s)": lambda pair: pair.forward_bytes_per_s.value / 1e6,
            "back (MB/s)": lambda pair: pair.backward_bytes_per_s.value / 1e6,
            "both at once (MB/s)": lambda pair: pair.both_bytes_per_s.value / 1e6,
        },
        "delay: half a round trip, less the software's time; both at once: of either direction",
    )


def _rows(path: Path) -> list[tuple[str, float]]:
    """Models and seconds of a CSV file."""
    rows = csv.reader(io.StringIO(read_text(path, what="times")))
    found: list[tuple[str, float]] = []
    try:
        header = tuple(cell.strip() for cell in next(rows, []))
        if header != COLUMNS:
            raise BadInputError(
                f"{one_line(path.name)}: the first line is {','.join(header)[:80]!r}; "
                f"give {','.join(COLUMNS)}"
            )
        for number, row in enumerate(rows, start=2):
            where = f"{one_line(path.name)}, line {number}"
            if not row:
                continue
            if len(row) != len(COLUMNS):
                raise BadInputError(f"{where}: {len(row)} values; give {','.join(COLUMNS)}")
            model, seconds = (cell.strip() for cell in row)
            if not model or (":" in model and not Path(model).exists()):
                raise BadInputError(
                    f"{where}: found {model[:80]!r}; give a catalogue model, or the profile of "
                    f"yours as a .json file (planner profile {model[:80] or 'SOURCE'} -o ...)"
                )
            found.append((model, _seconds(seconds, where)))
    except csv.Error as error:
        raise BadInputError(f"{one_line(path.name)}: is no CSV file: {error}") from error
    return found


def _seconds(text: str, where: str) -> float:
    value = cell_number(text)
    low, high = MODEL_SECONDS
    if not low <= value <= high:
        raise BadInputError(f"{where}: found {text[:40]!r}; give seconds, {low:g} to {high:g}")
    return value


def _given_link(text: str) -> GivenLink:
    """A kind of link of the catalogue, or one of some bandwidth without delay."""
    if text in link_names():
        kind = load_link(text)
        return GivenLink(kind.link, kind.medium, kind.figures)
    try:
        bandwidth = parse_quantity(text, "bandwidth", where="--link")
    except BadInputError as error:
        raise BadInputError(f"{error}; or a kind of link: {', '.join(link_names())}") from error
    typed = "given on the command line"
    return GivenLink(
        Link(bandwidth_bytes_per_s=bandwidth),
        "full_duplex",
        (
            Figure(key="bandwidth_bytes_per_s", origin="assumed", source=typed),
            Figure(key="latency_s", origin="assumed", source="none: only a bandwidth was given"),
            Figure(key="medium", origin="assumed", source="both directions at once"),
        ),
    )


def _no_link() -> GivenLink:
    none = "one node alone uses no link"
    return GivenLink(
        Link(bandwidth_bytes_per_s=1e9),
        "full_duplex",
        (Figure(key="bandwidth_bytes_per_s", origin="assumed", source=none),),
    )


def _name(text: str) -> str:
    try:
        return Node(name=text, macs_per_s=1.0).name
    except ValidationError as error:
        raise BadInputError(f"--name: {first_problem(error, Node)}") from error


def _of(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    named = platform.processor() or platform.machine()
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        found = [
            x.partition(":")[2].strip() for x in lines if x.startswith(("model name", "Model"))
        ]
        named = found[0] if found else named
    return f"{named}, {_of(os.cpu_count() or 1, 'core')}"[:512]


def _with_memory(fitted: Fitted, now: str) -> Fitted:
    """Besides, how much memory the machine has, where it says so."""
    try:
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return fitted
    if memory_bytes <= 0:
        return fitted
    figure = Figure(
        key="memory_bytes",
        origin="derived",
        source="all memory of the machine; the system and other programs need some of it",
        measured_at=now,
    )
    return Fitted(
        fitted.node.model_copy(update={"memory_bytes": memory_bytes}),
        (*fitted.figures, figure),
        fitted.residuals,
    )
