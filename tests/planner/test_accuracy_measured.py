"""Measured sensitivities: the envelope, what is not known, and what it is tagged."""

from __future__ import annotations

import numpy as np
import pytest

from planner.accuracy.measured import Sensitivities, measured_model
from planner.case import Case, sparsifiable_layers
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.errors import BadInputError
from planner.strategies.baselines import (
    dense,
    independent_branches,
    plan_of_options,
    uniform,
)
from planner.strategies.optimise import optimal_sparsity
from tests.planner.builders import chain, cluster

LEVELS = (0.0, 0.5, 0.75, 0.9, 1.0)
Points = dict[str, dict[float, float]]
PROFILE = chain(8, 16, 16)
FIRST, SECOND = "conv_1", "conv_2"
POINTS: Points = {
    FIRST: {0.5: 0.2, 0.75: 0.1, 0.9: 0.6, 1.0: 2.0},
    SECOND: {0.75: -0.3, 0.9: 0.4},
}


def case(points: Points = POINTS, nodes: int | None = 2, profile: ModelProfile = PROFILE) -> Case:
    found = Sensitivities(
        "s.csv", points, dict.fromkeys(points, 2), "%", dense_value=90.0, nodes=nodes
    )
    model = measured_model(found, profile, sparsifiable_layers(profile))
    return Case(profile, cluster(4), loss_model=model, levels=LEVELS)


def chosen(asked: Case, *options: int) -> Plan:
    return plan_of_options(asked, asked.table(asked.names(2)), np.array([0, *options]), "chosen")


def test_the_envelope_is_monotone_and_linear_between_measurements() -> None:
    asked = case()
    model = asked.loss_model
    assert model is not None and model.name == "csv:s.csv"
    scores = model.scores(asked.stage(asked.table(asked.names(2))))
    sparsity = asked.table(asked.names(2)).comm_sparsity
    assert np.all(scores[0] == 0)  # the reader of the image is never sparsified
    # 8 and 16 features on two nodes: 0.9 is 1 of 4, and 1 of 8
    assert sparsity[1].tolist() == [0.0, 0.5, 0.75, 0.75, 1.0]
    assert sparsity[2].tolist() == [0.0, 0.5, 0.75, 0.875, 1.0]
    assert scores[1] == pytest.approx([0, 0.2, 0.2, 0.2, 2.0])
    assert scores[2, :4] == pytest.approx([0, 0, 0, 0.4 * 0.125 / 0.15])
    assert np.isinf(scores[2, 4])  # never measured without any exchange


def test_losses_of_layers_add_up() -> None:
    found = chosen(case(), 2, 3).predicted
    assert found.accuracy_drop == pytest.approx(0.2 + 0.4 * 0.125 / 0.15)
    assert found.accuracy == pytest.approx(90 - found.accuracy_drop)
    assert found.origin["accuracy_drop"] == "assumed"


def test_no_number_where_nothing_was_measured() -> None:
    found = independent_branches(case(), 2).predicted
    assert found.accuracy is None and found.accuracy_drop is None
    assert dense(case(), 2).predicted.accuracy_drop == 0.0


def test_rounding_to_whole_features_is_not_extrapolation() -> None:
    profile = chain(8, 10, 4)
    points: Points = {"conv_1": {0.7: 0.3}, "conv_2": {0.7: 0.5}}
    asked = case(points, profile=profile)
    table = asked.table(asked.names(2), (0.0, 0.7, 0.95))
    model = asked.loss_model
    assert model is not None
    scores = model.scores(asked.stage(table))
    assert table.comm_sparsity[1].tolist() == [0.0, 0.75, 0.75]  # 4 features: 1.2 are 1
    assert scores[1].tolist() == [0.0, 0.3, 0.3]
    assert table.comm_sparsity[2] == pytest.approx([0.0, 0.6, 0.8])  # 5 features: 2, and 1
    assert scores[2] == pytest.approx([0.0, 0.5 * 0.6 / 0.7, 0.5])
    beyond = model.scores(asked.stage(asked.table(asked.names(2), (0.0, 1.0))))
    assert np.isinf(beyond[1:, 1]).all()


