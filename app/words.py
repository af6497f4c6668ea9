"""A plan in words, for the command line and the page alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from app.figures import Figure, beside, figures
from planner.case import Case
from planner.domain.layouts import Way
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Alternative, Binding, Plan
from planner.strategies.optimise import LATE
from planner.strategies.what_if.frontier import ParetoFrontier
from planner.units import format_bytes, format_rate, format_seconds, format_si, format_times
from profiles.built import NOT_RUN, RUNNABLE

NO_ACCURACY_MODEL = (
    "no accuracy model: what dropping features costs is unknown; choose one "
    "(--accuracy-model curve:NAME)"
)
"""Above results some of which drop features; the page has its control's name for the option."""

_STRATEGY_WORDS = {
    "single-node": "the whole model on one node",
    "optimal-sparsity": "every layer split over {nodes} nodes, {chosen}",
    "optimal-lossless": "every layer split over {nodes} nodes, {chosen}",
    "optimal-allocation": "a pipeline of {nodes} stages",
    "optimal-hybrid": "{stages} stages on {nodes} nodes, up to {most} a stage",
}


_SHOWN = 3


def running_words(*, is_own: bool) -> str:
    """What runs a plan: of one for a model file what must be named beside it, if it runs at all."""
    if not is_own:
        return "which `planner slice` cuts and `planner run` runs"
    return (
        f"which `planner slice` cuts and `planner run` runs with --model and the model as "
        f"{RUNNABLE}; {NOT_RUN}"
    )


def uncounted_words(uncounted: Mapping[str, int]) -> str:
    """Which operators of a model no time here has the work of; empty where there is none."""
    if not uncounted:
        return ""
    names = ", ".join(list(uncounted)[:_SHOWN]) + (", ..." if len(uncounted) > _SHOWN else "")
    total = sum(uncounted.values())
    return f"without the work of {total} operator{'s'[: total > 1]} that is not known ({names})"


def uncounted_lines(case: Case) -> list[str]:
    """The same as a sentence above several results."""
    words = uncounted_words(case.profile.coverage.uncounted)
    return [f"NOT all is counted: every time here is {words}."] if words else []


def headline(plan: Plan) -> str:
    """What the plan does and what it achieves, one sentence."""
    words = _STRATEGY_WORDS.get(plan.strategy, plan.strategy)
    if plan.strategy == "optimal-allocation" and plan.node_count == 1:
        words = _STRATEGY_WORDS["single-node"]
    most = max(len(stage.nodes) for stage in plan.stages)
    shape = words.format(
        nodes=plan.node_count, stages=len(plan.stages), most=most, chosen=_chosen(plan)
    )
    predicted = plan.predicted
    text = (
        f"{shape}: {format_seconds(predicted.latency_s)} per input{_interval(plan)}, "
        f"{format_rate(predicted.throughput_per_s)} inputs/s"
    )
    if words := uncounted_words(plan.model.uncounted):
        text += f", {words}"
    if not plan.drops_features:
        return f"{text[0].upper()}{text[1:]}, nothing dropped"
    if predicted.accuracy_drop is not None:
        text += f", {predicted.accuracy_drop:.2f} points lost"
    if predicted.energy_loss is not None:
        text += f", {predicted.energy_loss:.1%} of the weights' energy pruned"
    return text[0].upper() + text[1:]


def answer_sentence(plan: Plan, profile: ModelProfile | None = None) -> str:
    """The plan in one sentence: who, how, how long, and how much better than one node alone.

    Parameters
    ----------
    plan : Plan
    profile : ModelProfile, optional
        Of the model: says whether positions are rows of a map or tokens.
    """
    alone, untrained, trained = figures(plan)
    own = trained if plan.drops_features else untrained
    predicted = plan.predicted
    training = "no training"
    if plan.drops_features:
        lost = lost_words(predicted.accuracy_drop, predicted.energy_loss)
        training = f"trained, {lost}" if lost else "trained, at an unknown loss"
    shape = shape_words(plan, profile)
    text = f"{shape[0].upper()}{shape[1:]}, {training}: {_figure_words(own, plan)}"
    text += _interval(plan)
    if own.ratio is not None and plan.node_count > 1:
        text += f", {_times_words(own.ratio, plan)}"
    elif alone.latency_s is None and plan.node_count > 1:
        text += f" (one node alone: {alone.note.partition(':')[0]})"
    if words := uncounted_words(plan.model.uncounted):
        text += f", {words}"
    return text + _other_words(plan, untrained if plan.drops_features else trained) + "."


