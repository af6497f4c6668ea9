"""A whole model as the slice of one node, by engine, against the plain torch model.

One thread each. The plain model, the slice compiled for torch and the slice in ONNX Runtime run in
turn, one pass of all after the other, in one process; printed are the medians of the processor
seconds that a run takes, which other processes of the machine disturb least, and the ratios to the
plain model. All outputs must agree.

    python benchmarks/engines.py [MODEL ...] [--passes 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from _machine import header

from planner.case import Case
from planner.domain.cluster import Cluster, Link, Node
from planner.measure.running.operators import on_threads
from planner.runtime import slice_model
from planner.runtime.compiling.compiled import compiled
from planner.runtime.compiling.onnx import on_onnxruntime
from planner.runtime.compiling.programs import programs_of
from planner.runtime.running.program import Compute, Program
from planner.strategies.baselines import uniform
from profiles.from_torch.runnable import traced_model
from profiles.networks import ARCHITECTURES

MODELS = (
    "resnet50",
    "resnet50-half",
    "resnet50-quarter",
    "resnet50-eighth",
    "mobilenetv2-224",
    "mobilenetv2-256",
    "efficientnet-b0",
    "convnext-t",
    "ssd300-vgg16",
    "deeplabv3plus-resnet101",
    "esrgan",
)
AIMS = {"torch": 1.0, "onnxruntime": 0.6}
TOLERANCE = 1e-3  # of the largest element; deep networks with random weights

Run = Callable[[], Any]


def with_weights(module: torch.nn.Module) -> torch.nn.Module:
    """The architecture with drawn weights, in evaluation mode."""
    torch.manual_seed(0)
    made = module.to_empty(device="cpu").eval()
    with torch.no_grad():
        for name, item in [*made.named_parameters(), *made.named_buffers()]:
            if item.dim() > 1:
                torch.nn.init.normal_(item, std=item[0].numel() ** -0.5)
            elif name.endswith(("weight", "running_var")):
                torch.nn.init.uniform_(item, 0.5, 1.0)
            else:
                item.zero_()
    return made


def runs_of(made: Any) -> dict[str, Run]:
    """The plain model and its slice by engine, each ready to be called."""
    module = with_weights(made.module)
    traced = traced_model(module, made.shapes, dtypes=made.dtypes)
    cluster = Cluster(
        name="one",
        nodes=(Node(name="n0", macs_per_s=1e9),),
        link=Link(bandwidth_bytes_per_s=1e6),
    )
    plan = uniform(Case(traced.profile, cluster), nodes=1, sparsity=0.0)
    programs = programs_of(slice_model(traced, plan))
    inputs = {name: torch.randn(shape) for name, shape in made.shapes.items()}
    return {
        "model": lambda: module(*inputs.values()),
        "torch": _segment(compiled(programs["n0"]), inputs),
        "onnxruntime": _segment(on_onnxruntime(programs)["n0"], inputs),
    }


def _segment(program: Program, inputs: dict[str, torch.Tensor]) -> Run:
    """A node alone has one segment, which makes the outputs."""
    (action,) = program.actions
    assert isinstance(action, Compute)
    given = [inputs[name] for name in action.reads]
    return lambda: action.module(*given)


def check(found: Any, expected: Any) -> None:
    """The first outputs agree."""
    wanted = expected
    if not isinstance(expected, torch.Tensor):
        wanted = next(iter(expected.values())) if hasattr(expected, "values") else expected[0]
    assert (found[0] - wanted).abs().max() <= TOLERANCE * wanted.abs().max(), "outputs differ"


def processor_seconds(runs: dict[str, Run], passes: int) -> dict[str, float]:
    """Medians over the passes; all run once before."""
    expected = runs["model"]()
    for name in AIMS:
        check(runs[name](), expected)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(passes):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--passes", type=int, default=15)
    arguments = parser.parse_args()
    print(header(("torch", "onnxruntime")) + "\n")
    print("| model | plain (ms) | torch (ms) | ratio | ONNX Runtime (ms) | ratio |")
    print("|---|---|---|---|---|---|")
    met = dict.fromkeys(AIMS, 0)
    for name in arguments.models:
        with on_threads(1), torch.no_grad():
            seconds = processor_seconds(
                runs_of(ARCHITECTURES[name].prepare("meta")), arguments.passes
            )
        ratios = {engine: seconds[engine] / seconds["model"] for engine in AIMS}
        cells = [f"{seconds['model'] * 1e3:,.1f}"]
        for engine, aim in AIMS.items():
            cells += [f"{seconds[engine] * 1e3:,.1f}", f"{ratios[engine]:.2f}"]
            met[engine] += ratios[engine] <= aim
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    told = (f"{engine} ≤ {aim}: {met[engine]}" for engine, aim in AIMS.items())
    print(f"\nwithin the aim, of {len(arguments.models)} models: {', '.join(told)}")


if __name__ == "__main__":
    main()
