"""Invalid profiles, clusters, curves, problems and plans: each is refused, and says why."""

from __future__ import annotations

import copy
import math
from random import Random
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from planner.case import Case
from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits
from planner.solve.problem import Problem
from planner.strategies.baselines import pipeline_equal, uniform
from planner.strategies.compare import Comparison, compare
from planner.strategies.costed import cost_plan, predict
from profiles.catalog import load_curve
from tests.planner.builders import Net, cluster
from tests.planner.oracle import allocation_case, sparsity_case
from tests.planner.problems import choice_problem

Path = tuple[str | int, ...]
NAN, INFINITY = math.nan, math.inf
GIVE_UP = object()  # delete the field


def small_net() -> ModelProfile:
    net = Net(4, 4)
    first = net.conv("image", 8)
    both = net.concat(net.local(first), net.slice(first, 2, 6))
    net.grouped(both, 12, 4)
    return net.profile()


def documents() -> dict[str, tuple[type[BaseModel], dict[str, Any]]]:
    profile = small_net()
    group = cluster(
        3,
        pair_links=[{"between": ["a", "b"], "bandwidth_bytes_per_s": 5.0}],
        source_node="a",
    )
    case = Case(profile, group)
    plan = uniform(case, 2, 0.5)
    return {
        "profile": (ModelProfile, profile.model_dump(mode="json")),
        "cluster": (Cluster, group.model_dump(mode="json")),
        "plan": (Plan, plan.model_dump(mode="json")),
        "curve": (AccuracyCurve, load_curve("resnet50-imagenet").model_dump(mode="json")),
    }


DOCUMENTS = documents()
CONV, RELU, SLICE, CONCAT, GROUPED = range(5)

