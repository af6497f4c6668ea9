"""What to change first: steps that make the best plan better, each tried by solving again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from planner.accuracy.interface import default_limits
from planner.case import Case
from planner.domain.changes import FIGURES, changed_cluster, parse_change
from planner.domain.cluster import Cluster, Link, Medium, Node, tuned_cluster
from planner.domain.layouts import WAYS
from planner.domain.plan import NextStep, NextSteps, Plan, StepKind
from planner.domain.request import Request
from planner.domain.settings import NO_LIMITS, CostSettings, Limits
from planner.solve.deadline import Deadline
from planner.strategies.optimise import find_plan, objective_s
from planner.strategies.timeline import busiest, node_times
from planner.strategies.what_if.quantities import MOST_NODES, present_value

Watch = Callable[[], None]
Settings = dict[str, Any]

_LEAST_GAIN = 1e-3  # of the objective: less reads as nothing
_TWICE = 2.0
_BETTER_LINK = 2.0  # times the bandwidth, at least: less is not worth buying
_PART = 0.5  # of the time that is left, for one step
_MOST = 2.0**61  # of a figure that is made larger: below what any of them may be
_LIMITS = frozenset(Limits.model_fields)
_REQUEST = frozenset(field.name for field in fields(Request)) - {"limits"}
_COSTS = frozenset(CostSettings.model_fields)


class NamedLink(NamedTuple):
    """A kind of link that could stand in the present one's place."""

    name: str
    bandwidth_bytes_per_s: float
    latency_s: float
    medium: Medium


@dataclass(frozen=True)
class _Step:
    """One that is to be tried; as `NextStep` has it."""

    kind: StepKind
    settings: Settings
    changes: tuple[str, ...] = ()
    of: str = ""
    before: float | None = None
    value: float | None = None


def next_steps(
    case: Case,
    request: Request,
    watch: Watch = lambda: None,
    links: Sequence[NamedLink] = (),
    best: Plan | None = None,
) -> NextSteps:
    """What makes the best plan of a request better, by how much.

    Parameters
    ----------
    case : Case
    request : Request
        With a plan. Its time limit holds for the whole call.
    watch : callable, optional
        Called before each problem that is solved. What it raises ends the work.
    links : sequence of NamedLink
        Kinds of links that may be had.
    best : Plan, optional
        The plan that is to become better, where it is known.

    Returns
    -------
    NextSteps
        Of each kind the best that gains anything.
    """
    deadline = Deadline(request.time_limit_s)
    if best is None:
        watch()
    best = best or find_plan(case, request, deadline.share(_PART))[0]
    if best is None:
        return NextSteps(steps=())
    found: list[NextStep] = []
    idle: list[StepKind] = []
    untried: list[StepKind] = []
    for step in _steps(case, request, best, links):
        if deadline.passed:
            untried.append(step.kind)
            continue
        watch()
        tried = _try(case, request, step, objective_s(best), deadline.share(_PART))
        if tried is None:
            untried.append(step.kind)
        elif tried.gain_s > _LEAST_GAIN * objective_s(best):
            found.append(tried)
        else:  # of a search that was ended nothing is known
            (idle if tried.status == "optimal" else untried).append(step.kind)
    found.sort(key=lambda step: -step.gain_s)
    each = {step.kind: step for step in reversed(found)}  # of one kind the best
    return NextSteps(
        steps=tuple(step for step in found if each[step.kind] is step),
        idle=tuple(dict.fromkeys(kind for kind in idle if kind not in each)),
        untried=tuple(dict.fromkeys(untried)),
    )


