"""Roads from figures to a latency, and what a row of the results holds. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.exchange import Links
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.plan import Plan
from planner.run.simulated import Act, Sends, Waits, Works, simulate_run
from planner.strategies.costed import predict
from profiles.catalog import load_model

_NS = 1e-9


def naive_s(plan: Plan, model: str, cluster: Cluster) -> float:
    """Bytes / B + MACs / C, with one C a node."""
    nodes = tuple(Node(name=node.name, macs_per_s=node.macs_per_s) for node in cluster.nodes)
    link = Link(bandwidth_bytes_per_s=cluster.link.bandwidth_bytes_per_s)
    bare = Cluster(name=cluster.name, nodes=nodes, link=link)
    return _costed_s(plan, model, bare)


def rates_s(plan: Plan, model: str, cluster: Cluster) -> float:
    """The cost model on measured figures, none of which is of a model."""
    return _costed_s(plan, model, cluster)


def _costed_s(plan: Plan, model: str, cluster: Cluster) -> float:
    case = Case(load_model(model), cluster, plan.settings)
    groups = [stage.nodes for stage in plan.stages]
    planned = Case(case.profile, plan.cluster, plan.settings)
    return predict(planned.with_same_shares(cluster, groups), plan.stages).latency_s


def simulated_s(
    nodes: Sequence[Mapping[str, Any]], links: Links, *, alone: bool, waking_s: float = 0.0
) -> float:
    """Segments' times, alone or as they were in the run, and the links.

    Parameters
    ----------
    nodes : sequence of documents
        A turn's: ``times`` (`planner.run.timing.NodeTimes`) and ``alone_s``.
    links : Links
    alone : bool
    waking_s : float
        That a segment behind a wait takes longer than alone.
    """
    names = [node["times"]["node"] for node in nodes]
    acts = []
    for node in nodes:
        times = node["times"]
        lasted = _lasted_s(times)
        mine: list[Act] = []
        for place, action in enumerate(times["actions"]):
            if action["kind"] == "compute":
                woken_s = waking_s if _woken(times["actions"], place) else 0.0
                seconds = node["alone_s"][action["name"]] + woken_s if alone else lasted[place]
                mine.append(Works(seconds))
            elif action["kind"] == "post":
                peer = names.index(action["peer"])
                mine.append(Sends(peer, action["name"], action["size_bytes"]))
            else:
                mine.append(Waits(names.index(action["peer"]), action["name"]))
        acts.append(mine)
    return simulate_run(acts, links).latency_s


def waking_s(documents: Sequence[Mapping[str, Any]]) -> float | None:
    """How much longer segments behind a wait took in runs than alone: the median of plans' means.

    The processor slept, its clock is low, and caches hold what came in. None: nothing waited.
    """
    means = []
    for document in documents:
        more = [
            lasted - node["alone_s"][action["name"]]
            for turn in document["turns"]
            for node in turn["nodes"]
            for place, (action, lasted) in enumerate(
                zip(node["times"]["actions"], _lasted_s(node["times"]), strict=True)
            )
            if action["kind"] == "compute" and _woken(node["times"]["actions"], place)
        ]
        if more:
            means.append(float(np.mean(more)))
    return float(np.median(means)) if means else None


def _woken(actions: Sequence[Mapping[str, Any]], place: int) -> bool:
    """Whether a node has waited for a message right before an action."""
    return place > 0 and actions[place - 1]["kind"] == "await"


def _lasted_s(times: Mapping[str, Any]) -> NDArray[np.float64]:
    """Medians over runs of what every action took, shape (A,)."""
    lasted = np.array(times["ends"]) - np.array(times["begins"])
    found: NDArray[np.float64] = np.median(lasted, axis=0) * _NS
    return found


def latencies_s(
    nodes: Sequence[Mapping[str, Any]], warmup: int, readers: Sequence[str]
) -> NDArray[np.float64]:
    """Of every run that counts, from the nodes that read the input to the last end.

    The others begin to wait when their last run is over.
    """
    starts, ends = [], []
    for node in nodes:
        times = node["times"]
        if times["node"] in readers:
            starts.append(np.array(times["starts"])[warmup:])
        if times["actions"]:
            ends.append(np.array(times["ends"])[warmup:, -1])
    found: NDArray[np.float64] = (np.max(ends, axis=0) - np.min(starts, axis=0)) * _NS
    return found


def sent_as_planned(document: Mapping[str, Any]) -> bool:
    """Whether the payload at the sockets is the plan's, in all runs."""
    planned = dict(document["planned_bytes"])
    for turn in document["turns"]:
        found: dict[str, int] = {}
        for node in turn["nodes"]:
            times = node["times"]
            runs = len(times["starts"])
            for item in times["sent"]:
                if item["stretch"].startswith("(in") and "stage" not in item["stretch"]:
                    continue  # inputs on their way are not the plan's
                if item["stretch"] in ("(outputs)", "(start)"):
                    continue
                key = f"{item['stretch']}/{times['node']}/{item['receiver']}"
                found[key] = found.get(key, 0) + item["size_bytes"] // runs
        if found != planned:
            return False
    return True


def result_row(
    document: Mapping[str, Any],
    plan: Plan,
    model: str,
    cluster: Cluster,
    late_s: float,
    others: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """A row: what was measured, and what each road says.

    Parameters
    ----------
    document : dict
        Of the run.
    plan : Plan
    model : str
    cluster : Cluster
        As measured.
    late_s : float
        99 of 100 frames were late by at most so much.
    others : sequence of dict
        Runs of other models on the same nodes, which tell what waking takes.
    """
    turns, warmup = document["turns"], document["warmup"]
    readers = plan.stages[0].nodes
    measured = [latencies_s(turn["nodes"], warmup, readers) for turn in turns]
    # bytes of messages are counted as they are: how wide their elements are does not matter
    links = Links.of(cluster.first(len(turns[0]["nodes"])), element_bytes=1)
    woken_s = waking_s(others) or 0.0
    both = np.concatenate(measured)
    low, median, high = np.quantile(both, (0.25, 0.5, 0.75)).tolist()
    return {
        "measured_s": median,
        "low_s": low,
        "high_s": high,
        "turns_s": [float(np.median(turn)) for turn in measured],
        "naive_s": naive_s(plan, model, cluster),
        "rates_s": rates_s(plan, model, cluster),
        "alone_s": float(
            np.median([simulated_s(turn["nodes"], links, alone=True) for turn in turns])
        ),
        "woken_s": float(
            np.median(
                [simulated_s(turn["nodes"], links, alone=True, waking_s=woken_s) for turn in turns]
            )
        ),
        "waking_s": woken_s,
        "links_s": float(
            np.median([simulated_s(turn["nodes"], links, alone=False) for turn in turns])
        ),
        "payload_as_planned": sent_as_planned(document),
        "late_p99_s": late_s,
    }
