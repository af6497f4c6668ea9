"""Whole models on this machine against what `planner measure node` predicts of them.

The figures are fitted to operators of `planner.measure.shapes` alone; models are run afterwards, in
passes as the operators are, and are not part of the fit. Printed is predicted over measured for
each, all of one run, and how far a second measurement of the node lies from the first one.

    python benchmarks/measure_node.py [MODEL ...] [--threads 1] [--passes 15]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from _machine import header

from planner.measure.fit import Fitted, fit_samples, predicted_s
from planner.measure.parts import value_of
from planner.measure.running.operators import module_runnable, on_threads, run_shapes, timed
from planner.measure.shapes import standard_shapes
from profiles.catalog import load_model
from profiles.networks import ARCHITECTURES

MODELS = (
    "resnet50",
    "mobilenetv2-224",
    "efficientnet-b0",
    "convnext-t",
    "deit-s",
    "swin-t",
    "bert-base",
    "gpt2",
    "ssd300-vgg16",
)
TARGET = 0.10
LONGEST_S = 600.0


def measured(threads: int) -> Fitted:
    """The node's figures, as the command finds them."""
    samples, times = run_shapes(standard_shapes(), threads=threads)
    return fit_samples(
        "here", samples, source="this run", measured_at="now", pass_factors=times.pass_factors
    )


def model_seconds(models: list[str], threads: int, passes: int) -> dict[str, float]:
    """The median time of each model, run in turn."""
    with on_threads(threads):
        runnables = []
        for name in models:
            made = ARCHITECTURES[name].prepare("meta")
            runnables.append(module_runnable(made.module, made.shapes, made.dtypes))
        times = timed(runnables, deadline=time.monotonic() + LONGEST_S, enough=passes)
    return dict(zip(models, map(float, np.median(times.seconds, axis=0)), strict=True))


def main() -> None:
    """Print a line for each model, then for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=15)
    arguments = parser.parse_args()
    print(header(("torch", "numpy", "scipy")) + "\n")
    first = measured(arguments.threads)
    seconds = model_seconds(list(arguments.models), arguments.threads, arguments.passes)
    second = measured(arguments.threads)
    print(f"{'model':<24}{'measured (ms)':>14}{'predicted (ms)':>15}{'ratio':>7}")
    misses = []
    for name, measured_s in seconds.items():
        predicted = predicted_s(load_model(name), first.node)
        misses.append(abs(predicted / measured_s - 1))
        print(
            f"{name:<24}{measured_s * 1e3:>14.1f}{predicted * 1e3:>15.1f}"
            f"{predicted / measured_s:>7.2f}"
        )
    median = statistics.median(misses)
    print(
        f"\nmissed by {median:.1%} in the median (aim: {TARGET:.0%}), {max(misses):.1%} at most\n"
    )
    print(f"{'figure':<34}{'first':>11}{'low':>11}{'high':>11}{'second':>11}")
    inside = 0
    for figure in first.figures:
        value, again = (value_of(one.node, figure.key) for one in (first, second))
        low, high = figure.low or 0.0, figure.high or 0.0
        inside += low <= again <= high
        print(f"{figure.key:<34}{value:>11.3g}{low:>11.3g}{high:>11.3g}{again:>11.3g}")
    print(f"\n{inside} of {len(first.figures)} figures of the second lie in the first's intervals")


if __name__ == "__main__":
    main()
