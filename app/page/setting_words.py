"""The settings of an answer in words."""

from __future__ import annotations

from app.page.question import Question
from app.page.text import count
from planner.domain.cluster import Cluster
from planner.domain.settings import CostSettings, Limits
from planner.units import format_bytes, format_si


def setting_words(
    asked: Question, cluster: Cluster, settings: CostSettings, limits: Limits
) -> tuple[str, ...]:
    """Every setting of a question, tuned and with its defaults, in a few words each."""
    medium = (settings.medium or cluster.medium).replace("_", " ")
    options = {
        "shared transmissions": settings.share_inputs,
        "input sent out": settings.count_input,
        "output sent back": settings.count_output,
        f"{asked.parallelism} only": asked.parallelism != "hybrid",
    }
    link = format_si(cluster.link.bandwidth_bytes_per_s, "B/s", 4)
    return (
        f"{'exactly' if asked.exactly else 'up to'} {count(asked.nodes, 'node')}",
        f"B {link}" + (" and other links" if cluster.pair_links else ""),
        f"C {_speeds(cluster)}",
        _memory(cluster),
        f"{medium}, {settings.casting or cluster.casting}",
        "overlap" if settings.overlap else "no overlap",
        *(words for words, chosen in options.items() if chosen),
        "least latency" if asked.objective == "latency" else "most throughput",
        *_limits(limits),
    )


def _limits(limits: Limits) -> tuple[str, ...]:
    if limits.max_energy_loss is not None:
        loss = f"at most {limits.max_energy_loss:.3g} of the weights' energy pruned"
    elif limits.max_accuracy_drop is not None:
        loss = f"at most {limits.max_accuracy_drop:g} points lost"
    else:
        loss = "no accuracy model"
    found = [loss]
    if limits.max_latency_s is not None:
        found.append(f"at most {limits.max_latency_s * 1e3:g} ms")
    if limits.min_throughput_per_s is not None:
        found.append(f"at least {limits.min_throughput_per_s:g} inputs/s")
    return tuple(found)


def _speeds(cluster: Cluster) -> str:
    speeds = [node.macs_per_s for node in cluster.nodes]
    high = format_si(max(speeds), "MAC/s", 4)
    return high if len(set(speeds)) == 1 else f"{format_si(min(speeds), 'MAC/s', 4)} to {high}"


def _memory(cluster: Cluster) -> str:
    limits = [node.memory_bytes for node in cluster.nodes]
    known = [limit for limit in limits if limit is not None]
    if not known:
        return "no memory limit"
    if len(set(limits)) == 1:
        return f"{format_bytes(known[0])} a node"
    return f"at least {format_bytes(min(known))} a node"
