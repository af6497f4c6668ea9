"""From a scenario to its network, by the planner's own costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.exchange import Links, transfer_s
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.simulation.network import Network
from planner.simulation.scenario import MAX_NODES, Scenario
from planner.strategies.ar_mdi import ar_mdi_workers
from planner.strategies.baselines import seconds_per_param
from planner.structure import tensor_bytes

Array = NDArray[np.float64]
MAX_CELLS = 20_000_000


def network_of(scenario: Scenario) -> Network:
    """Cost a scenario's model on its workers and lay out every source's route, epoch by epoch.

    Raises
    ------
    BadInputError
        A node that is named is none, or the scenario is larger than what is simulated.
    """
    profile, cluster = _documents(scenario)
    ring = _ring(scenario, cluster)
    names = tuple(node.name for node in ring.nodes)
    _check_names(scenario, names)
    # only its source has an input: what reads it again behind a cut is sent it
    settings = CostSettings(medium=scenario.medium, count_input=True)
    case = Case(profile, _without_delay(ring), settings)
    compute_s = np.stack([_unit_s(case, name) for name in names])
    done_s = np.concatenate([np.zeros((len(names), 1)), np.cumsum(compute_s, axis=1)], axis=1)
    sources = np.array([names.index(source.node) for source in scenario.sources])
    change_s = _changes(scenario)
    if len(change_s) * len(sources) * len(case.units) > MAX_CELLS:
        raise BadInputError(
            f"scenario {scenario.name!r}: {len(change_s)} epochs of churn and drift, "
            f"{len(sources)} sources and {len(case.units)} units of the model; their product "
            f"may be at most {MAX_CELLS:,}"
        )
    alive = _alive(scenario, names, change_s)
    pace, wire_pace = _paces(scenario, names, change_s)
    # γ decides the split alone; what a unit takes follows from the cost model.
    gamma = seconds_per_param(case, len(names))
    for name, value in scenario.gamma_s_per_param.items():
        gamma[names.index(name)] = value
    weights = case.per_unit(scenario.split)
    if not weights.any():
        raise BadInputError(
            f"split: model {profile.name} has no {scenario.split}; give params or macs, "
            "whichever it has"
        )
    owner = np.empty((len(change_s), len(sources), len(case.units)), dtype=np.int64)
    for epoch, source in np.ndindex(*owner.shape[:2]):
        # Equation (1) over those that are there, in ring order from the source on.
        order = np.roll(np.arange(len(names)), -sources[source])
        order = order[alive[epoch, order]]
        workers = ar_mdi_workers(weights, (gamma * pace[epoch])[order])
        owner[epoch, source] = order[workers]
    return Network(
        names=names,
        source_node=sources,
        medium=case.medium,
        done_s=done_s,
        send_s=_send_s(case),
        delay_s=ring.pair_latency_s() * ~np.eye(len(names), dtype=np.bool_),
        change_s=change_s,
        alive=alive,
        pace=pace,
        wire_pace=wire_pace,
        owner=owner,
        stop=_ends(owner),
    )


def _documents(scenario: Scenario) -> tuple[ModelProfile, Cluster]:
    for field, value in (("model", scenario.model), ("cluster", scenario.cluster)):
        if isinstance(value, str):
            raise BadInputError(f"{field}: found the name {value!r}; the document itself is needed")
    assert isinstance(scenario.model, ModelProfile) and isinstance(scenario.cluster, Cluster)
    return scenario.model, scenario.cluster


def _ring(scenario: Scenario, cluster: Cluster) -> Cluster:
    names = list(scenario.ring or [node.name for node in cluster.nodes])
    known = [node.name for node in cluster.nodes]
    for name in names:
        if name not in known:
            raise BadInputError(f"ring: {name!r} is no node of {cluster.name}; nodes are {known}")
        if names.count(name) > 1:
            raise BadInputError(f"ring: {name!r} is there twice")
    if len(names) > MAX_NODES:
        raise BadInputError(
            f"ring: {len(names)} nodes; at most {MAX_NODES} are simulated, name those in `ring`"
        )
    # The costs of a ring begin at its first node; each source's route is turned to begin at it.
    return cluster.only(names).model_copy(update={"source_node": names[0]})


def _check_names(scenario: Scenario, names: tuple[str, ...]) -> None:
    named = [(f"sources[{i}].node", s.node) for i, s in enumerate(scenario.sources)]
    named += [(f"churn[{i}].node", a.node) for i, a in enumerate(scenario.churn)]
    named += [(f"drift[{i}].node", d.node) for i, d in enumerate(scenario.drift) if d.node]
    named += [("gamma_s_per_param", name) for name in scenario.gamma_s_per_param]
    for where, name in named:
        if name not in names:
            raise BadInputError(
                f"{where}: {name!r} is no worker of the ring; workers are {', '.join(names)}"
            )


def _without_delay(ring: Cluster) -> Cluster:
    """The same links for what occupies them: a message's delay does not."""
    return ring.model_copy(
        update={
            "link": ring.link.model_copy(update={"latency_s": 0.0}),
            "pair_links": tuple(p.model_copy(update={"latency_s": 0.0}) for p in ring.pair_links),
        }
    )