def _figure_words(figure: Figure, plan: Plan) -> str:
    if plan.objective == "latency":
        return format_seconds(figure.latency_s or 0.0, 3)
    return f"{format_rate(figure.throughput_per_s or 0.0)} inputs/s"


def _times_words(ratio: float, plan: Plan) -> str:
    return f"{better_words(ratio, by_rate=plan.objective != 'latency')} than one"


_TIMES_FROM = 1.05  # a smaller ratio would read as 1×
LEAST_CHANGE = 5e-4  # relative; less would read as 0 %


def better_words(ratio: float, *, by_rate: bool) -> str:
    """How much better something is: ``68× faster``, ``0.9% slower``, ``no faster``.

    Parameters
    ----------
    ratio : float
        How many times as good: as fast, or in inputs per second.
    by_rate : bool
        Of a rate, in place of a time. Per cent are of the one or of the other.
    """
    better, worse = ("more", "fewer") if by_rate else ("faster", "slower")
    if max(ratio, 1 / ratio) >= _TIMES_FROM:
        return f"{format_times(max(ratio, 1 / ratio))} {better if ratio > 1 else worse}"
    change = ratio - 1 if by_rate else 1 / ratio - 1
    if abs(change) < LEAST_CHANGE:
        return f"no {better}"
    return f"{abs(change):.1%} {better if ratio > 1 else worse}"


def _other_words(plan: Plan, other: Figure) -> str:
    """The best plan with training beside one without, or without beside one with."""
    if other.is_plan:
        return ""
    if other.latency_s is None:
        return f"; with training: {other.note}" if not plan.drops_features else ""
    name = "without training" if plan.drops_features else "with training"
    if other.lost:
        name += f" at {other.lost}"
    times = ""
    if other.ratio is not None:
        is_near = 1 <= other.ratio < _TIMES_FROM
        by_rate = plan.objective != "latency"
        near = better_words(other.ratio, by_rate=by_rate) if is_near else ""
        times = f", {near or format_times(other.ratio)}"
    return f"; {name}: {_figure_words(other, plan)}{times}"


def shape_words(plan: Plan, profile: ModelProfile | None = None) -> str:
    """How many nodes, in how many stages, and what of the layers is shared out.

    Of unlike nodes one alone is named.
    """
    count, stages = plan.node_count, len(plan.stages)
    if count == 1:
        nodes = plan.cluster.nodes
        alike = len({node.unnamed for node in nodes}) == 1
        return "one node" if alike else f"one node, {plan.running_nodes[0]}"
    if stages == count:
        return f"{count} nodes, a pipeline of {count} stages"
    words = f"{count} nodes" if stages == 1 else f"{count} nodes in {stages} stages"
    return f"{words}, {split_words(plan, profile)}"


def split_words(plan: Plan, profile: ModelProfile | None = None) -> str:
    """By what most layers are shared out, the most frequent first, or that most are not.

    Parameters
    ----------
    plan : Plan
    profile : ModelProfile, optional
        Without one every layer counts for as much work as any other.
    """
    ops = {} if profile is None else {layer.name: layer.op for layer in profile.layers}
    found: Counter[str] = Counter()
    maps = tokens = False
    work = {} if profile is None else {layer.name: layer.macs for layer in profile.layers}
    whole = total = 0
    for stage in plan.stages:
        for layer in stage.layers if len(stage.nodes) > 1 else ():
            total += work.get(layer.name, 1)
            whole += work.get(layer.name, 1) if layer.way == "whole" else 0
            if kind := _SPLIT.get(layer.way or "features"):
                found[kind] += 1
                if kind == _POSITIONS:
                    maps |= ops.get(layer.name) == "conv"
                    tokens |= ops.get(layer.name) in ("linear", "attention", "matmul")
    if not found:
        return "every layer on all of them"
    positions = "rows" if maps else "tokens" if tokens else "rows or tokens"
    most = [kind for kind, n in found.most_common() if n >= _OFTEN * found.total()]
    kinds = " and ".join(positions if kind == _POSITIONS else kind for kind in most)
    if whole > _MOSTLY * total:
        return f"most of the work whole on each of them, the rest split by {kinds}"
    return f"split by {kinds}"


