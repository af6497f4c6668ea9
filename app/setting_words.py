"""Settings that take more than a format to say: functions of what is costed and what is asked."""

from __future__ import annotations

from planner.case import Case
from planner.domain.layouts import WAYS
from planner.domain.request import Request
from planner.units import format_bytes, format_si


def node_words(case: Case, request: Request) -> str:
    """How many may work, or must."""
    number = request.max_nodes
    noun = "node" if number == 1 else "nodes"
    return f"{'exactly' if request.exactly else 'up to'} {number:,} {noun}"


def link_words(case: Case, request: Request) -> str:
    """B, and whether some links have another."""
    link = format_si(case.cluster.link.bandwidth_bytes_per_s, "B/s", 4)
    return f"B {link}" + (" and other links" if case.cluster.pair_links else "")


def speed_words(case: Case, request: Request) -> str:
    """C, from the slowest to the fastest node."""
    speeds = [node.macs_per_s for node in case.cluster.nodes]
    ends = dict.fromkeys((min(speeds), max(speeds)))
    return f"C {' to '.join(format_si(speed, 'MAC/s', 4) for speed in ends)}"


def memory_words(case: Case, request: Request) -> str:
    """The nodes' memory."""
    limits = [node.memory_bytes for node in case.cluster.nodes]
    known = [limit for limit in limits if limit is not None]
    if not known:
        return "no memory limit"
    if len(set(limits)) == 1:
        return f"{format_bytes(known[0])} a node"
    return f"at least {format_bytes(min(known))} a node"


def weight_words(case: Case, request: Request) -> str:
    """The width of weights that were given one."""
    bits = case.profile.weight_bits
    return "" if bits is None else f"{bits:.6g}-bit weights"


def medium_words(case: Case, request: Request) -> str:
    """Medium, casting and collectives, the cluster's own where nothing else was asked for."""
    known = {"direct": "", "in-series": ", messages in series", "best": ", best collectives"}
    passed_on = known.get(case.collective, f", {case.collective} collectives")
    return f"{case.medium.replace('_', ' ')}, {case.casting}{passed_on}"


def overlap_words(case: Case, request: Request) -> str:
    """Both are said."""
    return "overlap" if case.settings.overlap else "no overlap"


def objective_words(case: Case, request: Request) -> str:
    """Both are said."""
    return "least latency" if request.objective == "latency" else "most throughput"


def ways_words(case: Case, request: Request) -> str:
    """Which alone are allowed, where not all are."""
    return "" if request.ways == WAYS else f"only by {', '.join(request.ways)}"


def dropping_words(case: Case, request: Request) -> str:
    """Whether anything may be dropped; a limit on what is lost has words of its own."""
    if request.max_sparsity:
        return f"up to {request.max_sparsity:.4g} sparse"
    return "" if request.may_drop else "nothing dropped"


def loss_words(case: Case, request: Request) -> str:
    """That nothing is known; a model's limit has words of its own."""
    return "" if case.loss_model else "no accuracy model"
