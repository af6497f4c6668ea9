"""What users type, on the command line or on the page, as the core's types."""

from __future__ import annotations

from dataclasses import dataclass

from planner.accuracy.model import AccuracyModel, curve_model
from planner.accuracy.spreading import DEFAULT_RULE, SPREADING_RULES, SpreadingRule
from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Cluster, Figure
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import DEFAULT_MAX_ACCURACY_DROP, CostSettings, Limits
from planner.errors import BadInputError
from planner.strategies.study import Study, sparsifiable_layers
from profiles.catalog import curve_for_model, curve_names, load_curve, load_model


@dataclass(frozen=True)
class Accuracy:
    """What is known of a model's accuracy.

    Attributes
    ----------
    model : AccuracyModel, optional
        The loss of every layer.
    curve : AccuracyCurve, optional
        Published values, where they are this very model's.
    note : str
        What a reader must know of a curve that is another model's.
    """

    curve: AccuracyCurve | None = None
    model: AccuracyModel | None = None
    note: str = ""


def parse_input_shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes from ``NAME=1,3,224,224``.

    Raises
    ------
    BadInputError
        Not of that form, or a dimension below 1.
    """
    shapes = {}
    for text in texts:
        name, _, dimensions = text.rpartition("=")
        parts = dimensions.replace("x", ",").split(",")
        if not name or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
            raise BadInputError(
                f"--input-shape {text!r}: give NAME=DIM,DIM,..., such as image=1,3,224,224"
            )
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def tuned_cluster(
    cluster: Cluster,
    *,
    bandwidth_bytes_per_s: float | None = None,
    macs_per_s: float | None = None,
    memory_bytes: int | None = None,
    nodes: int | None = None,
) -> Cluster:
    """The cluster with B, C, memory or the number of nodes replaced on every node.

    Nodes beyond those that the cluster has are copies of its last one.
    """
    changes: dict[str, object] = {}
    figures = list(cluster.figures)

    def assume(key: str) -> None:
        figures[:] = [figure for figure in figures if figure.key != key]
        figures.append(Figure(key=key, origin="assumed", source="set by the user"))

    if bandwidth_bytes_per_s is not None:
        changes["link"] = cluster.link.model_copy(
            update={"bandwidth_bytes_per_s": bandwidth_bytes_per_s}
        )
        changes["pair_links"] = ()
        assume("bandwidth_bytes_per_s")
    devices = list(cluster.nodes)
    if nodes is not None:
        if nodes < 1:
            raise BadInputError(f"nodes: found {nodes}; at least 1 is needed")
        taken = {node.name for node in devices}
        while len(devices) < nodes:
            name = next(n for k in range(10_000) if (n := f"node{k}") not in taken)
            taken.add(name)
            devices.append(devices[-1].model_copy(update={"name": name}))
        devices = list(cluster.model_copy(update={"nodes": tuple(devices)}).first(nodes).nodes)
    update: dict[str, object] = {}
    if macs_per_s is not None:
        update["macs_per_s"] = macs_per_s
        assume("macs_per_s")
    if memory_bytes is not None:
        update["memory_bytes"] = memory_bytes
        assume("memory_bytes")
    changes["nodes"] = tuple(node.model_copy(update=update) for node in devices)
    changes["figures"] = tuple(figures)
    if nodes is not None:
        names = {node.name for node in devices}
        changes.setdefault(
            "pair_links", tuple(p for p in cluster.pair_links if set(p.between) <= names)
        )
    # validated again: a user may type zero or infinity
    return Cluster.model_validate(cluster.model_copy(update=changes).model_dump())


def find_accuracy(text: str | None, profile: ModelProfile) -> Accuracy:
    """The accuracy model that a user names, or the one published for a catalogue model.

    Parameters
    ----------
    text : str, optional
        ``curve:NAME`` or ``curve:NAME/RULE``; ``none`` for no model.

    Raises
    ------
    BadInputError
        Another form, or an unknown curve or rule.
    """
    if text is None:
        published = curve_for_model(profile.name)
        if published is None or not _speaks_of(published, profile):
            return Accuracy()
        return _accuracy(published, profile, DEFAULT_RULE)
    if text == "none":
        return Accuracy()
    kind, _, rest = text.partition(":")
    name, _, rule = rest.partition("/")
    chosen = _rule(rule or DEFAULT_RULE)
    if kind != "curve" or not name or chosen is None:
        raise BadInputError(
            f"--accuracy-model {text!r}: give none, curve:NAME or curve:NAME/RULE with NAME in "
            f"{', '.join(curve_names())} and RULE in {', '.join(SPREADING_RULES)}"
        )
    return _accuracy(load_curve(name), profile, chosen)


def _accuracy(curve: AccuracyCurve, profile: ModelProfile, rule: SpreadingRule) -> Accuracy:
    own = _speaks_of(curve, profile)
    model = curve_model(curve, profile, sparsifiable_layers(profile), rule, own=own)
    if own:
        return Accuracy(curve, model)
    note = (
        f"the accuracy curve {curve.name} was not published for {profile.name}: "
        "its losses are assumed to carry over, its absolute values are not shown"
    )
    return Accuracy(None, model, note)


def _speaks_of(curve: AccuracyCurve, profile: ModelProfile) -> bool:
    """Whether a profile is the model of a curve: its name alone proves nothing."""
    return any(
        load_model(name).totals.macs == profile.totals.macs and name == profile.name
        for name in curve.models
    )


def _rule(text: str) -> SpreadingRule | None:
    return next((rule for rule in SPREADING_RULES if rule == text), None)


def default_limits(limits: Limits, accuracy: Accuracy) -> Limits:
    """The limits with the default accuracy limit where a model can check it."""
    if limits.max_accuracy_drop is None and accuracy.model is not None:
        return limits.model_copy(update={"max_accuracy_drop": DEFAULT_MAX_ACCURACY_DROP})
    return limits


def build_study(
    profile: ModelProfile,
    cluster: Cluster,
    settings: CostSettings,
    accuracy: Accuracy,
    split_points: tuple[str, ...] = (),
) -> Study:
    """A study from its parts."""
    return Study(
        profile=profile,
        cluster=cluster,
        settings=settings,
        accuracy=accuracy.model,
        curve=accuracy.curve,
        split_points=split_points,
    )
