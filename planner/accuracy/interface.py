"""What every model of a plan's loss answers, whatever it counts in (docs/accuracy.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from planner.cost.stage import StageCosts
from planner.domain.cluster import Origin
from planner.domain.settings import (
    DEFAULT_MAX_ACCURACY_DROP,
    DEFAULT_MAX_ENERGY_LOSS,
    Limits,
)
from planner.errors import BadInputError

LossKind = Literal["accuracy", "energy"]


@dataclass(frozen=True)
class PredictedLoss:
    """What a plan loses; None where nothing is known.

    Attributes
    ----------
    accuracy : float, optional
        The metric's value.
    accuracy_drop : float, optional
        Points of the metric.
    energy_loss : float, optional
        Share of the weights' L1 mass, 0 to 1.
    origin : Origin
    """

    accuracy: float | None = None
    accuracy_drop: float | None = None
    energy_loss: float | None = None
    origin: Origin = "assumed"


NOTHING_KNOWN = PredictedLoss()


class LossModel(Protocol):
    """Loss of a plan as a rising function of a sum of scores, one per layer."""

    @property
    def name(self) -> str:
        """As plans name it."""

    @property
    def kind(self) -> LossKind:
        """Points of a metric, or a share of the weights' energy."""

    @property
    def metric(self) -> str:
        """The task's metric, or what the loss is a share of."""

    @property
    def unit(self) -> str:
        """Of a loss, in words."""

    @property
    def exponent(self) -> int:
        """Scores are so high a power of losses."""

    def scores(self, stage: StageCosts) -> NDArray[np.float64]:
        """Score of every layer at every option, (L, K), at least 0; infinite where unknown."""

    def score_limit(self, loss: float) -> float:
        """Sum of scores that a loss allows."""

    def predicted(self, stages: Sequence[StageCosts]) -> PredictedLoss:
        """What a plan loses, where each layer has one option."""


@dataclass(frozen=True)
class LossLimit:
    """A limit on a plan's loss as a limit on the sum of its layers' scores.

    Attributes
    ----------
    name, unit : str
        For messages.
    limit : float
        On the sum of scores.
    exponent : int
        Scores are so high a power of what the unit counts.
    """

    name: str
    unit: str
    limit: float
    exponent: int = 1


def loss_limit(limits: Limits, model: LossModel | None, what: str) -> LossLimit | None:
    """The limit on the sum of scores that the limits ask for; None where they ask for none.

    Parameters
    ----------
    limits : Limits
    model : LossModel, optional
    what : str
        The network's name, for messages.

    Raises
    ------
    BadInputError
        A limit without a model, or in the other model's measure.
    """
    asked: dict[LossKind, float | None] = {
        "accuracy": limits.max_accuracy_drop,
        "energy": limits.max_energy_loss,
    }
    found: LossLimit | None = None
    for kind, loss in asked.items():
        if loss is None:
            continue
        if model is None or model.kind != kind:
            why = (
                f"{what} has no accuracy model"
                if model is None
                else f"the accuracy model {model.name} does not count in it"
            )
            raise BadInputError(
                f"max {_NAMES[kind]} {loss:g}: {why}; name one (--accuracy-model {_FORMS[kind]}) "
                "or drop the limit"
            )
        found = LossLimit(_NAMES[kind], model.unit, model.score_limit(loss), model.exponent)
    return found


def default_limits(limits: Limits, model: LossModel | None) -> Limits:
    """The limits with the default one on what the model counts in, where none is given."""
    asked = (limits.max_accuracy_drop, limits.max_energy_loss)
    if model is None or any(value is not None for value in asked):
        return limits
    if model.kind == "energy":
        return limits.model_copy(update={"max_energy_loss": DEFAULT_MAX_ENERGY_LOSS})
    return limits.model_copy(update={"max_accuracy_drop": DEFAULT_MAX_ACCURACY_DROP})


_NAMES: dict[LossKind, str] = {"accuracy": "accuracy drop", "energy": "energy loss"}
_FORMS: dict[LossKind, str] = {"accuracy": "curve:NAME or csv:FILE", "energy": "energy:FILE"}


def total_score(model: LossModel, stages: Sequence[StageCosts]) -> float:
    """Sum over the layers of all stages, where each has one option; may be infinite."""
    several = (stage for stage in stages if len(stage.table.node_names) > 1)
    return sum(float(model.scores(stage)[stage.rows, 0].sum()) for stage in several)
