"""Every refusal of configurations and of what is read beside them, with what brings it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import Tensor, nn

from planner.domain.model_profile import Provenance
from planner.domain.workload import Workload
from planner.errors import install_advice
from profiles.build import build_profile
from profiles.files import made
from profiles.from_hf.causal import language_model_of
from profiles.from_hf.config import MAX_CONFIG_BYTES, read_config
from profiles.from_hf.frontend import profile_config
from profiles.from_hf.network import build_network, prepared
from profiles.from_hf.others import profile_other
from profiles.from_hf.past import filled
from profiles.from_hf.quantised import widths_of
from profiles.from_pt2.document import read_document
from profiles.from_pt2.reshaping import with_open_shapes
from profiles.from_torch.translate import translate
from profiles.graph import Graph, Operator
from profiles.graph import Tensor as Activation
from profiles.language import load_language_model
from profiles.sensitivities import MAX_ROWS, read_sensitivities
from profiles.size import Size, largest
from tests.messages import message_of
from tests.profiles.small_configs import TEXT, VISION
from tests.profiles.test_pt2_hostile import linear_document, tensor

BERT = {"model_type": "bert", **TEXT}


def _with(values: dict[str, Any]) -> Callable[[], object]:
    return lambda: language_model_of({"model_type": "llama", **TEXT, **values}, name="x")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            lambda: read_config(b" " * (MAX_CONFIG_BYTES + 1)),
            "is larger than 1 MiB, the most that is read",
        ),
        (
            lambda: prepared(build_network(BERT), {}, dtypes={"pixels": "int8"}),
            "a type is given for 'pixels'; the inputs are input_ids",
        ),
        (
            lambda: prepared(build_network(BERT), {"past_tokens": (2, 3)}),
            "past_tokens: found (2, 3); give one number, such as 1024",
        ),
        (
            lambda: filled(build_network({"model_type": "vit", **VISION}), 4, {}),
            "past_tokens: the network keeps nothing of earlier tokens",
        ),
        (
            lambda: filled(build_network(BERT), 4, {"input_ids": (1, 1)}),
            "past_tokens: the network keeps nothing of earlier tokens",
        ),
        (
            lambda: filled(build_network(BERT), 4000, {"input_ids": (1, 1)}),
            "past_tokens: the network cannot read them: ",
        ),
        (
            lambda: widths_of({"quant_method": "compressed-tensors", "config_groups": []}, 16),
            "quantization_config.config_groups: says nothing of weights",
        ),
        (
            _with({"use_qk_norm": True}),
            "config: norms of queries and keys are not known of this family",
        ),
        (
            lambda: load_language_model("llama-of-our-own"),
            "SOURCE 'llama-of-our-own': no such language model; ",
        ),
        (lambda: made(Workload, {"prompt": 0}, "workload"), "workload: prompt: found 0; "),
    ],
)
def test_configurations(action: Callable[[], object], message: str) -> None:
    assert message_of(action).startswith(message)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_packages_that_are_missing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    said = message_of(lambda: profile_config(b"{}", name="x", source="config.json"))
    pip = install_advice("").partition(" ")[0]
    assert said.startswith(
        f"{package} is not installed; a Hugging Face config.json needs it: {pip}"
    )


# Files of libraries that are not installed here


class _Mixin(nn.Module):
    """What diffusers calls its networks."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    @classmethod
    def from_config(cls, values: dict[str, Any]) -> _Mixin:
        if values.get("wrong"):
            raise ValueError("no such\nblock")
        return cls()

    def forward(self, sample: Tensor, timestep: Tensor, text: Tensor | None = None) -> Tensor:
        found: Tensor = self.linear(sample) * timestep
        return found


@pytest.fixture
def diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("diffusers")
    module.ModelMixin = _Mixin
    module.UNet = type("UNet", (_Mixin,), {})
    module.NoNetwork = int
    monkeypatch.setitem(sys.modules, "diffusers", module)


def other(values: dict[str, Any], **shapes: tuple[int, ...]) -> Any:
    whole = {"_diffusers_version": "0.6", **values}
    asked = {"name": "x", "input_shapes": shapes, "batch": None, "input_types": {}}
    return profile_other(whole, asked)


@pytest.mark.usefixtures("diffusers")
def test_networks_of_diffusers() -> None:
    said = message_of(lambda: other({"_class_name": "UNet"}))
    assert said == (
        "UNet needs the shapes of sample, timestep: give --input-shape sample=1,... and so on"
    )
    said = message_of(lambda: other({"_class_name": "NoNetwork"}))
    assert said == "_class_name: diffusers has no network 'NoNetwork'"
    assert message_of(lambda: other({"_class_name": "Missing"})).endswith("'Missing'")
    said = message_of(lambda: other({"_class_name": "UNet", "wrong": True}))
    assert said == "diffusers cannot build 'UNet': no such block"
    assert other({"_class_name": "UNet"}, sample=(2, 4), timestep=(1,)).totals.macs == 2 * 12


