"""The interval of a latency follows from those of the cluster's figures."""

from __future__ import annotations

from math import hypot

import pytest

from app.words import headline
from planner.case import Case
from planner.domain.cluster import Cluster, Figure, tuned_cluster
from planner.domain.request import Request
from planner.strategies.costed import predict
from planner.strategies.optimise import optimise
from profiles.catalog import load_cluster, load_model
from tests.planner.builders import chain, cluster

PROFILE = chain(8, 16, 16)


def measured(key: str, low: float, high: float) -> Figure:
    return Figure(key=key, origin="measured", source="a test", low=low, high=high)


def with_figures(group: Cluster, *figures: Figure) -> Cluster:
    return group.model_copy(update={"figures": figures})


def test_without_intervals_there_is_none() -> None:
    plan = optimise(Case(PROFILE, cluster(2)), Request(2))
    assert plan.predicted.latency_low_s is None and plan.predicted.latency_high_s is None


def test_on_one_node_by_hand() -> None:
    group = with_figures(cluster([1e6]), measured("macs_per_s", 0.8e6, 1.25e6))
    predicted = optimise(Case(PROFILE, group), Request(1)).predicted
    assert predicted.latency_low_s == pytest.approx(predicted.latency_s * 0.8)
    assert predicted.latency_high_s == pytest.approx(predicted.latency_s * 1.25)


def test_deviations_add_up_as_squares_do() -> None:
    group = cluster([1e6, 3e6], bandwidth_bytes_per_s=1e6, latency_s=1e-4)
    figures = (
        measured("macs_per_s", 0.9e6, 1.2e6),
        measured("bandwidth_bytes_per_s", 0.5e6, 1.5e6),
        measured("latency_s", 0.5e-4, 3e-4),
    )
    request = Request(2, exactly=True)
    together = optimise(Case(PROFILE, with_figures(group, *figures)), request).predicted
    below, above = [], []
    for figure in figures:
        alone = optimise(Case(PROFILE, with_figures(group, figure)), request).predicted
        assert alone.latency_low_s is not None and alone.latency_high_s is not None
        below.append(alone.latency_s - alone.latency_low_s)
        above.append(alone.latency_high_s - alone.latency_s)
    assert together.latency_low_s == pytest.approx(together.latency_s - hypot(*below))
    assert together.latency_high_s == pytest.approx(together.latency_s + hypot(*above))


def test_shares_and_kept_features_stay_those_of_the_plan() -> None:
    """Where C of one node alone is uncertain, that node's part takes longer, not another part."""
    group = cluster([1e6, 1e6], bandwidth_bytes_per_s=1e9)
    uncertain = with_figures(group, measured("b.macs_per_s", 0.5e6, 2e6))
    case = Case(PROFILE, uncertain)
    plan = optimise(case, Request(2, exactly=True))
    slow = group.nodes[1].with_figure("macs_per_s", 5e5)
    slower = uncertain.model_copy(update={"nodes": (group.nodes[0], slow)})
    names = [stage.nodes for stage in plan.stages]
    there = predict(case.with_same_shares(slower, names), plan.stages)
    assert plan.predicted.latency_high_s == pytest.approx(there.latency_s)
    # a faster node alone gains nothing: the other one is waited for
    assert plan.predicted.latency_low_s == pytest.approx(plan.predicted.latency_s)


def test_rates_of_kinds_have_intervals_of_their_own() -> None:
    (node,) = cluster(1).nodes
    node = node.model_copy(update={"macs_per_s_by_kind": {"conv-1x1": 2e6}})
    group = cluster(1).model_copy(update={"nodes": (node,)})
    certain = with_figures(group, measured("macs_per_s", 1.0, 1e9))  # no layer runs at it
    predicted = optimise(Case(PROFILE, certain), Request(1)).predicted
    assert predicted.latency_low_s == predicted.latency_s == predicted.latency_high_s
    kinds = with_figures(group, measured("macs_per_s_by_kind.conv-1x1", 1e6, 2e6))
    predicted = optimise(Case(PROFILE, kinds), Request(1)).predicted
    assert predicted.latency_high_s == pytest.approx(2 * predicted.latency_s)


def test_the_headline_says_how_sure_it_is() -> None:
    group = with_figures(cluster([1e6]), measured("macs_per_s", 0.5e6, 2e6))
    assert " to " in headline(optimise(Case(PROFILE, group), Request(1)))
    peaks = Case(load_model("resnet50"), load_cluster("a100-nvlink"))
    assert "per input at the data sheet's peak rates" in headline(optimise(peaks, Request(1)))
    plain = headline(optimise(Case(PROFILE, cluster([1e6])), Request(1)))
    assert "peak" not in plain and " to " not in plain


def test_a_figure_that_the_user_sets_has_no_interval_any_more() -> None:
    """That of the kinds' rates follow C, so that theirs go with it; of every node, by any name."""
    (node,) = cluster(1).nodes
    node = node.model_copy(update={"macs_per_s_by_kind": {"conv-1x1": 2e6}})
    group = cluster(1).model_copy(update={"nodes": (node,)})
    figures = (
        measured("macs_per_s_by_kind.conv-1x1", 1e6, 2e6),
        measured(f"{node.name}.macs_per_s", 1e6, 2e6),
        measured("memory_bytes_per_s", 1e6, 2e6),
    )
    tuned = tuned_cluster(with_figures(group, *figures), macs_per_s=4e6)
    assert [figure.key for figure in tuned.figures] == ["memory_bytes_per_s", "macs_per_s"]
    assert tuned.nodes[0].macs_per_s_by_kind["conv-1x1"] == pytest.approx(8e6)


def test_a_delay_may_be_none_at_all() -> None:
    group = cluster([1e4, 1e4], bandwidth_bytes_per_s=1e6, latency_s=1e-3)
    case = Case(PROFILE, with_figures(group, measured("latency_s", 0.0, 2e-3)))
    predicted = optimise(case, Request(2, exactly=True)).predicted
    assert predicted.latency_low_s is not None and predicted.latency_high_s is not None
    below = predicted.latency_s - predicted.latency_low_s
    assert below > 0
    assert predicted.latency_high_s - predicted.latency_s == pytest.approx(below)
