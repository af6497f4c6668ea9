"""What plan, compare and pareto have in common: a model on a cluster under given conventions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from app import options
from app.inputs import (
    Accuracy,
    build_case,
    default_limits,
    find_accuracy,
    parse_input_shapes,
)
from app.progress import working
from planner.case import Case
from planner.domain.cluster import tuned_cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings, Limits
from planner.errors import BadInputError
from planner.strategies.what_if.frontier import Trade
from planner.units import parse_quantity
from profiles.catalog import resolve_cluster
from profiles.sources import load_source


@dataclass(frozen=True)
class Asked:
    """The case that the shared options describe, and the limits as they were given."""

    case: Case
    accuracy: Accuracy
    given_limits: Limits
    time_limit_s: float | None

    @property
    def limits(self) -> Limits:
        """The limits with the default one on the accuracy drop."""
        return default_limits(self.given_limits, self.accuracy)

    def frontier_limits(self, trade: Trade) -> Limits:
        """Limits of a frontier: what is traded has none by default."""
        return self.given_limits if trade == "accuracy" else self.limits

    def node_count(self, nodes: int | None, option: str = "--nodes") -> int:
        """A number of nodes that the cluster has; all of them by default."""
        available = len(self.case.cluster.nodes)
        if nodes is not None and nodes > available:
            name = self.case.cluster.name
            raise BadInputError(f"{option} {nodes}: cluster {name} has 1 to {available} nodes")
        return nodes or available


def asks_for_case(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options in front of and behind its own.

    The command takes an `Asked` first and its own options as keywords.
    """
    shared = list(inspect.signature(_asked, eval_str=True).parameters.values())
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @wraps(command)
    def run(**given: Any) -> None:
        command(_asked(**{p.name: given.pop(p.name) for p in shared}), **given)

    parameters = [*shared[:2], *own, *shared[2:]]
    # typer reads the options from here
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    )
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def load_profile(
    source: str, input_shape: list[str] | None, batch: int | None, witness: bool
) -> ModelProfile:
    """The model that a user names, with a line of progress where that takes long."""
    shapes = parse_input_shapes(input_shape or [])
    with working(f"profiling {source}"):
        return load_source(source, input_shapes=shapes or None, batch=batch, witness=witness)


def one_of(option: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """The value, if it is allowed."""
    if value not in allowed:
        names = ", ".join(name for name in allowed if name)
        raise BadInputError(f"{option} {value!r}: give one of {names}")
    return value


def _asked(
    source: options.Source,
    cluster: options.ClusterName = "small-nodes",
    max_accuracy_drop: options.MaxDrop = None,
    accuracy_model: options.AccuracyName = None,
    max_energy_loss: options.MaxEnergyLoss = None,
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
    time_limit: options.TimeLimit = 60.0,
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    no_witness: options.NoWitness = False,
) -> Asked:
    model = load_profile(source, input_shape, batch, not no_witness)
    accuracy = find_accuracy(accuracy_model, model)
    if min_throughput is not None and min_throughput <= 0:
        raise BadInputError("--min-throughput: found 0; give inputs per second above 0")
    limits = Limits(
        max_accuracy_drop=max_accuracy_drop,
        max_energy_loss=max_energy_loss,
        max_latency_s=None
        if max_latency is None
        else parse_quantity(max_latency, "time", where="--max-latency"),
        min_throughput_per_s=min_throughput,
    )
    settings = CostSettings(
        overlap=overlap,
        casting=one_of("--casting", casting, ("unicast", "broadcast", None)),
        medium=one_of("--medium", medium, ("full_duplex", "half_duplex", "shared", None)),
        share_inputs=share_inputs,
        count_input=count_input,
        count_output=count_output,
    )
    tuned = tuned_cluster(
        resolve_cluster(cluster),
        bandwidth_bytes_per_s=_quantity(bandwidth, "bandwidth"),
        macs_per_s=_quantity(compute, "compute"),
        memory_bytes=None if memory is None else int(_quantity(memory, "memory") or 0),
    )
    case = build_case(model, tuned, settings, accuracy)
    return Asked(case, accuracy, limits, time_limit)


def _quantity(text: str | None, kind: str) -> float | None:
    return None if text is None else parse_quantity(text, kind, where=f"--{kind}")