def test_libraries_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert message_of(lambda: other({"_class_name": "UNet"})) == (
        "is a file of diffusers (for 'UNet'), which is not installed: pip install diffusers"
    )


# Sizes that are open


def open_document() -> dict[str, Any]:
    """y = x · wᵀ with an open number of rows."""
    document = linear_document()
    rows = {"as_expr": {"expr_str": "Symbol('s0', positive=True)", "hint": {"as_int": 2}}}
    document["graph_module"]["graph"]["tensor_values"] |= {
        "x": tensor(rows, 4),
        "y": tensor(rows, 3),
    }
    document["range_constraints"] = {"s0": {"min_val": 1, "max_val": 100}}
    return document


def _second(document: dict[str, Any], *sizes: Any, read: bool) -> None:
    """Declare an input more, which the graph has or only the signature names."""
    module = document["graph_module"]
    module["graph"]["tensor_values"]["z"] = tensor(*sizes)
    if read:
        module["graph"]["inputs"].append({"as_tensor": {"name": "z"}})
    module["signature"]["input_specs"].append({"user_input": {"arg": {"as_tensor": {"name": "z"}}}})


def _expression(text: str, hint: int) -> dict[str, Any]:
    return {"as_expr": {"expr_str": text, "hint": {"as_int": hint}}}


@pytest.mark.parametrize(
    ("sizes", "read", "shapes", "message"),
    [
        ((2,), False, {}, "its signature names 'z', which is no input of its graph"),
        (
            (_expression("s0", 2),),
            True,
            {"x": (2, 4), "z": (3,)},
            "input 'z': the size s0 is 2 elsewhere, not 3",
        ),
        (
            (_expression("2*s0", 4),),
            True,
            {"x": (2, 4), "z": (6,)},
            "input 'z': a .pt2 keeps its traced shapes, here any, not 6; export the model again "
            "for another one",
        ),
    ],
)
def test_inputs_of_archives(
    sizes: tuple[Any, ...], read: bool, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    document = open_document()
    _second(document, *sizes, read=read)
    assert message_of(lambda: read_document(document, shapes, None)) == message


def test_an_input_may_have_the_size_that_it_was_traced_with() -> None:
    document = open_document()
    _second(document, _expression("2*s0", 4), read=True)
    program = read_document(document, {"x": (2, 4), "z": (4,)}, None)
    assert program.body.values["z"].shape == (4,)


def test_a_linear_layer_that_gives_out_another_shape() -> None:
    document = linear_document()
    document["graph_module"]["graph"]["tensor_values"]["p_w"] = tensor(5, 4)
    said = message_of(lambda: translate(read_document(document, {}, None), "x"))
    assert said == "node 'y' (aten.linear) has arguments that do not fit each other"


@pytest.mark.parametrize(
    ("guards", "known"),
    [
        ([], True),
        (["L['x'].size()[0] >= 1"], True),
        ({}, True),
        ({"a": 1}, False),
        (["s0 >= 1"] * 501, False),
        (["L['x'].size()[7] >= 1"], False),
        (["L['x'].size()[1] >= 1"], False),
        (["L['z'].size()[0] >= 1"], False),
        (["import os"], False),
    ],
)
def test_guards_that_are_not_understood_close_the_sizes(guards: Any, known: bool) -> None:
    document = open_document()
    graph = translate(read_document(document, {}, None), "x")
    profile = build_profile(graph, Provenance(front_end="pt2", source="x.pt2"))
    found = with_open_shapes(profile, document | {"guards_code": guards})
    assert (found.reshaping is not None) is known


def test_sizes_have_an_end() -> None:
    size: int = Size.of(3, "n")
    with pytest.raises(OverflowError, match="an expression of more than 400 characters"):
        for number in range(300):
            size = largest([size, Size.of(3, "n") + number])
    total: int = 0
    with pytest.raises(OverflowError, match=r"a sum of more than \d+ products"):
        for number in range(2000):
            total = total + Size.of(3, f"n{number}")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (Size.of(3, "n") * 2, "2 * n"),
        (Size.of(3, "n") + 1, "1 + n"),
        (Size.of(3, "n * n"), "n * n"),
    ],
)
def test_an_input_has_sizes_of_its_own(size: int, text: str) -> None:
    x = Activation("x", (size, 4))
    operator = Operator("y", "activation", "relu", "aten.relu", ("x",), Activation("y", x.shape))
    graph = Graph("x", (x,), ("y",), (operator,))
    with pytest.raises(ValueError) as caught:
        build_profile(graph, Provenance(front_end="pt2", source="x"))
    assert str(caught.value) == f"an input has the open size {text}"


def test_a_table_of_too_many_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("\n" * (MAX_ROWS + 1))
    assert message_of(lambda: read_sensitivities(path)) == (
        "s.csv: 1,000,001 lines; at most 1,000,000 are read"
    )
