"""MS-MDI's testbed by every reading of what the paper leaves open: costs, makespans, errors."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from planner.domain.cluster import Cluster, Link, Node
from planner.simulation.arrivals import arrival_times
from planner.simulation.bound import least_time_s, ways_of
from planner.simulation.costing import network_of
from planner.simulation.network import Network
from planner.simulation.policies import rule_of
from planner.simulation.rehearsed import rehearsed_choice
from planner.simulation.run import run_once
from planner.simulation.scenario import MsMdiSettings, Scenario
from profiles.catalog import load_model

RATES, IMAGES = (5.0, 10.0), (10_000, 30_000)
WHOLE_S = 0.18  # T
PUBLISHED = {2: (1.11, 1.16), 3: (1.32, 1.20)}  # Local / MS-MDI, AR-MDI / MS-MDI
SHARES = {"equal": "equal shares", "macs": "shares by MACs", "params": "shares by parameters"}
UNITS = 840  # of the model that is cut anywhere: 2 to 8 workers have equal shares
MESSAGES = {"one": "one time c for every message", "bytes": "by the bytes of each cut"}
SENDS = ("blocking", "overlapped")
BASE = MsMdiSettings()
OPEN: dict[str, dict[str, dict[str, object]]] = {
    "form": {"corrected": {"form": "corrected"}, "literal": {"form": "literal"}},
    "ties": {"distributed": {"ties": "distributed"}, "local": {"ties": "local"}},
    "idling": {"never": {"idles": False}, "while an empty queue weighs more": {"idles": True}},
    "draw": {
        "1 a decision": {"draw": 1},
        "4 a decision": {"draw": 4},
        "all a decision": {"draw": "all"},
        "1 every T/2": {"draw": 1, "slot_s": WHOLE_S / 2},
        "1 every T": {"draw": 1, "slot_s": WHOLE_S},
    },
}


@dataclass(frozen=True)
class Costs:
    """A reading of what a part and a message cost."""

    shares: str
    message: str
    send: str

    def __str__(self) -> str:
        """In words."""
        return f"{SHARES[self.shares]}, {self.send} sends, {MESSAGES[self.message]}"


@cache
def scenario(workers: int, shares: str, send: str) -> Scenario:
    """The testbed with links that carry one byte a second."""
    split = "params" if shares == "params" else "macs"
    model = load_model("mobilenetv2-256")
    nodes = tuple(
        Node(name=f"tx2-{k + 1}", macs_per_s=model.totals.macs / WHOLE_S) for k in range(workers)
    )
    sources = [
        {
            "node": f"tx2-{k + 1}",
            "arrivals": {"kind": "poisson", "rate_per_s": rate, "total": total},
        }
        for k, (rate, total) in enumerate(zip(RATES, IMAGES, strict=True))
    ]
    return Scenario.model_validate(
        {
            "name": "ms-mdi",
            "model": model,
            "cluster": Cluster(name="tx2", nodes=nodes, link=Link(bandwidth_bytes_per_s=1.0)),
            "sources": sources,
            "split": split,
            "send": send,
            "seed": 2023,
        }
    )


@cache
def network(workers: int, costs: Costs, c: float) -> Network:
    """The same with messages that take c·T, or c·T for as many bytes as cross the middle."""
    if costs.shares == "equal":
        return equal_shares(network(workers, replace(costs, shares="macs"), c), workers)
    found = network_of(scenario(workers, costs.shares, costs.send))
    apart = ~np.eye(workers, dtype=np.bool_)[:, :, None]
    if costs.message == "one":
        return replace(found, send_s=np.where(apart, c * WHOLE_S, 0.0) + 0 * found.send_s)
    return replace(found, send_s=found.send_s * c * WHOLE_S / middle_bytes(costs.shares))


def equal_shares(found: Network, workers: int) -> Network:
    """The same for a model of equal units, of which every worker has as many."""
    share = np.arange(UNITS) * workers // UNITS
    owner = (found.source_node[:, None] + share) % workers
    stop = np.broadcast_to((share + 1) * UNITS // workers, owner.shape)
    return replace(
        found,
        done_s=np.tile(np.linspace(0.0, WHOLE_S, UNITS + 1), (workers, 1)),
        send_s=np.repeat(found.send_s[:, :, :1], UNITS + 1, axis=2),
        owner=owner[None],
        stop=stop[None],
    )


@cache
def middle_bytes(shares: str) -> float:
    """Bytes that cross the cut between two workers."""
    found = network_of(scenario(2, shares, "blocking"))
    ((_, _, size),) = found.hops(0, 0, False)
    return size


def ar_over_local(workers: int, costs: Costs, c: float) -> float:
    """Busiest worker or link of AR-MDI over the busiest source of Local."""
    ways = ways_of(network(workers, costs, c), costs.send == "blocking", False)
    counts = np.array(IMAGES, dtype=np.float64)
    return least_time_s(ways.only(["distributed"]), counts) / (max(IMAGES) * WHOLE_S)


@cache
def calibrated(costs: Costs) -> tuple[float, float]:
    """c/T with the least error against AR-MDI over Local of both published rows, and the error."""

    def error(c: float) -> float:
        ratios = [
            np.log(ar_over_local(workers, costs, c) / (ar / local))
            for workers, (local, ar) in PUBLISHED.items()
        ]
        return float(np.sqrt(np.mean(np.square(ratios))))

    best = min(np.arange(0, 201) / 200, key=error)
    return float(best), error(float(best))


@cache
def makespan_s(workers: int, costs: Costs, policy: str, settings: MsMdiSettings = BASE) -> float:
    """Simulated; infinite where a rule comes to a stop."""
    asked = scenario(workers, costs.shares, costs.send)
    record = run_once(
        asked,
        network(workers, costs, calibrated(costs)[0]),
        rule_of(policy, settings),
        arrivals(workers),
    )
    return record.makespan_s if not np.isnan(record.finish_s).any() else float("inf")


@cache
def rehearsed(workers: int, costs: Costs, settings: MsMdiSettings = BASE) -> tuple[str, float]:
    """The policy that `rehearsed` follows, and its makespan."""
    asked = scenario(workers, costs.shares, costs.send).model_copy(update={"ms_mdi": settings})
    chosen = rehearsed_choice(asked, network(workers, costs, calibrated(costs)[0]))
    return chosen, makespan_s(workers, costs, chosen, settings)


@cache
def arrivals(workers: int) -> list[np.ndarray]:
    """The same images for every policy."""
    return arrival_times(scenario(workers, "macs", "blocking"))


def ratios(workers: int, costs: Costs, settings: MsMdiSettings) -> tuple[float, float]:
    """Local and AR-MDI over MS-MDI."""
    mine = makespan_s(workers, costs, "ms-mdi", settings)
    return (
        makespan_s(workers, costs, "local") / mine,
        makespan_s(workers, costs, "ar-mdi") / mine,
    )


def error_of(costs: Costs, settings: MsMdiSettings) -> float:
    """Root mean square of the logarithmic errors of the four published ratios."""
    found = [ratios(workers, costs, settings) for workers in PUBLISHED]
    if not np.all(np.isfinite(found)) or not np.all(np.array(found) > 0):
        return float("inf")
    wanted = np.array(list(PUBLISHED.values()))
    return float(np.sqrt(np.mean(np.log(np.array(found) / wanted) ** 2)))


def settings_of(chosen: dict[str, str]) -> MsMdiSettings:
    """One answer to each open question."""
    fields: dict[str, object] = {}
    for question, answer in chosen.items():
        fields |= OPEN[question][answer]
    return MsMdiSettings.model_validate(fields)


def all_readings() -> list[tuple[float, Costs, dict[str, str]]]:
    """Every reading with its error, best first."""
    found = []
    for costs in all_costs():
        for answers in itertools.product(*OPEN.values()):
            chosen = dict(zip(OPEN, answers, strict=True))
            found.append((error_of(costs, settings_of(chosen)), costs, chosen))
    return sorted(found, key=lambda reading: (reading[0], str(reading[1]), str(reading[2])))


def all_costs() -> list[Costs]:
    """Every reading of the costs."""
    found = [Costs(*words) for words in itertools.product(SHARES, MESSAGES, SENDS)]
    return [costs for costs in found if (costs.shares, costs.message) != ("equal", "bytes")]