def _unit_s(case: Case, name: str) -> Array:
    """Seconds of every unit on one node alone, shape (U,)."""
    seconds = case.table((name,)).compute_s[:, 0]
    found: Array = np.add.reduceat(seconds, [unit.start for unit in case.units])
    return found


def _send_s(case: Case) -> Array:
    """Occupation of a link by the input, by what crosses each cut, and by the output."""
    profile, names = case.profile, [(node.name,) for node in case.cluster.nodes]
    sizes = tensor_bytes(profile)
    links = Links.of(case.cluster, case.settings, element_bytes=profile.element_bytes)
    first = np.array([sum(spec.bytes for spec in profile.inputs)])
    last = np.array([sum(sizes[name] for name in profile.outputs)])
    between = np.zeros((len(names), len(names), len(case.units) - 1))
    pairs = [(i, j) for i in range(len(names)) for j in range(len(names)) if i != j]
    if pairs:
        moved = case.transfers([(names[i], names[j]) for i, j in pairs])
        between[tuple(np.array(pairs).T)] = moved.seconds
    ends = transfer_s(first, links.as_computed), transfer_s(last, links)
    return np.concatenate([ends[0], between, ends[1]], axis=2)


def _changes(scenario: Scenario) -> Array:
    times = {0.0}
    for absence in scenario.churn:
        times.add(absence.leaves_s)
        if absence.rejoins_s is not None:
            times.add(absence.rejoins_s)
    times.update(drift.at_s for drift in scenario.drift)
    return np.array(sorted(times))


def _alive(scenario: Scenario, names: tuple[str, ...], change_s: Array) -> NDArray[np.bool_]:
    alive = np.ones((len(change_s), len(names)), dtype=np.bool_)
    for absence in scenario.churn:
        back_s = np.inf if absence.rejoins_s is None else absence.rejoins_s
        alive[(change_s >= absence.leaves_s) & (change_s < back_s), names.index(absence.node)] = (
            False
        )
    for source in scenario.sources:
        gone = ~alive[:, names.index(source.node)]
        if gone[0]:
            raise BadInputError(f"churn: source {source.node!r} leaves at 0 s, before its inputs")
    return alive


def _paces(scenario: Scenario, names: tuple[str, ...], change_s: Array) -> tuple[Array, Array]:
    speed = np.ones((2, len(change_s), len(names)))
    for drift in sorted(scenario.drift, key=lambda d: d.at_s):
        nodes = slice(None) if drift.node is None else names.index(drift.node)
        for kind, factor in enumerate((drift.compute_factor, drift.bandwidth_factor)):
            if factor is not None:
                speed[kind, change_s >= drift.at_s, nodes] = factor
    return 1.0 / speed[0], 1.0 / speed[1]


def _ends(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the run of equal owners that holds each unit ends."""
    stop = np.empty_like(owner)
    units = owner.shape[-1]
    stop[..., -1] = units
    for unit in range(units - 2, -1, -1):
        same = owner[..., unit] == owner[..., unit + 1]
        stop[..., unit] = np.where(same, stop[..., unit + 1], unit + 1)
    return stop
