"""The table of all strategies: which rows there are, and the published accuracies in them."""

from __future__ import annotations

import re

import pytest

from planner.accuracy.model import curve_model
from planner.case import Case, sparsifiable_layers
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.strategies.compare import Comparison, ComparisonRow, compare
from planner.strategies.optimise import optimal_allocation
from profiles.catalog import load_cluster, load_curve, load_model
from tests.planner.builders import chain, cluster

ALONE = {"single-node", "optimal"}
EVERY = {
    "dense",
    "independent-branches",
    "disco-uniform",
    "random",
    "dense-then-split@1",
    "dense-then-split@2",
    "dense-then-split@3",
    "split-then-aggregate@1",
    "split-then-aggregate@2",
    "split-then-aggregate@3",
    "pipeline-equal",
    "rows",
    "fused-rows",
    "tensor-parallel",
    "ar-mdi",
    "ar-mdi-macs",
    "optimal-allocation",
    "optimal-sparsity",
    "optimal-lossless",
}


@pytest.fixture(scope="module")
def case() -> Case:
    profile = load_model("resnet50")
    curve = load_curve("resnet50-imagenet")
    model = curve_model(curve, profile, sparsifiable_layers(profile))
    return Case(profile, load_cluster("small-nodes"), loss_model=model, curve=curve)


@pytest.fixture(scope="module")
def table(case: Case) -> Comparison:
    return compare(case, Request(2, limits=Limits(max_accuracy_drop=0.5)), (2, 4), (0.8, 0.9))


def row(
    table: Comparison, strategy: str, nodes: int, sparsity: float | None = None
) -> ComparisonRow:
    found = [
        row
        for row in table.rows
        if (row.strategy, row.nodes) == (strategy, nodes)
        and sparsity in (None, row.nominal_sparsity)
    ]
    assert len(found) == 1, (strategy, nodes, sparsity)
    return found[0]


def test_every_strategy_has_its_rows(table: Comparison) -> None:
    assert {row.strategy for row in table.rows} == ALONE | EVERY
    for strategy in EVERY - {"optimal-allocation"}:  # which may use fewer nodes
        for nodes in (2, 4):
            for sparsity in (0.8, 0.9) if strategy in ("disco-uniform", "random") else (None,):
                row(table, strategy, nodes, sparsity)
    assert sum(row.strategy == "optimal-allocation" for row in table.rows) == 2
    assert table.metric == "ImageNet top-1 accuracy in %"


@pytest.mark.parametrize("nodes, origin", [(2, "measured"), (4, "assumed")])
@pytest.mark.parametrize(
    "strategy, sparsity, value",
    [
        ("disco-uniform", 0.8, 76.84),
        ("disco-uniform", 0.9, 76.50),
        ("random", 0.8, 75.26),
        ("random", 0.9, 74.90),
        ("independent-branches", None, 73.36),
        ("dense-then-split@1", None, 75.14),
        ("dense-then-split@2", None, 74.55),
        ("dense-then-split@3", None, 73.3),
        ("split-then-aggregate@1", None, 75.10),
        ("split-then-aggregate@2", None, 74.88),
        ("split-then-aggregate@3", None, 73.66),
    ],
)
def test_published_accuracies(
    table: Comparison,
    strategy: str,
    sparsity: float | None,
    value: float,
    nodes: int,
    origin: str,
) -> None:
    found = row(table, strategy, nodes, sparsity)
    assert found.accuracy == value
    assert found.accuracy_drop == pytest.approx(76.80 - value)
    assert found.accuracy_origin == origin


@pytest.mark.parametrize("strategy", ["dense", "pipeline-equal", "ar-mdi", "ar-mdi-macs"])
@pytest.mark.parametrize("nodes", [2, 4])
def test_what_prunes_nothing_keeps_the_dense_accuracy(
    table: Comparison, strategy: str, nodes: int
) -> None:
    found = row(table, strategy, nodes)
    assert (found.accuracy, found.accuracy_drop) == (76.80, 0.0)
    assert found.accuracy_origin == "measured"


def test_ar_mdi_says_how_far_it_is_from_the_best(case: Case, table: Comparison) -> None:
    for nodes in (2, 4):
        fastest, busiest = (
            optimal_allocation(case, Request(nodes, objective=objective))[0]
            for objective in ("latency", "throughput")
        )
        assert fastest is not None and busiest is not None
        for strategy in ("ar-mdi", "ar-mdi-macs"):
            found = row(table, strategy, nodes)
            words = re.fullmatch(
                "(?:(.+) % above|at) the best allocation's latency, "
                "(?:(.+) % below|at) its throughput",
                found.note,
            )
            assert words and found.fits
            assert found.latency_s is not None and found.throughput_per_s is not None
            above = found.latency_s / fastest.predicted.latency_s - 1
            below = 1 - found.throughput_per_s / busiest.predicted.throughput_per_s
            for said, share in zip(words.groups(), (above, below), strict=True):
                assert float(said or 0) == pytest.approx(share * 100, rel=0.01, abs=0.05)


def test_random_costs_what_disco_costs(table: Comparison) -> None:
    for nodes in (2, 4):
        for sparsity in (0.8, 0.9):
            one = row(table, "disco-uniform", nodes, sparsity)
            other = row(table, "random", nodes, sparsity)
            assert one.latency_s == other.latency_s and one.memory_bytes == other.memory_bytes


def test_no_row_that_fits_beats_the_optimum(table: Comparison) -> None:
    optimum = next(row for row in table.rows if row.strategy == "optimal")
    assert optimum.status == "optimal" and optimum.latency_s is not None
    fitting = [r for r in table.rows if r.fits and r.latency_s is not None]
    assert len(fitting) > 5
    for other in fitting:
        # published values of uniform rows may beat the envelope that the optimum reckons with
        if other.strategy not in ("disco-uniform", "random"):
            assert (other.latency_s or 0.0) >= optimum.latency_s * (1 - 1e-9)


def test_rows_that_break_a_limit_say_so(table: Comparison) -> None:
    branches = row(table, "independent-branches", 2)
    assert not branches.fits and "accuracy" in branches.note
    assert row(table, "dense", 2).fits and not row(table, "dense", 2).note


def test_a_cluster_without_memory_says_what_is_missing() -> None:
    case = Case(chain(64, 64), cluster(2, memory_bytes=100))
    found = compare(case, Request(2), (2,))
    for line in found.rows:
        assert not line.fits
    assert row(found, "dense", 2).note.startswith("a needs ")
    assert next(r for r in found.rows if r.strategy == "optimal").status == "infeasible"
    sparse = row(found, "optimal-sparsity", 2)
    assert sparse.status == "infeasible" and sparse.latency_s is None
    assert "memory of a binds" in sparse.note


def test_without_an_accuracy_model_there_is_no_number() -> None:
    found = compare(Case(chain(8, 8), cluster(2)), Request(2), (2,))
    assert found.metric is None
    for line in found.rows:
        assert (line.accuracy, line.accuracy_drop, line.accuracy_origin) == (None, None, None)