_POSITIONS = "positions"
_SPLIT: dict[Way, str] = {
    "features": "features",
    "outputs": "features",
    "sums": "features",
    "positions": _POSITIONS,
    "samples": "samples",
}
"""What a way shares out; the others share nothing."""

_OFTEN = 0.2  # of the layers: rarer kinds go unsaid
_MOSTLY = 0.5  # of the work: where each node does more of it whole, that is said first


def lost_words(drop: float | None, energy: float | None) -> str:
    """What is lost, with two digits; empty where nothing is known."""
    if energy is not None:
        return f"{energy:.1%} of the weights' energy pruned"
    return "" if drop is None else f"{drop:.2g} points lost"


def dropped_words(sparsity: float | None, drop: float | None, energy: float | None) -> str:
    """What dropping features costs, in passing; where nobody knows, how many go and that."""
    if drop is None and energy is None:
        return f"drops {sparsity:.0%}, loss unknown" if sparsity else ""
    return lost_words(drop, energy) if drop or energy else ""


def _interval(plan: Plan) -> str:
    """How sure the latency is: from its figures' intervals, or that these are peaks."""
    low, high = plan.predicted.latency_low_s, plan.predicted.latency_high_s
    if low is not None and high is not None:
        return f" ({format_seconds(low)} to {format_seconds(high)})"
    rates = ("macs_per_s", "memory_bytes_per_s")
    at_peak = any(figure.peak and figure.is_of(rates) for figure in plan.cluster.figures)
    return " at the data sheet's peak rates" if at_peak else ""


def _chosen(plan: Plan) -> str:
    """What of each layer was chosen."""
    layers = [layer for stage in plan.stages for layer in stage.layers]
    in_ways = any(layer.way not in (None, "features") for layer in layers)
    chosen = " and ".join(["way"] * in_ways + ["sparsity"] * plan.drops_features)
    return f"{chosen} chosen per layer" if chosen else "all by features"


def certificate_sentence(plan: Plan, with_solver: bool = True) -> str:
    """How sure the plan is; ``optimal`` only with a proof, and for which set of plans.

    Parameters
    ----------
    plan : Plan
    with_solver : bool
        Say what found it, and how long that took.
    """
    certificate = plan.certificate
    if certificate is None:
        return "A baseline as its paper defines it; nothing was optimised."
    runtime = ""
    if with_solver:
        runtime = f" ({certificate.solver}, {format_seconds(certificate.runtime_s, 3)})"
    under = f" under the accuracy model {plan.accuracy_model}" if _loses(plan) else ""
    if certificate.status == "optimal":
        counted = " for what is counted" if plan.model.uncounted else ""
        sure = f"Optimal{counted}{under}, proven to within 1e-9"
        return f"{sure}{runtime}. Scope: {certificate.scope}."
    gap = "unknown" if certificate.gap is None else f"{certificate.gap:.2%}"
    return f"Feasible{under}, gap {gap}{runtime}. Scope: {certificate.scope}."


def _loses(plan: Plan) -> bool:
    predicted = plan.predicted
    known = predicted.accuracy_drop is not None or predicted.energy_loss is not None
    return known and plan.drops_features


def fewer_nodes_sentence(plan: Plan) -> str:
    """The best plan with fewer nodes, and why it is not the answer when it is not."""
    alike = [a for a in plan.alternatives if a.strategy != beside(plan)]
    smaller = [a for a in alike if a.nodes < plan.node_count]
    fitting = [a for a in smaller if a.latency_s is not None]
    if plan.node_count == 1:
        others = [a for a in alike if a.nodes > 1]
        if not others:
            return "One node is all that was asked for."
        why_not = "; ".join(map(_why_not, others))
        if _is_proven(plan):
            return f"One node is best: {why_not}."
        return (
            "One node is the best that was found in the time; plans on more nodes were not "
            f"finished. So far {why_not}."
        )
    if not smaller:
        return "Plans with fewer nodes were not looked at: exactly this many were asked for."
    if not fitting:
        none = "fits" if all(a.reason != LATE for a in smaller) else "was found"
        return f"No plan with fewer nodes {none}: {_why_not(smaller[-1])}."
    if plan.objective == "latency":
        best = min(fitting, key=lambda a: a.latency_s or 0.0)
    else:
        best = max(fitting, key=lambda a: a.throughput_per_s or 0.0)
    return (
        f"Best with fewer nodes: {best.strategy} on {best.nodes}, "
        f"{format_seconds(best.latency_s or 0.0, 3)} per input ({best.reason})."
    )