def _try(
    case: Case, request: Request, step: _Step, best_s: float, deadline: Deadline
) -> NextStep | None:
    """The step with its plan; None where none was found in time."""
    other, asked = with_step(case, request, step.settings, step.changes)
    plan, _ = find_plan(other, asked, deadline)
    if plan is None or plan.certificate is None:
        return None
    predicted = plan.predicted
    return NextStep(
        kind=step.kind,
        of=step.of,
        settings=step.settings,
        changes=step.changes,
        value_before=step.before,
        value=step.value,
        gain_s=max(best_s - objective_s(plan), 0.0),
        latency_s=predicted.latency_s,
        throughput_per_s=predicted.throughput_per_s,
        nodes=plan.node_count,
        strategy=plan.strategy,
        accuracy_drop=predicted.accuracy_drop,
        energy_loss=predicted.energy_loss,
        status="optimal" if plan.certificate.status == "optimal" else "feasible",
    )


def with_step(
    case: Case, request: Request, settings: Mapping[str, Any], changes: Sequence[str]
) -> tuple[Case, Request]:
    """The same question once a step is done.

    Parameters
    ----------
    case : Case
    request : Request
    settings, changes
        Of a `NextStep`.
    """
    limits = {name: value for name, value in settings.items() if name in _LIMITS}
    asked = {name: value for name, value in settings.items() if name in _REQUEST}
    costs = {name: value for name, value in settings.items() if name in _COSTS}
    known = _LIMITS | _REQUEST | _COSTS
    tuning = {name: value for name, value in settings.items() if name not in known}
    cluster = tuned_cluster(case.cluster, **tuning) if tuning else case.cluster
    cluster = changed_cluster(cluster, map(parse_change, changes))
    other = case
    if costs:
        changed = replace(case, settings=case.settings.model_copy(update=costs))
        changed.take_over(case)
        other = changed
    if cluster is not case.cluster:
        other = other.on(cluster)
    limited = request.limits.model_copy(update=limits) if limits else request.limits
    return other, replace(request, limits=limited, **asked)


def _steps(case: Case, request: Request, best: Plan, links: Sequence[NamedLink]) -> Iterator[_Step]:
    """All that are worth a try: those that cost nothing first, then what takes most time."""
    yield from _of_request(case, request)
    hardware = [_of_speed(case, best), _of_links(case, links)]
    if best.predicted.comm_s > best.predicted.compute_s:
        hardware.reverse()
    yield from hardware[0]
    yield from _of_nodes(case, request)
    yield from hardware[1]
    yield from _of_memory(case)


def _of_request(case: Case, request: Request) -> Iterator[_Step]:
    """What was asked for more narrowly than it need be."""
    limits = request.limits
    yield from _of_loss(case, request)
    if request.exactly or request.max_nodes < len(case.cluster.nodes):
        free: Settings = {"max_nodes": len(case.cluster.nodes), "exactly": False}
        yield _Step("max-nodes", free, before=request.max_nodes, value=free["max_nodes"])
    if request.ways != WAYS and request.parallelism != "pipeline":
        yield _Step("ways", {"ways": WAYS})
    if request.parallelism != "hybrid":
        yield _Step("parallelism", {"parallelism": "hybrid"})
    if request.objective == "throughput" and limits.max_latency_s is not None:
        yield _Step("latency-limit", {"max_latency_s": None}, before=limits.max_latency_s)
    if request.objective == "latency" and limits.min_throughput_per_s is not None:
        free = {"min_throughput_per_s": None}
        yield _Step("throughput-limit", free, before=limits.min_throughput_per_s)


def _of_loss(case: Case, request: Request) -> Iterator[_Step]:
    """Training at the usual loss; where some is allowed already, twice as much."""
    model = case.loss_model
    if model is None or request.max_sparsity is not None or request.parallelism == "pipeline":
        return
    usual = default_limits(NO_LIMITS, model)
    name = "max_accuracy_drop" if model.kind == "accuracy" else "max_energy_loss"
    present: float | None = getattr(request.limits, name)
    most = present * _TWICE if present else getattr(usual, name)
    if model.kind == "energy":
        most = min(most, 1.0)
    yield _Step("loss", {name: most}, before=present, value=most)