ROWS: list[tuple[str, Path, Any, str]] = [
    # clusters
    ("cluster", ("nodes",), [], "at least 1"),
    ("cluster", ("nodes", 0, "macs_per_s"), 0, "greater than 0"),
    ("cluster", ("nodes", 0, "macs_per_s"), -1.0, "greater than 0"),
    ("cluster", ("nodes", 0, "macs_per_s"), NAN, "finite number"),
    ("cluster", ("nodes", 0, "macs_per_s"), INFINITY, "finite number"),
    ("cluster", ("nodes", 0, "macs_per_s"), 1e31, "less than 1000"),
    ("cluster", ("nodes", 0, "macs_per_s"), "fast", "valid number"),
    ("cluster", ("nodes", 0, "macs_per_s"), GIVE_UP, "Field required"),
    ("cluster", ("nodes", 0, "memory_bytes"), 0, "greater than 0"),
    ("cluster", ("nodes", 0, "memory_bytes"), 1.5, "valid integer"),
    ("cluster", ("nodes", 0, "memory_bytes_per_s"), 0, "greater than 0"),
    ("cluster", ("nodes", 0, "layer_overhead_s"), -1e-9, "greater than or equal to 0"),
    ("cluster", ("nodes", 0, "seconds_per_param"), 0, "greater than 0"),
    ("cluster", ("nodes", 0, "name"), "", "at least 1 character"),
    ("cluster", ("nodes", 0, "colour"), "red", "Extra inputs are not permitted"),
    ("cluster", ("nodes", 1, "name"), "a", "two nodes have the same name"),
    ("cluster", ("link", "bandwidth_bytes_per_s"), 0, "greater than 0"),
    ("cluster", ("link", "bandwidth_bytes_per_s"), -5.0, "greater than 0"),
    ("cluster", ("link", "bandwidth_bytes_per_s"), NAN, "finite number"),
    ("cluster", ("link", "latency_s"), -1.0, "greater than or equal to 0"),
    ("cluster", ("link", "latency_s"), INFINITY, "finite number"),
    ("cluster", ("pair_links", 0, "between"), ["a", "x"], "'x' is no node"),
    ("cluster", ("pair_links", 0, "between"), ["a", "a"], "'a' is linked to itself"),
    ("cluster", ("pair_links", 0, "between"), ["a"], "Field required"),
    ("cluster", ("pair_links", 0, "bandwidth_bytes_per_s"), 0, "greater than 0"),
    (
        "cluster",
        ("pair_links",),
        [
            {"between": ["a", "b"], "bandwidth_bytes_per_s": 1.0},
            {"between": ["b", "a"], "bandwidth_bytes_per_s": 2.0},
        ],
        "two links join the same two nodes",
    ),
    ("cluster", ("source_node",), "x", "source_node: 'x' is no node"),
    ("cluster", ("medium",), "smoke", "'full_duplex', 'half_duplex' or 'shared'"),
    ("cluster", ("casting",), "multicast", "'unicast' or 'broadcast'"),
    ("cluster", ("schema_version",), 2, "Input should be 1"),
    # profiles
    ("profile", ("layers",), [], "at least 1"),
    ("profile", ("inputs",), [], "at least 1"),
    ("profile", ("outputs",), [], "at least 1"),
    ("profile", ("outputs",), ["nobody"], "'nobody' is no layer and no input"),
    ("profile", ("schema_version",), 0, "Input should be 1"),
    ("profile", ("totals", "macs"), 1, "totals: the layers add up to"),
    ("profile", ("inputs", 0, "features"), 0, "greater than or equal to 1"),
    ("profile", ("inputs", 0, "features"), 5, "bytes of 'image' are no multiple"),
    ("profile", ("layers", CONV, "macs"), -1, "greater than or equal to 0"),
    ("profile", ("layers", CONV, "macs"), 129, "MACs are no multiple of input times output"),
    ("profile", ("layers", CONV, "macs"), 2**62, "less than"),
    ("profile", ("layers", CONV, "macs"), 1.5, "valid integer"),
    ("profile", ("layers", CONV, "in_features"), 0, "greater than or equal to 1"),
    ("profile", ("layers", CONV, "in_features"), 2, "reads 4 features of 'image', declares 2"),
    ("profile", ("layers", CONV, "granularity"), 3, "no multiple of segments times granularity"),
    ("profile", ("layers", CONV, "weight_params"), 33, "more weights than parameters"),
    ("profile", ("layers", CONV, "input_bytes"), 63, "input bytes are no multiple"),
    ("profile", ("layers", CONV, "output_bytes"), 129, "output bytes are no multiple"),
    ("profile", ("layers", CONV, "inputs"), [], "has no inputs"),
    ("profile", ("layers", CONV, "inputs"), ["nobody"], "'nobody' is no earlier layer"),
    ("profile", ("layers", CONV, "inputs"), ["conv_0"], "'conv_0' is no earlier layer"),
    ("profile", ("layers", CONV, "inputs"), ["conv_4"], "'conv_4' is no earlier layer"),
    ("profile", ("layers", CONV, "feature_flow"), "psychic", "'mixing', 'grouped', 'local'"),
    ("profile", ("layers", CONV, "measured_s"), {"x": -1.0}, "greater than or equal to 0"),
    ("profile", ("layers", CONV, "measured_s"), {"x": NAN}, "finite number"),
    ("profile", ("layers", RELU, "name"), "conv_0", "the name is there twice"),
    ("profile", ("layers", RELU, "name"), "image", "the name is there twice"),
    ("profile", ("layers", RELU, "in_features"), 3, "none of its inputs has the 3"),
    ("profile", ("layers", RELU, "out_features"), 12, "output features are no multiple of input"),
    ("profile", ("layers", SLICE, "feature_start"), 5, "ends behind its input's last feature"),
    ("profile", ("layers", CONCAT, "out_features"), 11, "do not add up"),
    ("profile", ("layers", GROUPED, "groups"), 5, "its groups do not divide its features"),
    ("profile", ("layers", GROUPED, "in_features"), 8, "reads 12 features of 'concat_3'"),
    # plans
    ("plan", ("stages",), [], "at least 1"),
    ("plan", ("stages", 0, "nodes"), ["a", "x"], "'x' is no node of the cluster"),
    ("plan", ("stages", 0, "nodes"), [], "at least 1"),
    ("plan", ("stages", 0, "layers"), [], "at least 1"),
    ("plan", ("stages", 0, "layers", 4, "kept_features"), -1, "greater than or equal to 0"),
    ("plan", ("stages", 0, "layers", 4, "kept_features"), 1.5, "valid integer"),
    ("plan", ("stages", 0, "layers", 4, "kept_features"), [[0, 1]], "is not square"),
    ("plan", ("stages", 0, "layers", 4, "kept_features"), [[0], [1]], "is not square"),
    ("plan", ("stages", 0, "layers", 4, "nodes"), 0, "greater than or equal to 1"),
    ("plan", ("predicted", "latency_s"), NAN, "finite number"),
    ("plan", ("predicted",), GIVE_UP, "Field required"),
    ("plan", ("settings", "medium"), "smoke", "'full_duplex', 'half_duplex' or 'shared'"),
    ("plan", ("limits", "max_accuracy_drop"), -1, "greater than or equal to 0"),
    ("plan", ("schema_version",), 0, "Input should be 1 or 2"),
    ("plan", ("schema_version",), 3, "Input should be 1 or 2"),
    ("plan", ("stages", 0, "layers", 4, "way"), "rows", "'features', 'positions', 'samples'"),
    ("plan", ("stages", 0, "layers", 4, "layout"), "rows", "'features', 'positions', 'samples'"),
    ("plan", ("stages", 0, "layers", 4, "conversions"), ["whole"], "valid dictionary"),
    (
        "plan",
        ("stages", 0, "layers", 4, "conversions"),
        [{"tensor": "conv_0", "source": "features"}],
        "Field required",
    ),
    ("plan", ("stages", 0, "arrives"), [["conv_0", "outputs"]], "'features', 'positions'"),
    # accuracy curves
    ("curve", ("disco", 0, "sparsity_percent"), 5, "the first point must be dense"),
    ("curve", ("disco", 1, "sparsity_percent"), 95, "disco: sparsities are not strictly rising"),
    ("curve", ("random", 1, "sparsity_percent"), 80, "random: sparsities are not strictly rising"),
    ("curve", ("disco", 1, "sparsity_percent"), 101, "less than or equal to 100"),
    ("curve", ("disco", 1, "value"), NAN, "finite number"),
    ("curve", ("nodes",), 1, "greater than or equal to 2"),
    ("curve", ("origin",), "guessed", "'measured', 'derived' or 'assumed'"),
    ("curve", ("splits", 0, "groups"), 0, "greater than or equal to 1"),
]


