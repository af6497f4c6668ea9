"""What users type, on the command line or on the page, as the core's types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planner.accuracy.energy import EnergyModel
from planner.accuracy.interface import LossModel
from planner.accuracy.measured import measured_model
from planner.accuracy.model import curve_model
from planner.accuracy.spreading import DEFAULT_RULE, SPREADING_RULES, SpreadingRule
from planner.case import Case, sparsifiable_layers
from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from profiles.catalog import curve_for_model, curve_names, load_curve, load_model
from profiles.files import one_line
from profiles.sensitivities import read_sensitivities
from profiles.weights import read_magnitudes


@dataclass(frozen=True)
class Accuracy:
    """What is known of a model's accuracy.

    Attributes
    ----------
    model : LossModel, optional
        The loss of every layer, in points or as a share of the weights' energy.
    curve : AccuracyCurve, optional
        Published values, where they are this very model's.
    """

    curve: AccuracyCurve | None = None
    model: LossModel | None = None


_NOTES = {
    "csv": "the accuracy drop adds up measurements of single layers, which is an assumption: "
    "measure or train the plan before relying on it",
    "energy": "the energy loss is the share of the weights' L1 mass that is pruned; "
    "it says nothing in points of accuracy",
}


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


def find_accuracy(text: str | None, profile: ModelProfile) -> Accuracy:
    """The accuracy model that a user names, or the one published for a catalogue model.

    Parameters
    ----------
    text : str, optional
        ``curve:NAME`` or ``curve:NAME/RULE``, ``csv:FILE`` with measured sensitivities,
        ``energy:FILE`` with the model's weights; ``none`` for no model.

    Raises
    ------
    BadInputError
        Another form, an unknown curve or rule, or a file that does not fit the model.
    """
    if text is None:
        published = curve_for_model(profile.name)
        if published is None or not _speaks_of(published, profile):
            return Accuracy()
        return _accuracy(published, profile, DEFAULT_RULE)
    if text == "none":
        return Accuracy()
    kind, _, rest = text.partition(":")
    if kind == "csv" and rest:
        found = measured_model(
            read_sensitivities(Path(rest)), profile, sparsifiable_layers(profile)
        )
        return Accuracy(model=found)
    if kind == "energy" and rest:
        sizes = read_magnitudes(Path(rest), profile, sparsifiable_layers(profile))
        weights = EnergyModel(f"energy:{one_line(Path(rest).name)}", sizes)
        return Accuracy(model=weights)
    name, _, rule = rest.partition("/")
    chosen = _rule(rule or DEFAULT_RULE)
    if kind != "curve" or not name or chosen is None:
        raise BadInputError(
            f"--accuracy-model {text!r}: give none, csv:FILE, energy:FILE, curve:NAME or "
            f"curve:NAME/RULE with NAME in {', '.join(curve_names())} "
            f"and RULE in {', '.join(SPREADING_RULES)}"
        )
    return _accuracy(load_curve(name), profile, chosen)


def _accuracy(curve: AccuracyCurve, profile: ModelProfile, rule: SpreadingRule) -> Accuracy:
    own = _speaks_of(curve, profile)
    model = curve_model(curve, profile, sparsifiable_layers(profile), rule, own=own)
    return Accuracy(curve if own else None, model)


def accuracy_note(case: Case) -> str:
    """What a reader must know of the accuracy model; nothing of the model's own curve."""
    if case.loss_model is None or case.curve is not None:
        return ""
    kind, _, rest = case.loss_model.name.partition(":")
    if kind != "curve":
        return _NOTES[kind]
    return (
        f"the accuracy curve {rest.partition('/')[0]} was not published for {case.profile.name}: "
        "its losses are assumed to carry over, its absolute values are not shown"
    )


def _speaks_of(curve: AccuracyCurve, profile: ModelProfile) -> bool:
    """Whether a profile is the model of a curve: its name alone proves nothing."""
    return any(
        load_model(name).totals.macs == profile.totals.macs and name == profile.name
        for name in curve.models
    )


def _rule(text: str) -> SpreadingRule | None:
    return next((rule for rule in SPREADING_RULES if rule == text), None)


def build_case(
    profile: ModelProfile,
    cluster: Cluster,
    settings: CostSettings,
    accuracy: Accuracy,
    split_points: tuple[str, ...] = (),
) -> Case:
    """A case from its parts."""
    return Case(
        profile=profile,
        cluster=cluster,
        settings=settings,
        loss_model=accuracy.model,
        curve=accuracy.curve,
        split_points=split_points,
    )
