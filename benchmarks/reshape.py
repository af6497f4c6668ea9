"""Profiles at new input shapes: from their expressions, and by torch's FlopCounterMode on meta.

For each catalogue model both count the same new shapes in turn, in one process; their total MACs
must agree. A shape's time is the best of three, of either; printed are the medians over the shapes
and their ratio. FlopCounterMode gets the network ready built; the expressions get the profile as
read. Causal networks are left out: without a mask of their own they do not run on meta tensors.

    python benchmarks/reshape.py [MODEL ...] [--shapes 7]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from planner.reshape import at_input_shapes
from planner.units import FLOP_PER_MAC
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
    "ssd300-vgg16",
    "esrgan",
    "deeplabv3plus-resnet101",
)
TARGET = 100


def new_shapes(name: str, count: int) -> list[tuple[int, ...]]:
    """Shapes that the profile was not traced at: other batches, and other sizes where it can."""
    profile = load_model(name)
    assert profile.reshaping is not None, f"{name} is fixed"
    (sizes,), (spec,) = profile.reshaping.inputs, profile.inputs
    return [
        tuple(
            old if isinstance(size, int) else old + step * (7 if axis else 1)
            for axis, (size, old) in enumerate(zip(sizes, spec.shape, strict=True))
        )
        for step in range(1, count + 1)
    ]


def best_of(count: Callable[[], int]) -> tuple[float, int]:
    """The least of three times, and the result."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = count()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def timed_counts(name: str, made: Any, shape: tuple[int, ...]) -> tuple[float, float]:
    """Seconds from the expressions and by FlopCounterMode; both must count the same."""
    profile = load_model(name)
    (spec,), (dtype,) = profile.inputs, made.dtypes.values()
    tensor = torch.empty(shape, device="meta", dtype=getattr(torch, dtype))

    def counted() -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            made.module(tensor)
        return int(counter.get_total_flops())

    ours_s, macs = best_of(lambda: at_input_shapes(profile, {spec.name: shape}).totals.macs)
    theirs_s, flops = best_of(counted)
    assert flops == macs * FLOP_PER_MAC, f"{name} at {shape}: {macs} MACs, {flops} FLOPs"
    return ours_s, theirs_s


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--shapes", type=int, default=7, help="new shapes for each model")
    arguments = parser.parse_args()
    print(f"{'model':<25}{'layers':>8}{'ours (ms)':>12}{'counter (ms)':>14}{'ratio':>8}")
    ratios = []
    for name in arguments.models:
        made = ARCHITECTURES[name].prepare("meta")
        rows = [timed_counts(name, made, shape) for shape in new_shapes(name, arguments.shapes)]
        ours_s, theirs_s = (
            statistics.median(column) for column in list(zip(*rows, strict=True))[:2]
        )
        ratios.append(theirs_s / ours_s)
        layers = len(load_model(name).layers)
        print(
            f"{name:<25}{layers:>8}{ours_s * 1e3:>12.2f}{theirs_s * 1e3:>14.1f}{ratios[-1]:>8.0f}"
        )
    reached = sum(ratio >= TARGET for ratio in ratios)
    print(f"\n{reached} of {len(ratios)} models reach {TARGET}; the least is {min(ratios):.0f}")


if __name__ == "__main__":
    main()