def changed(data: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(data)
    target: Any = data
    for key in path[:-1]:
        target = target[key]
    if value is GIVE_UP:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return data


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_documents_themselves_are_valid(kind: str) -> None:
    model, data = DOCUMENTS[kind]
    assert model.model_validate(data).model_dump(mode="json") == data
    assert data["schema_version"] == (2 if kind == "plan" else 1)


def test_plans_of_the_first_version_are_read() -> None:
    """They say nothing of ways: everything gathers features."""
    plan = Plan.model_validate(DOCUMENTS["plan"][1])
    older = copy.deepcopy(DOCUMENTS["plan"][1])
    older["schema_version"] = 1
    for stage in older["stages"]:
        assert stage.pop("arrives") == []
        for layer in stage["layers"]:
            found = [layer.pop(name) for name in ("way", "layout", "conversions", "until")]
            assert found == ["features", "features", [], None]
    read = Plan.model_validate(older)
    assert read.schema_version == 1
    assert {layer.way for stage in read.stages for layer in stage.layers} == {None}
    case = Case(small_net(), plan.cluster)
    assert predict(case, read.stages) == plan.predicted
    again = cost_plan(case, read.stages, read.strategy)
    assert again.model_dump()["schema_version"] == 2


@pytest.mark.parametrize(
    "kind, path, value, words",
    ROWS,
    ids=[f"{kind}:{'.'.join(map(str, path))}={value!r:.20}" for kind, path, value, _ in ROWS],
)
def test_invalid_documents_are_refused(kind: str, path: Path, value: Any, words: str) -> None:
    model, data = DOCUMENTS[kind]
    with pytest.raises(ValidationError) as raised:
        model.model_validate(changed(data, path, value))
    assert words in str(raised.value)
    where = raised.value.errors()[0]["loc"]  # the field itself, or what it makes inconsistent
    assert all(a == b for a, b in zip(where, path, strict=False))


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_unknown_fields_are_refused(kind: str) -> None:
    model, data = DOCUMENTS[kind]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({**data, "surprise": 1})


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents_cannot_be_changed(kind: str) -> None:
    model, data = DOCUMENTS[kind]
    document = model.model_validate(data)
    with pytest.raises(ValidationError, match="frozen"):
        document.schema_version = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "values",
    [
        {"max_accuracy_drop": -0.1},
        {"max_accuracy_drop": NAN},
        {"max_latency_s": 0},
        {"min_throughput_per_s": 0},
        {"min_throughput_per_s": INFINITY},
    ],
)
def test_limits_that_mean_nothing_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Limits(**values)


