"""What to change first, in words, as an option to type and as a question that has it done."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import cache

from app.settings import SETTINGS
from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.plan import NextStep, NextSteps, Plan, StepKind
from planner.domain.request import Request
from planner.strategies.what_if.next_steps import NamedLink, with_step
from planner.units import format_bytes, format_rate, format_seconds, format_si
from profiles.devices import link_names, load_link

SHOWN = 3
"""Steps that are shown at once."""

_KINDS: dict[StepKind, str] = {
    "bandwidth": "more bandwidth",
    "link": "another kind of link",
    "delay": "less delay of messages",
    "compute": "faster nodes",
    "node": "one more node",
    "memory-bandwidth": "faster memory",
    "overhead": "less time per layer",
    "memory": "more memory",
    "loss": "training",
    "ways": "other ways of splitting",
    "parallelism": "stages of any size",
    "max-nodes": "more of the nodes",
    "latency-limit": "no latency limit",
    "throughput-limit": "no throughput limit",
}
"""What kinds of steps are about."""

_UNITS = {"bandwidth": "B/s", "compute": "MAC/s", "memory-bandwidth": "B/s"}


@cache
def catalogue_links() -> tuple[NamedLink, ...]:
    """The kinds of links of the catalogue."""
    return tuple(
        NamedLink(x.name, x.bandwidth_bytes_per_s, x.latency_s, x.medium)
        for x in map(load_link, link_names())
    )


def label(step: NextStep) -> str:
    """What to do, in a few words."""
    whose = f"of {step.of} " if step.of else ""
    match step.kind:
        case "bandwidth":
            return "Twice the bandwidth"
        case "link":
            return f"A link of the kind {step.of}"
        case "delay":
            return "Half the delay of every message"
        case "compute":
            return f"{step.of or 'Nodes'} twice as fast"
        case "node":
            return f"One more node like {step.of}"
        case "memory-bandwidth":
            return f"Memory {whose}twice as fast"
        case "overhead":
            return f"Half the time per layer{' of ' + step.of if step.of else ''}"
        case "memory":
            return "Twice the memory of every node"
        case "loss":
            return _loss_label(step)
        case "ways":
            return "Every way to split a layer"
        case "parallelism":
            return "Stages of one node or of several"
        case "max-nodes":
            return f"Up to {step.value:.0f} of the nodes"
        case "latency-limit":
            return "No limit on the latency"
        case "throughput-limit":
            return "No limit on the throughput"


def _loss_label(step: NextStep) -> str:
    assert step.value is not None
    if "max_energy_loss" in step.settings:
        return f"Training that prunes {step.value:.0%} of the weights' energy"
    return f"Training at {step.value:.2g} points"


def sentence(step: NextStep, plan: Plan) -> str:
    """What to do, what it gives, and how much that gains."""
    words = f"{label(step)}{_amount(step)}"
    if plan.objective == "latency":
        gives, gain = format_seconds(step.latency_s, 3), f"{format_seconds(step.gain_s, 3)} less"
    else:
        before = plan.predicted.throughput_per_s
        gives = f"{format_rate(step.throughput_per_s)} inputs/s"
        gain = f"{step.throughput_per_s / before - 1:.0%} more"
    return f"{words}: {gives}, {gain}" + (" at least" if step.status == "feasible" else "")


def _amount(step: NextStep) -> str:
    """The new value in brackets, where it is one number."""
    if step.value is None:
        return ""
    match step.kind:
        case "bandwidth" | "link" | "compute" | "memory-bandwidth":
            figure = "bandwidth" if step.kind == "link" else step.kind
            return f" ({format_si(step.value, _UNITS[figure])})"
        case "delay" | "overhead":
            return f" ({format_seconds(step.value, 3)})"
        case "memory":
            return f" ({format_bytes(step.value)})"
        case "node":
            return f" ({step.value:.0f} nodes)"
    return ""


def option(step: NextStep) -> str:
    """What to type for it; of a limit that is to go, that it is left out."""
    return " ".join(_typed(step))


def _typed(step: NextStep) -> Iterator[str]:
    for text in step.changes:
        yield f"--change {shlex.quote(text)}"
    exactly = step.settings.get("exactly")
    for setting in SETTINGS:
        if setting.field not in step.settings or setting.field == "exactly" or not setting.option:
            continue
        value = step.settings[setting.field]
        if value is None:
            yield f"without {setting.flag}"
        elif setting.field == "max_nodes" and exactly:
            yield f"--nodes {value}"
        elif value == setting.default or setting.field == "ways":  # all of them is the default
            yield f"without {setting.flag}"
        else:
            yield shlex.join(setting.kind.write_option(value, setting.flag))


def cluster_of(case: Case, request: Request, step: NextStep) -> Cluster:
    """The cluster once the step is done: the same where it changes no hardware."""
    return with_step(case, request, step.settings, step.changes)[0].cluster


def untried_sentence(found: NextSteps) -> str:
    """What time did not allow to try, or to try to the end; empty where all was tried."""
    if not found.untried:
        return ""
    kinds = ", ".join(_KINDS[kind] for kind in found.untried)
    return f"Without a result in the time there was: {kinds}."


def none_sentence(found: NextSteps) -> str:
    """That nothing helps; empty where something does."""
    if found.steps or not found.idle:
        return ""
    return f"Nothing that was tried gains anything: {', '.join(_KINDS[k] for k in found.idle)}."
