"""Slices against the model that they were cut from, with views and with an index per element.

All run in this process on one thread, in turn, a pass at a time. Printed are medians of processor
milliseconds, which other work on the machine disturbs least, and their ratios to the plain model's.
On two nodes both nodes' work is timed, one after the other, and the copies that stand in for the
network. "By element" is how operands were put together before: all sources in one row, of which an
index of every element takes what is read.

    python benchmarks/slices.py [MODEL ...] [--passes 15]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from _machine import header

from planner.case import Case
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.runtime import slice_model
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running import node
from planner.runtime.running.operands import arranged, assemble, picked
from planner.runtime.running.records import Operand, Pattern, Source, Step
from planner.runtime.running.slices import Slices
from planner.strategies.baselines import single_node, uniform
from planner.strategies.optimise import optimise
from profiles.built import built_model
from profiles.catalog import load_cluster

MODELS = ("resnet50", "mobilenetv2-224", "deit-s")


def plans(case: Case) -> dict[str, Plan]:
    """One node; two that send each other half of their features, or as the planner has it."""
    request = Request(max_nodes=2, exactly=True, alternatives=False)
    return {
        "one node": single_node(case),
        "two, half of the features sent": uniform(case, nodes=2, sparsity=0.5),
        "two, every way": optimise(case, request),
    }


class ByElement:
    """Inside of it nodes take operands, messages and picks by an index of all their elements."""

    def __init__(self) -> None:
        self._indices: dict[int, torch.Tensor] = {}

    def __enter__(self) -> None:
        """Put it in place."""
        vars(node).update(assemble=self._operand, picked=self._picked)

    def __exit__(self, *error: object) -> None:
        """Put back what was there."""
        vars(node).update(assemble=assemble, picked=picked)

    def _operand(self, operand: Operand, found: Sequence[torch.Tensor]) -> torch.Tensor:
        return self._gathered(operand.pattern, found, operand.fill).reshape(operand.shape)

    def _picked(self, step: Step, made: torch.Tensor) -> torch.Tensor:
        return made if step.picks is None else self._gathered(step.picks, [made], None)

    def _gathered(
        self, pattern: Pattern, found: Sequence[torch.Tensor], fill: float | None
    ) -> torch.Tensor:
        if isinstance(pattern, Source):
            return found[pattern.number]
        if id(pattern) not in self._indices:
            sizes = [item.numel() for item in found]
            numbers = torch.split(torch.arange(sum(sizes)), sizes)
            self._indices[id(pattern)] = arranged(pattern, numbers, -1).reshape(-1)
        flat = [item.reshape(-1) for item in found]
        if fill is not None:
            flat.append(flat[0].new_full((1,), fill))
        return (flat[0] if len(flat) == 1 else torch.cat(flat))[self._indices[id(pattern)]]


def medians(calls: dict[str, Callable[[], object]], passes: int) -> dict[str, float]:
    """Processor milliseconds of each call, all in turn; a first pass is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(passes + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return {name: float(np.median(found[1:])) * 1e3 for name, found in seconds.items()}


def main() -> None:
    """Print a row for each model and plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--passes", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header(("torch", "numpy")) + "\n")
    print("| model | slices | plain (ms) | by element (ms) | ratio | views (ms) | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.models:
        traced = built_model(name)
        inputs = [torch.randn(spec.shape) for spec in traced.profile.inputs]
        for label, plan in plans(Case(traced.profile, load_cluster("small-nodes"))).items():
            times = compared(
                traced, slice_model(traced, plan, select=True), inputs, arguments.passes
            )
            plain, *ours = times.values()
            cells = [f"{ms:.1f} | {ms / plain:.2f}" for ms in ours]
            print(f"| {name} | {label} | {plain:.1f} | {' | '.join(cells)} |", flush=True)


def compared(
    traced: TracedModel, slices: Slices, inputs: Sequence[torch.Tensor], passes: int
) -> dict[str, float]:
    """Processor milliseconds of the model, and of its slices by element and with views."""
    flat = ByElement()

    def plain() -> object:
        with torch.no_grad():
            return traced.module(*inputs)

    def by_element() -> object:
        with flat:
            return slices(*inputs)

    def views() -> object:
        return slices(*inputs)

    return medians({"plain": plain, "by element": by_element, "views": views}, passes)


if __name__ == "__main__":
    main()