def test_arrays_are_read_only_and_survive_json() -> None:
    problem = sparsity_case(Random(1), sums=1, nodes=1).problem()
    with pytest.raises(ValueError, match="read-only"):
        problem.latency_s[0, 0, 0] = 1.0
    for each in (problem, allocation_case(Random(1), "latency", memory=True).problem()):
        read = Problem.model_validate_json(each.model_dump_json())
        for name in ("latency_s", "allowed", "weight_bytes", "transfer_s"):
            assert np.array_equal(getattr(read, name), getattr(each, name))


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("latency_s", [[[NAN]]], "holds NaN or infinity"),
        ("latency_s", [[[INFINITY]]], "holds NaN or infinity"),
        ("latency_s", [[["fast"]]], "holds something that is no number"),
        ("latency_s", [[[None]]], "holds something that is no number"),
        ("allowed", [[[2]]], "holds a number that is not whole"),
    ],
)
def test_arrays_hold_finite_numbers(field: str, value: Any, words: str) -> None:
    values = choice_problem(np.ones((1, 1, 1)), np.ones((1, 1), dtype=np.bool_)).model_dump()
    assert Problem(**values).latency_s.shape == (1, 1, 1)
    with pytest.raises(ValidationError, match=words):
        Problem(**(values | {field: value}))


def test_integer_arrays_are_not_rounded() -> None:
    values = allocation_case(Random(1), "latency").problem().model_dump()
    values["weight_bytes"] = np.array(values["weight_bytes"]) + 0.5
    with pytest.raises(ValidationError, match="holds a number that is not whole"):
        Problem(**values)


def test_every_document_says_its_version() -> None:
    case = Case(small_net(), cluster(2))
    found: list[BaseModel] = [
        case.profile,
        case.cluster,
        pipeline_equal(case, 2),
        compare(case, Request(2), (2,)),
    ]
    assert [type(document) for document in found] == [
        ModelProfile,
        Cluster,
        Plan,
        Comparison,
    ]
    versions = [document.model_dump()["schema_version"] for document in found]
    assert versions == [1, 1, 2, 1]


def test_a_ring_starts_at_the_source() -> None:
    group = cluster(4, source_node="c")
    assert [node.name for node in group.first(3).nodes] == ["c", "d", "a"]
    assert group.first(2).source_node == "c" and group.source_index == 2
    assert CostSettings() == CostSettings(overlap=False, medium=None, casting=None)


def test_links_between_nodes_that_are_left_out_are_dropped() -> None:
    pairs = [
        {"between": ["a", "b"], "bandwidth_bytes_per_s": 5.0, "latency_s": 0.5},
        {"between": ["b", "c"], "bandwidth_bytes_per_s": 7.0},
    ]
    group = cluster(3, bandwidth_bytes_per_s=1.0, pair_links=pairs)
    assert group.pair_bandwidth_bytes_per_s().tolist() == [[1, 5, 1], [5, 1, 7], [1, 7, 1]]
    assert group.pair_latency_s()[0, 1] == group.pair_latency_s()[1, 0] == 0.5
    assert [pair.between for pair in group.first(2).pair_links] == [("a", "b")]