def _of_nodes(case: Case, request: Request) -> Iterator[_Step]:
    """One more node: like the fastest, and like the last one."""
    nodes = case.cluster.nodes
    if request.max_nodes < len(nodes) or len(nodes) >= MOST_NODES:
        return
    fastest = max(nodes, key=lambda node: node.macs_per_s)
    kinds: dict[tuple[object, ...], Node] = {nodes[-1].rates: nodes[-1]}
    kinds.setdefault(fastest.rates, fastest)
    for node in kinds.values():
        count = len(nodes) + 1
        yield _Step(
            "node",
            {"max_nodes": count, "exactly": request.exactly},
            (f"node=+{node.name}",),
            of=node.name,
            before=len(nodes),
            value=count,
        )


def _of_links(case: Case, links: Sequence[NamedLink]) -> Iterator[_Step]:
    """Twice the bandwidth, half the delay, and the next better kind of link."""
    cluster = case.cluster
    if len(cluster.nodes) == 1:
        return
    yield _scaled(cluster, "bandwidth", "bandwidth", _TWICE)
    if cluster.link.latency_s or any(pair.latency_s for pair in cluster.pair_links):
        yield _scaled(cluster, "delay", "link-latency", 1 / _TWICE)
    present = present_value(cluster, "bandwidth")
    if present is None:
        return
    # a medium that all share is seldom better than links of one's own, however fast
    alike = [x for x in links if x.medium != "shared" or case.medium == "shared"]
    better = [x for x in alike if x.bandwidth_bytes_per_s >= present * _BETTER_LINK]
    if better:
        link = min(better, key=lambda x: x.bandwidth_bytes_per_s)
        changes = (
            f"bandwidth={link.bandwidth_bytes_per_s / 1e6:.12g}MB/s",
            *([f"link-latency={link.latency_s * 1e6:.12g}us"] if link.latency_s else []),
        )
        medium = {"medium": link.medium} if link.medium != case.medium else {}
        yield _Step("link", medium, changes, link.name, present, link.bandwidth_bytes_per_s)


def _of_speed(case: Case, best: Plan) -> Iterator[_Step]:
    """Twice the speed of what computes longest, of its memory, and half its time per layer."""
    nodes = case.cluster.nodes
    unlike = len({node.rates for node in nodes}) > 1
    name = busiest(node_times(case, best)).node if unlike else ""
    node = next((node for node in nodes if node.name == name), nodes[0])
    yield _scaled(case.cluster, "compute", "compute", _TWICE, name)
    if node.memory_bytes_per_s is not None:
        yield _scaled(case.cluster, "memory-bandwidth", "memory-bandwidth", _TWICE, name)
    if node.layer_overhead_s:
        yield _scaled(case.cluster, "overhead", "overhead", 1 / _TWICE, name)


def _of_memory(case: Case) -> Iterator[_Step]:
    if any(node.memory_bytes is not None for node in case.cluster.nodes):
        yield _scaled(case.cluster, "memory", "memory", _TWICE)


_TUNED = frozenset(("bandwidth_bytes_per_s", "macs_per_s", "memory_bytes"))
"""Figures of all nodes or links that are settings of their own."""


def _scaled(cluster: Cluster, kind: StepKind, figure: str, factor: float, node: str = "") -> _Step:
    """So many times a figure, of everything or of one node."""
    field, _ = FIGURES[figure]
    on_links = field in Link.model_fields
    holders = (cluster.link, *cluster.pair_links) if on_links else cluster.nodes
    of = [x for x in holders if not node or getattr(x, "name", "") == node]
    figures = {getattr(holder, field) for holder in of}
    if any(figure and figure * factor >= _MOST for figure in figures):
        factor = 1.0  # no cluster may have more: that gains nothing
    before = figures.pop() if len(figures) == 1 else None
    value = None if before is None else before * factor
    if field == "memory_bytes" and value is not None:
        value = round(value)
    if node or value is None or field not in _TUNED:
        text = f"{node}{':' if node else ''}{figure}={factor:g}x"
        return _Step(kind, {}, (text,), node, before, value)
    return _Step(kind, {field: value}, before=before, value=value)
