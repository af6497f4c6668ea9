"""The accuracy model that a user names: a published curve, measured sensitivities, weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planner.accuracy.energy import EnergyModel
from planner.accuracy.interface import LossModel
from planner.accuracy.measured import measured_model
from planner.accuracy.model import curve_model
from planner.accuracy.spreading import DEFAULT_RULE, SPREADING_RULES, SpreadingRule
from planner.case import sparsifiable_layers
from planner.domain.accuracy import AccuracyCurve
from planner.domain.model_profile import ModelProfile
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


def _speaks_of(curve: AccuracyCurve, profile: ModelProfile) -> bool:
    """Whether a profile is the model of a curve: its name alone proves nothing."""
    return any(
        load_model(name).totals.macs == profile.totals.macs and name == profile.name
        for name in curve.models
    )


def _rule(text: str) -> SpreadingRule | None:
    return next((rule for rule in SPREADING_RULES if rule == text), None)