def test_options_beyond_the_measurements_are_never_taken() -> None:
    asked = case()
    for most in (0.0, 0.3, 5.0, 100.0):
        limits = Limits(max_accuracy_drop=most)
        plan, result = optimal_sparsity(asked, Request(2, limits=limits))
        _, slow = optimal_sparsity(asked, Request(2, limits=limits, solver="exhaustive"))
        assert plan is not None and plan.predicted.accuracy_drop is not None
        assert plan.predicted.accuracy_drop <= most + 1e-12
        assert plan.stages[0].layers[2].sparsity != 1.0
        assert result.objective_s == pytest.approx(slow.objective_s, rel=1e-12)
    # the most generous limit: the first exchanges nothing, the second what was measured
    assert [layer.sparsity for layer in plan.stages[0].layers] == [None, 1.0, 0.875]


def test_a_layer_measured_at_nothing_but_0_stays_dense() -> None:
    asked = case(POINTS | {SECOND: {0.0: 0.0}})
    plan, _ = optimal_sparsity(asked, Request(2, limits=Limits(max_accuracy_drop=9.0)))
    assert plan is not None
    assert [layer.sparsity for layer in plan.stages[0].layers] == [None, 1.0, 0.0]


@pytest.mark.parametrize(
    "options, nodes, tag",
    [
        ((2, 0), 2, "measured"),  # alone, at 0.75
        ((1, 0), 2, "measured"),
        ((0, 2), 2, "measured"),  # 0.75 of 16
        ((0, 1), 2, "assumed"),  # 0.5 lies between
        ((2, 2), 2, "assumed"),  # two layers: adding is an assumption
        ((2, 0), 4, "assumed"),  # measured on four nodes
        ((2, 0), None, "assumed"),  # on who knows how many
        ((0, 0), None, "measured"),  # the dense model
    ],
)
def test_only_a_measured_plan_is_tagged_measured(
    options: tuple[int, int], nodes: int | None, tag: str
) -> None:
    assert chosen(case(nodes=nodes), *options).predicted.origin["accuracy_drop"] == tag


def test_without_a_dense_value_only_the_drop_is_known() -> None:
    found = Sensitivities("s.csv", POINTS, dict.fromkeys(POINTS, 2))
    model = measured_model(found, PROFILE, sparsifiable_layers(PROFILE))
    plan = uniform(Case(PROFILE, cluster(2), loss_model=model), 2, 0.5)
    assert plan.predicted.accuracy is None
    assert plan.predicted.accuracy_drop == pytest.approx(0.2)


@pytest.mark.parametrize(
    "points, message",
    [
        ({FIRST: {0.5: 0.1}}, "s.csv: layer 'conv_2' exchanges features and has no row; give"),
        (
            POINTS | {"conv_9": {0.5: 1.0}},
            r"s.csv, line 2: layer 'conv_9' is not in net; did you mean",
        ),
    ],
)
def test_layers_that_lack_or_are_unknown(points: Points, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        case(points)


def test_rows_of_layers_that_exchange_nothing_change_nothing() -> None:
    with_stem = case(POINTS | {"conv_0": {0.5: 9.0}})
    assert chosen(with_stem, 2, 2).predicted == chosen(case(), 2, 2).predicted


def test_a_model_that_exchanges_nothing() -> None:
    profile = chain(8)
    found = Sensitivities("s.csv", {"conv_0": {0.5: 1.0}}, {"conv_0": 2})
    with pytest.raises(BadInputError, match="net: no layer exchanges features"):
        measured_model(found, profile, sparsifiable_layers(profile))


def test_too_many_levels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.accuracy.measured.MAX_CELLS", 3 * 5 - 1)
    with pytest.raises(BadInputError, match="5 different sparsities for 3 layers; at most 14"):
        case()  # 0, 0.5, 0.75, 0.9 and 1
