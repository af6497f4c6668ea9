"""Every refusal of the nouns, with the document or the words that bring it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from planner.accuracy.model import curve_model
from planner.domain.changes import changed_cluster, parse_change
from planner.domain.cluster import Cluster, tuned_cluster
from planner.domain.expressions import parse_expression, parse_requirement
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.domain.positions import Geometry
from planner.domain.reshaping import Reshaping
from planner.domain.workload import Workload
from planner.errors import BadInputError
from planner.language import Phase, phase_profile
from planner.units import parse_quantity
from profiles.catalog import load_curve
from tests.planner.builders import chain, cluster
from tests.planner.language_cases import language_model

Document = dict[str, Any]
Change = Callable[[Document], Any]


def refused(kind: type[BaseModel], document: Document) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate_json(json.dumps(document))
    return str(caught.value)


def set_at(*path: str | int) -> Callable[[Any], Change]:
    """A change of what stands at a path of a document."""

    def to(value: Any) -> Change:
        def change(document: Document) -> None:
            place: Any = document
            for part in path[:-1]:
                place = place[part]
            place[path[-1]] = value

        return change

    return to


# Language models

LANGUAGE = language_model(random.Random(3), 2).model_dump(mode="json")
KIND = ("kinds", 0)
ATTENTION = (*KIND, "attention")


def _matrix(inputs: int, outputs: int) -> Document:
    return {"inputs": inputs, "outputs": outputs, "bytes": 2 * inputs * outputs}


def _latent(inputs: int, rank: int, made: int) -> Change:
    def change(document: Document) -> None:
        attention = document["kinds"][0]["attention"]
        attention |= {"key": None, "value": None, "kv_heads": attention["heads"]}
        attention["latent"] = {
            "down": _matrix(64, 24),
            "up": _matrix(inputs, made),
            "rank": rank,
            "rotary": 8,
        }

    return change


def _experts(active: int, chosen_of: int, made: int = 64) -> Change:
    def change(document: Document) -> None:
        hidden = document["hidden"]
        document["kinds"][0]["mlp"] = {
            "count": 4,
            "active": active,
            "router": _matrix(hidden, chosen_of),
            "each": {"up": _matrix(hidden, 32), "down": _matrix(32, made)},
        }

    return change


NOT_HIDDEN = "kinds: a block does not read and make the hidden numbers"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_at("order")([7, 0]), "order: names a kind of block that is not there"),
        (set_at("embedding", "columns")(65), "embedding: its columns are not the hidden numbers"),
        (set_at("head")(_matrix(64, 3)), "head: does not join the hidden numbers to the vocabul"),
        (
            set_at(*ATTENTION, "query", 0, "inputs")(32),
            NOT_HIDDEN,
        ),
        (set_at(*ATTENTION, "key", "inputs")(32), NOT_HIDDEN),
        (set_at(*ATTENTION, "value", "inputs")(32), NOT_HIDDEN),
        (set_at(*KIND, "mlp")({"up": _matrix(64, 32), "down": _matrix(32, 63)}), NOT_HIDDEN),
        (_experts(2, 4, made=63), NOT_HIDDEN),
        (
            set_at(*ATTENTION, "query")([_matrix(64, 48), _matrix(64, 64)]),
            "attention: the matrices of its queries do not meet",
        ),
        (
            set_at(*ATTENTION, "kv_heads")(5),
            "attention: heads are no multiple of those of keys and values",
        ),
        (
            set_at(*ATTENTION, "query")([_matrix(64, 30)]),
            "attention: its queries are no heads of key_size numbers",
        ),
        (
            set_at(*ATTENTION, "output")(_matrix(30, 64)),
            "attention: its output reads no heads of value_size numbers",
        ),
        (set_at(*ATTENTION, "key")(None), "attention: give a key and a value, or a latent vector"),
        (
            set_at(*ATTENTION, "value")(_matrix(64, 999)),
            "attention: its keys and values are not those of kv_heads",
        ),
        (_latent(16, 15, 64), "latent: its matrices do not make a vector of rank and rotary"),
        (_latent(15, 16, 64), "latent: its matrices do not make a vector of rank and rotary"),
        (_latent(16, 16, 63), "attention: its latent vector makes no equal heads"),
        (
            set_at(*KIND, "mlp")({"up": _matrix(64, 32), "down": _matrix(31, 64)}),
            "mlp: its matrices do not meet",
        ),
        (_experts(5, 4), "experts: 5 of 4 are active"),
        (_experts(2, 5), "experts: its router chooses of 5"),
    ],
)
def test_language_models_that_do_not_fit(change: Change, message: str) -> None:
    document = copy.deepcopy(LANGUAGE)
    change(document)
    assert message in refused(LanguageModel, document)


def test_latent_vectors_of_equal_heads_fit() -> None:
    """The limit of the row above: a multiple of the heads is taken."""
    document = copy.deepcopy(LANGUAGE)
    _latent(16, 16, 8 * document["kinds"][0]["attention"]["heads"])(document)
    assert LanguageModel.model_validate_json(json.dumps(document)).kinds[0].attention.latent


def test_counts_of_a_run_have_bounds() -> None:
    model = language_model(random.Random(0), 3)
    with pytest.raises(BadInputError, match=r"tokens: layer '.*': its .* are 2\^62 or more"):
        phase_profile(model, Phase(tokens=10**17))


@pytest.mark.parametrize("more", [-(10**9), 10**9])
def test_weights_of_no_width(more: int) -> None:
    model = language_model(random.Random(3), 2)
    assert model.with_block_bytes(0).kinds == model.kinds
    with pytest.raises(BadInputError, match=r"weights: their bytes make .* bits for each weight"):
        model.with_block_bytes(more)


# Profiles


def _profile() -> Document:
    """One convolution of 3 to 8 features, whose batch and pixels are open."""
    document = chain(8, 8).model_dump(mode="json")
    for layer in document["layers"]:
        layer["scaling"] = 0
    document["reshaping"] = {
        "inputs": [["n", 3, "p"]],
        "features": [3],
        "sizes": {"q": "n * p"},
        "requirements": ["p % 2 == 0"],
        "numbers": [{"macs": "q"}],
    }
    return document


LAYER = ("layers", 1)
RESHAPING = ("reshaping",)


def _twice(document: Document) -> None:
    document["inputs"].append(document["inputs"][0])


def _fixed(document: Document) -> None:
    document["reshaping"] = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_twice, "inputs: 'image' is there twice"),
        (_fixed, "layers: one has a scaling, but there is no reshaping"),
        (set_at(*LAYER, "shared_bytes")({"later": 4}), "'later' is no earlier layer"),
        (set_at("group_starts")(["later"]), "group_starts: 'later' is no layer"),
        (set_at("outputs")(["later"]), "outputs: 'later' is no layer and no input"),
        (set_at(*LAYER, "scaling")(3), "scaling: there are 1 to choose from"),
        (set_at(*RESHAPING, "numbers")([{"macs": "5 * q"}]), "macs is no multiple of 20"),
        (set_at("inputs", 0, "bytes")(51), "inputs: bytes of 'image' are no multiple of its elem"),
        (
            set_at(*RESHAPING, "inputs")([["n", 3, "p", 1]]),
            "reshaping: its inputs are not those of the",
        ),
        (set_at(*RESHAPING, "inputs")([["n", 5, "p"]]), "the size 5 is fixed, 3 is none"),
        (set_at(*RESHAPING, "inputs")([["n", 3, "n"]]), "'p' is not known before it"),
        (set_at(*RESHAPING, "inputs")([[1, 3, 4]]), "inputs: no size is open"),
        (set_at(*RESHAPING, "features")([]), "features: needs one entry for each of the inputs"),
        (set_at(*RESHAPING, "features")(["p"]), "reshaping: input 'image' has 3 features"),
        (
            set_at(*RESHAPING, "positions")(["p", "p"]),
            "positions: needs one entry for each of the inputs, or none",
        ),
        (set_at(*RESHAPING, "sizes")({"p": "n"}), "sizes: 'p' is there twice"),
        (set_at(*RESHAPING, "sizes")({"q": "later"}), "the name 'later' is not known before it"),
        (
            set_at(*RESHAPING, "requirements")(["q % 3 == 0"]),
            "at the present shape, needs q % 3 == 0 (q is n * p)",
        ),
        (set_at(*RESHAPING, "numbers")([{"macs": "p - 4"}]), "nothing is left of a tensor (p - 4"),
        (set_at(*RESHAPING, "numbers")([{"macs": "p // (n - 1)"}]), "divides by zero"),
        (
            set_at(*LAYER, "positions")({"count": 4, "reads": [{}]}),
            "has no positions",
        ),
    ],
)
def test_profiles_that_contradict_themselves(change: Change, message: str) -> None:
    document = _profile()
    assert ModelProfile.model_validate_json(json.dumps(document)).reshaping is not None
    change(document)
    assert message in refused(ModelProfile, document)


def test_positions_that_their_scaling_does_not_give() -> None:
    document = _profile()
    document["inputs"][0]["positions"] = 4
    for layer in document["layers"]:
        layer["positions"] = {"count": 4, "reads": [{}]}
    document["reshaping"]["positions"] = ["p"]
    document["reshaping"]["numbers"] = [{"macs": "q", "positions.count": "p"}]
    assert ModelProfile.model_validate_json(json.dumps(document))
    document["reshaping"]["numbers"] = [{"macs": "q", "positions.count": "p + 1"}]
    assert "positions differ from its scaling's" in refused(ModelProfile, document)


def test_one_name_has_one_size() -> None:
    reshaping = Reshaping(inputs=(("n", 3), ("n", 5)), features=(3, 5))
    with pytest.raises(ValueError, match="the size n is 2 elsewhere, not 7"):
        reshaping.values([(2, 3), (7, 5)])


@pytest.mark.parametrize(
    ("count", "message"), [(2**63, "positions are too many"), (-1, "positions are fewer than none")]
)
def test_positions_of_another_shape_have_bounds(count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Geometry(count=4, reads=()).changed({"count": count})


# Expressions

EXPRESSIONS = [
    ("1" * 401, "401 characters; 400 are read"),
    ("a ? b", "' ? b' is not understood"),
    ("a b", "'b' is one too many"),
    ("-" * 21 + "1", "nested more than 20 deep"),
    ("a +", "a number or name is missing"),
    ("min(a)", "min and max take two values or more"),
    ("(a", "')' is missing"),
]


@pytest.mark.parametrize(("text", "message"), EXPRESSIONS)
def test_expressions_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_expression(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 150


def test_expressions_have_bounds() -> None:
    with pytest.raises(ValueError, match="is beyond 2\\^62"):
        parse_expression("a * a").value({"a": 2**40})
    with pytest.raises(ValueError, match="divides by zero"):
        parse_expression("1 % a").value({"a": 0})
    with pytest.raises(ValueError, match="compares nothing; == != < <= > >= do"):
        parse_requirement("a + 1")


# Clusters, workloads, quantities


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=2x", "give bandwidth=2x"),
        (":compute=2x", "give bandwidth=2x"),
        ("a:bandwidth=2x", "bandwidth is that of all links; name no node"),
        ("compute=0x", "give a factor above 0, such as 2x"),
        ("compute=1.2.3x", "give a factor above 0, such as 2x"),
        ("compute=fast", "found 'fast'"),
        ("compute=-1MAC/s", "found '-1MAC/s'"),
        ("compute=1e40MAC/s", "from 1e-30 to below 1e+30"),
        ("memory=1e5.5GB", "found '1e5.5GB'"),
    ],
)
def test_changes_that_are_none(text: str, message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_change(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("--change")


@pytest.mark.parametrize("text", ["z:compute=2x", "node=+z"])
def test_a_change_of_a_node_that_is_not_there(text: str) -> None:
    with pytest.raises(BadInputError, match="'z' is no node of cluster; nodes are a, b"):
        changed_cluster(cluster(2), [parse_change(text)])


@pytest.mark.parametrize("text", ["", "B", "1 parsec", "nan", "1e999B"])
def test_quantities_that_are_none(text: str) -> None:
    with pytest.raises(BadInputError, match=r"RAM: found .*; give "):
        parse_quantity(text, "memory", where="RAM")


def test_nodes_that_a_cluster_does_not_have() -> None:
    with pytest.raises(BadInputError, match="3 nodes: cluster cluster has 1 to 2"):
        cluster(2).first(3)
    with pytest.raises(BadInputError, match=r"'z' is no node of cluster; nodes are \['a', 'b'\]"):
        cluster(2).only(["z"])
    with pytest.raises(BadInputError, match="nodes: found 0; at least 1 is needed"):
        tuned_cluster(cluster(2), nodes=0)


def test_figures_that_are_too_small_to_divide_by() -> None:
    document = cluster(2).model_dump(mode="json")
    document["link"]["bandwidth_bytes_per_s"] = 1e-300
    assert "Input should be 1e-30 or more" in refused(Cluster, document)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context": 10}, "context: found 10; prompt and answer have 640 tokens"),
        ({"fill": 640}, "fill: found 640; the context keeps 640 tokens, the new one among them"),
        (
            {"chunk": 64, "goal": "tokens-per-second"},
            "chunk: found one with the goal tokens-per-second",
        ),
        ({"chunk": 64, "max_first_token_s": 1.0}, "chunk: found one with max_first_token_s"),
    ],
)
def test_workloads_that_do_not_fit(fields: Document, message: str) -> None:
    assert message in refused(Workload, fields)


def test_a_curve_of_a_model_that_exchanges_nothing() -> None:
    profile = chain(8, 8)
    nothing = np.zeros(len(profile.layers), dtype=bool)
    with pytest.raises(
        BadInputError, match="net: no layer exchanges features, so no accuracy curv"
    ):
        curve_model(load_curve("resnet50-imagenet"), profile, nothing)