def _why_not(other: Alternative) -> str:
    """Why another plan is not the answer: a clause."""
    verb = "is " if other.latency_s is not None else "was " if other.reason == LATE else ""
    return f"{other.strategy} on {other.nodes} {verb}{other.reason}"


def alone_sentence(plan: Plan) -> str:
    """What one node, where more were allowed, says of distributing: only with a proof that."""
    if _is_proven(plan):
        return "Distributing does not pay here."
    return "Whether distributing pays here is not known yet."


def _is_proven(plan: Plan) -> bool:
    return plan.certificate is not None and plan.certificate.status == "optimal"


def binding_sentences(plan: Plan) -> list[str]:
    """What binds, and what the next step is worth; none where that was not asked for."""
    between = "" if plan.objective == "latency" else " between two results"
    sentences = []
    for found in plan.binding or ():
        most = f"{format_seconds(found.gain_s)}{between}"
        if found.kind in _RESOURCES:
            sentences.append(f"{_RESOURCES[found.kind]} saves {most}.")
        elif found.kind == "bandwidth":
            sentences.append(_bandwidth_sentence(found, most, plan))
        elif found.step is not None:
            step = f"{format_seconds(found.step_gain_s or 0.0)}{between}"
            sentences.append(
                f"{found.name[0].upper()}{found.name[1:]} binds: {_more(found, found.step)} saves "
                f"{step} (any more: at most {most})."
            )
    return sentences


def _bandwidth_sentence(found: Binding, most: str, plan: Plan) -> str:
    saves = f"twice the bandwidth saves {most}"
    if plan.predicted.comm_s == 0:
        return f"No link is used; {saves}."
    if found.until is not None:
        until = format_si(found.until, "B/s")
        said = f"communication outweighs computation until B = {until}; {saves}."
        others = [other.gain_s for other in plan.binding or () if other.kind in _RESOURCES]
        if found.gain_s >= max(others, default=0.0):
            return f"The link binds: {said}"
        return said[0].upper() + said[1:]
    if plan.predicted.comm_s > plan.predicted.compute_s:
        return f"Communication outweighs computation at any bandwidth; {saves}."
    return f"Computation outweighs communication; {saves}."


_RESOURCES = {
    "compute": "Twice the computing speed of every node",
    "delay": "Half the delay of every message",
    "memory-bandwidth": "Twice the memory bandwidth of every node",
    "overhead": "Half the time per layer of every node",
    "interface": "Twice the bandwidth of every node's own interface",
    "switch": "Twice the bandwidth of the switch",
    "messages": "Half the software time of every message",
    "packing": "Twice the speed of packing messages",
}


def _more(found: Binding, step: float) -> str:
    """The difference to the present limit, in its unit."""
    difference = step - found.value
    if found.unit == "bytes":
        return f"{format_bytes(round(difference))} more"
    return f"{difference:.3g} {found.unit} more"


def frontier_sentence(found: ParetoFrontier) -> str:
    """What the two ends of a frontier say."""
    first, last = found.points[0], found.points[-1]
    if first is last:
        return f"One plan is best in both measures: {format_seconds(first.latency_s)} per input."
    if found.trade == "accuracy":
        return (
            f"From {format_seconds(first.latency_s)} at {first.accuracy_drop or 0.0:.2f} points "
            f"lost to {format_seconds(last.latency_s)} at {last.accuracy_drop or 0.0:.2f}."
        )
    return (
        f"From {format_seconds(first.latency_s)} at {format_rate(first.throughput_per_s)} inputs/s "
        f"to {format_seconds(last.latency_s)} at {format_rate(last.throughput_per_s)}."
    )


def warnings(plan: Plan) -> list[str]:
    """What a reader must know before trusting the plan."""
    found = []
    if plan.accuracy_model is None and plan.drops_features:
        found.append("the plan drops features, and what that costs is unknown: no accuracy model")
    predicted = plan.predicted
    spread = (plan.accuracy_model or "").startswith("curve:")
    if spread and plan.drops_features and predicted.origin.get("accuracy_drop") == "assumed":
        found.append(
            "the accuracy drop is assumed: a published curve for uniform sparsity on two nodes, "
            "spread over the layers; train the model before relying on it"
        )
    return found
