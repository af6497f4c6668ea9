"""``planner slice`` and ``planner run``."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from app import options
from app.asking import one_of
from app.inputs import parse_input_shapes
from app.local_run import ADDRESS, PARENT, ends_when_told, run_locally
from app.progress import working
from app.render import Format, Outcome, say, show
from app.run_inputs import Outputs, drawn_inputs, read_inputs
from app.slicing import ModelOptions, check_slices, slice_into
from planner.domain.plan import Plan
from planner.errors import BadInputError, PlannerError
from profiles.built import RUNNABLE
from profiles.files import check_folder, check_writable, one_line, read_document
from profiles.from_torch.hygiene import import_torch
from profiles.sandbox import die_with

if TYPE_CHECKING:
    import torch

    from planner.run.processes import Options, Ran
    from planner.run.share import Share

Engine = Literal["torch", "torch-compile", "onnxruntime"]
LEAST_S, MOST_S = 1.0, 86400.0
MOST_RUNS = 1_000_000
"""Whose stamps are kept, one for every action of each."""
MOST_SEED = 2**63 - 1
REPEATS, WARMUP = 20, 5
"""Of measured runs, unless it is said."""

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan .json (planner plan -o).")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="SOURCE",
        help=f"The model: {RUNNABLE} (default: the catalogue model of the plan's name).",
        rich_help_panel="Model",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="Its weights, a .safetensors file (default: random ones).", rich_help_panel="Model"
    ),
]
Select = Annotated[
    bool,
    typer.Option(
        "--select",
        help="Drop weights that are not zero where the plan drops them; by default they are "
        "refused. Random weights are always dropped.",
        rich_help_panel="Model",
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of all random numbers.")]
InputShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape",
        metavar="NAME=1,3,224,224",
        help="Shape of an input, as the plan was made for.",
        rich_help_panel="Model",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(min=1, help="Dimension 0 of every input.", rich_help_panel="Model"),
]


def slice_plan(
    plan_file: PlanFile,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write.")],
    model: Model = None,
    weights: Weights = None,
    select: Select = False,
    input_shape: InputShapes = None,
    batch: Batch = None,
    seed: Seed = 0,
    as_onnx: Annotated[
        bool,
        typer.Option(
            "--onnx",
            help="Write ONNX models and a program.json for every node, which run without this "
            "package (examples/run_exported.py); by default, what `planner run` reads.",
        ),
    ] = False,
) -> None:
    """Cut a model into the slices that a plan's nodes run, and write them to a folder.

    Every node needs slices.json and the two files that it names for the node; with --onnx, its own
    folder alone.
    """
    plan = read_document(plan_file, Plan, what="plan")
    check_folder(to, f"--to {one_line(str(to))}")
    source = _model(model, weights, select, input_shape, batch, seed)
    slice_into(plan, to, source, as_onnx=as_onnx)
    say(f"wrote {to}: slices of {plan.model.name} for {', '.join(plan.running_nodes)}")


def run(
    plan_file: PlanFile,
    slices: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that `planner slice` wrote: slices.json and the node's own files.",
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            "--name",  # torchrun takes --node for the beginning of one of its own options
            metavar="NODE",
            help="The plan's node that this process is (default: the one of its rank).",
        ),
    ] = None,
    local: Annotated[
        bool,
        typer.Option("--local", help="Start all nodes as processes of this machine, to try it."),
    ] = False,
    input_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="An input, .npy or .safetensors, on the first node alone; repeatable "
            "(default: random inputs).",
            rich_help_panel="Inputs and outputs",
        ),
    ] = None,
    inputs: Annotated[
        int,
        typer.Option(
            min=1, max=1000, help="How many random inputs.", rich_help_panel="Inputs and outputs"
        ),
    ] = 1,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the outputs of every input here, on the first node.",
            rich_help_panel="Inputs and outputs",
        ),
    ] = None,
    window: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Inputs at once.", rich_help_panel="Measuring and computing"
        ),
    ] = 1,
    measure: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Measure, and write the times of every segment and message here.",
            rich_help_panel="Measuring and computing",
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Runs of every input (default: 1; with --measure {REPEATS}).",
            rich_help_panel="Measuring and computing",
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"Runs before those that count (default: 1; with --measure {WARMUP}).",
            rich_help_panel="Measuring and computing",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="What runs segments: torch, torch-compile (needs a C++ compiler, and minutes "
            "before the first run) or onnxruntime.",
            rich_help_panel="Measuring and computing",
        ),
    ] = "torch",
    threads: Annotated[
        int,
        typer.Option(
            min=1,
            max=1024,
            help="Of a node, to compute with.",
            rich_help_panel="Measuring and computing",
        ),
    ] = 1,
    timeout_s: Annotated[
        float,
        typer.Option(
            min=LEAST_S,
            max=MOST_S,
            help="Seconds for which one other node is waited for.",
            rich_help_panel="Network",
        ),
    ] = 30.0,
    interface: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Network interface to listen on.", rich_help_panel="Network"
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Or the address (default: what this host's name leads to).",
            rich_help_panel="Network",
        ),
    ] = None,
    model: Model = None,
    weights: Weights = None,
    select: Select = False,
    input_shape: InputShapes = None,
    batch: Batch = None,
    seed: Seed = 0,
    output: options.Output = Format.table,
) -> None:
    """Run a plan: every node is a process, under torchrun or, to try it, with --local.

    On every node: torchrun --nnodes 4 --node-rank N --nproc-per-node 1 --master-addr FIRST
    --master-port 29500 -m planner.run PLAN --slices DIR

    The first node reads the inputs, writes the outputs and shows predicted beside measured times.
    Exit code 4: a node stopped or never came; the line says which.
    """
    plan = read_document(plan_file, Plan, what="plan")
    chosen: Engine = one_of("--engine", engine, get_args(Engine))
    if interface and host:
        raise BadInputError("--interface and --host: give one of them")
    if input_file and inputs > 1:
        raise BadInputError("--input and --inputs: give one of them")
    times = _Times(
        repeats or (REPEATS if measure else 1),
        warmup if warmup is not None else (WARMUP if measure else 1),
        window,
    )
    count = len(input_file) if input_file else inputs
    if times.warmup + count * times.repeats > MOST_RUNS:
        raise BadInputError(
            f"--warmup, --repeats and --inputs: found {times.warmup} + {times.repeats} × "
            f"{count} runs; {MOST_RUNS:,} runs are the most"
        )
    own = _model(model, weights, select, input_shape, batch, seed)
    said_model = bool(model or weights or select or input_shape or batch)
    if not local:
        if slices is None:
            raise BadInputError("--slices DIR: is needed on every node; or try --local")
        if said_model:
            raise BadInputError("--model and what belongs to it: the slices are cut already")
        process = _Process(plan, slices, node, timeout_s, threads, chosen, interface, host)
        process.run(times, input_file or [], inputs, seed, output_dir, measure, output)
        return
    if node or interface or host:
        raise BadInputError(
            "--local: all nodes are processes here; leave out --name, --interface and --host"
        )
    if slices is not None and said_model:
        raise BadInputError("--slices and --model: give one of them")
    if measure:
        check_writable(measure)
    if output_dir:
        check_folder(output_dir, f"--output-dir {one_line(str(output_dir))}")
    with ends_when_told(), ExitStack() as stack:
        if slices is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="planner-slices-"))
            slices = Path(folder)
            slice_into(plan, slices, own)
        arguments = [
            str(plan_file), "--slices", str(slices), "--host", ADDRESS,
            *(x for path in input_file or () for x in ("--input", str(path))),
            "--inputs", str(inputs), "--seed", str(seed), "--window", str(window),
            "--repeats", str(times.repeats), "--warmup", str(times.warmup),
            "--engine", engine, "--threads", str(threads), "--timeout-s", str(timeout_s),
            *(("--output-dir", str(output_dir)) if output_dir else ()),
            *(("--measure", str(measure)) if measure else ()),
            "--format", output.value,
        ]  # fmt: skip
        nodes = plan.running_nodes
        code = run_locally(nodes, nodes[0], arguments, threads=threads, timeout_s=timeout_s)
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True)
class _Times:
    repeats: int
    warmup: int
    window: int


@dataclass(frozen=True)
class _Process:
    """One node of a run."""

    plan: Plan
    slices: Path
    node: str | None
    limit_s: float
    threads: int
    engine: Engine
    interface: str | None
    host: str | None

    def run(
        self,
        times: _Times,
        files: list[Path],
        count: int,
        seed: int,
        output_dir: Path | None,
        measure: Path | None,
        output: Format,
    ) -> None:
        """Run its share; what goes wrong ends the process at once, threads of torch or not."""
        import_torch()  # or one line that says how to get it
        from planner.run.processes import place_of_run, tell

        if parent := os.environ.get(PARENT, ""):
            die_with(int(parent))
        here = place_of_run(self.plan.running_nodes)
        name = self._name(here.rank)
        try:
            found = self._found(name, times, files, count, seed, output_dir, measure)
        except PlannerError as error:
            tell(here, error, name, self.limit_s)
            sys.stderr.write(f"planner: {one_line(str(error))}\n")
            sys.stderr.flush()
            os._exit(error.exit_code)
        if found is not None:
            show(found, output, measure)

    def _name(self, rank: int) -> str:
        nodes = self.plan.running_nodes
        if self.node is None and rank < len(nodes):
            return nodes[rank]
        if self.node not in nodes:
            raise BadInputError(
                f"--name {self.node!r}: the plan runs on {', '.join(nodes)}"
                if self.node
                else f"rank {rank}: the plan runs on {len(nodes)} nodes alone"
            )
        return self.node

    def _found(
        self,
        name: str,
        times: _Times,
        files: list[Path],
        count: int,
        seed: int,
        output_dir: Path | None,
        measure: Path | None,
    ) -> Outcome | None:
        from app.run_tables import run_heading, run_table
        from planner.run.loop import Job
        from planner.run.processes import engine_label, run_share
        from planner.run.report import measured_run
        from planner.run.timing import NodeTimes, node_times

        share = self._share(name)
        is_source = name == share.source
        if is_source and measure:
            check_writable(measure)
        given = [] if not is_source else _inputs(share, files, count, seed)
        outputs = Outputs(
            output_dir if is_source else None,
            lambda run: _number(run, times.warmup, len(given)),
            files if is_source else (),
        )
        job = Job(times.warmup + len(given) * times.repeats, times.warmup, times.window)

        def report(ran: Ran) -> bytes:
            return node_times(share, ran).model_dump_json().encode()

        with working(f"running {share.model}") if is_source else ExitStack():
            said = run_share(
                share,
                job,
                lambda run: given[(run - times.warmup) % len(given)],
                outputs,
                report,
                options=self._options(),
            )
        if not is_source:
            return None
        nodes = [NodeTimes.model_validate_json(content, strict=True) for content in said]
        document = measured_run(
            share,
            self.plan,
            nodes,
            job,
            measured_at=_now(),
            engine=engine_label(self.engine),
            threads=self.threads,
        )
        for path in outputs.written:
            say(f"wrote {path}")
        return Outcome(document, run_table(document), run_heading(document), outputs.notes)

    def _options(self) -> Options:
        from planner.run.channel import Bound
        from planner.run.processes import START_S, Options

        bound = Bound(self.interface, self.host)
        return Options(self.limit_s, max(self.limit_s, START_S), self.threads, bound)

    def _share(self, name: str) -> Share:
        from dataclasses import replace

        from planner.runtime.compiling.compiled import compiled
        from planner.runtime.compiling.onnx import on_onnxruntime
        from profiles.from_torch.saved_slices import load_share

        share = load_share(self.slices, name)
        check_slices(self.plan, share.plan_digest, self.slices)
        if self.engine == "onnxruntime":
            made = on_onnxruntime({name: share.program}, threads=self.threads)
            return replace(share, program=made[name])
        program = compiled(share.program, inductor=self.engine == "torch-compile")
        return replace(share, program=program)


def _inputs(
    share: Share, files: list[Path], count: int, seed: int
) -> list[dict[str, torch.Tensor]]:
    if files:
        return read_inputs(files, share.inputs)
    return drawn_inputs(count, share.inputs, seed)


def _number(run: int, warmup: int, inputs: int) -> int | None:
    """The input of a run, the first time that it counts."""
    number = run - warmup
    return number if 0 <= number < inputs else None


def _model(
    model: str | None,
    weights: Path | None,
    select: bool,
    input_shape: list[str] | None,
    batch: int | None,
    seed: int,
) -> ModelOptions:
    shapes = parse_input_shapes(input_shape or [])
    return ModelOptions(model, shapes or None, batch, weights, seed, select or weights is None)


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")
