"""Command-line options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.render import Format
from profiles.sources import SOURCE_HELP

Source = Annotated[str, typer.Argument(metavar="SOURCE", help=f"The model: {SOURCE_HELP}.")]
ClusterName = Annotated[
    str,
    typer.Option(
        "--cluster", "-c", help="A catalogue cluster (planner catalog clusters) or a .json file."
    ),
]
Output = Annotated[Format, typer.Option("--format", help="What stdout carries.")]
OutputFile = Annotated[
    Path | None, typer.Option("--output", "-o", help="Also write the JSON document here.")
]
InputShapes = Annotated[
    list[str] | None,
    typer.Option("--input-shape", metavar="NAME=1,3,224,224", help="Shape of an input."),
]
Batch = Annotated[int | None, typer.Option(min=1, help="Dimension 0 of every input.")]
NoWitness = Annotated[bool, typer.Option("--no-witness", help="Do not let fvcore count as well.")]

MaxNodes = Annotated[
    int | None, typer.Option(min=1, help="At most this many nodes, any of them (default: all).")
]
ParallelismOption = Annotated[
    str,
    typer.Option(help="within-layer (one stage), pipeline (one node a stage) or hybrid."),
]

_TUNE = "Tune the cluster"
Bandwidth = Annotated[
    str | None,
    typer.Option(help="B of every link: 37.5MB/s, 300Mbit/s.", rich_help_panel=_TUNE),
]
Compute = Annotated[
    str | None,
    typer.Option(
        help="C of every node: 3.75GMAC/s or 7.5GFLOP/s (1 MAC = 2 FLOP).", rich_help_panel=_TUNE
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(help="Memory limit of every node: 64MB, 2GiB.", rich_help_panel=_TUNE),
]

_COST = "Cost conventions"
Overlap = Annotated[
    bool,
    typer.Option(
        "--overlap",
        help="Hide the shorter of communication and computation.",
        rich_help_panel=_COST,
    ),
]
CastingOption = Annotated[
    str | None,
    typer.Option("--casting", help="unicast or broadcast.", rich_help_panel=_COST),
]
MediumOption = Annotated[
    str | None,
    typer.Option("--medium", help="full_duplex, half_duplex or shared.", rich_help_panel=_COST),
]
ShareInputs = Annotated[
    bool,
    typer.Option(
        "--share-inputs",
        help="Layers that read one tensor share its transmission.",
        rich_help_panel=_COST,
    ),
]
CountInput = Annotated[
    bool,
    typer.Option("--count-input", help="Charge sending the input out.", rich_help_panel=_COST),
]
CountOutput = Annotated[
    bool,
    typer.Option("--count-output", help="Charge sending the output back.", rich_help_panel=_COST),
]

_LIMITS = "Objective and limits"
ObjectiveOption = Annotated[
    str,
    typer.Option("--objective", help="latency or throughput.", rich_help_panel=_LIMITS),
]
AccuracyName = Annotated[
    str | None,
    typer.Option(
        "--accuracy-model",
        metavar="KIND:SOURCE",
        help="What sparsity costs. curve:NAME or curve:NAME/RULE: a published curve spread over "
        "the layers (by default the catalogue model's own). csv:FILE: measured sensitivities "
        "(layer,sparsity,loss). energy:FILE: L1 energy of the weights in a .safetensors, .pt "
        "or .onnx file. none: no model.",
        rich_help_panel=_LIMITS,
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-accuracy-drop",
        min=0.0,
        help="Points of the task's metric; 0.5 by default where an accuracy model is known.",
        rich_help_panel=_LIMITS,
    ),
]
MaxEnergyLoss = Annotated[
    float | None,
    typer.Option(
        "--max-energy-loss",
        min=0.0,
        max=1.0,
        help="With energy:FILE, the share of the weights' L1 mass that may be pruned; "
        "0.1 by default.",
        rich_help_panel=_LIMITS,
    ),
]
MaxLatency = Annotated[str | None, typer.Option(help="Such as 200ms.", rich_help_panel=_LIMITS)]
MinThroughput = Annotated[
    float | None, typer.Option(min=0.0, help="Inputs per second.", rich_help_panel=_LIMITS)
]
SplitPoints = Annotated[
    list[str] | None,
    typer.Option(
        "--split-points",
        metavar="LAYER",
        help="First layer of a block group, in place of the down-sampling rule; repeatable.",
        rich_help_panel=_COST,
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="Seconds for each problem; then the best plan so far is shown with its gap.",
        rich_help_panel="Solver",
    ),
]
