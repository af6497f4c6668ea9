"""An archive shows one example of a vmap; its profile counts all, as the live module's does."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from planner.domain.model_profile import ModelProfile
from profiles.from_pt2.child import main
from profiles.from_pt2.document import read_document
from profiles.from_torch.frontend import profile_module
from profiles.from_torch.translate import translate
from profiles.graph import Graph
from profiles.macs import graph_macs

Forward = Callable[..., Tensor]


class Vmapped(nn.Module):
    """Some weights, and a forward that is given."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(4, 5))
        self.experts = nn.Parameter(torch.ones(3, 5, 4))
        self.linear = nn.Linear(5, 6)
        self.conv = nn.Conv2d(3, 8, 3)
        self.own = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self, x)


def _two_products(m: Any, x: Tensor) -> Tensor:
    return torch.vmap(lambda row: m.linear(row @ m.a).relu())(x)


def _columns(m: Any, x: Tensor) -> Tensor:
    return torch.vmap(lambda row: m.linear(row @ m.a), in_dims=1)(x)


def _nested(m: Any, x: Tensor) -> Tensor:
    return torch.vmap(torch.vmap(lambda row: m.linear(row @ m.a)))(x)


def _crossed(m: Any, x: Tensor) -> Tensor:
    inner = torch.vmap(lambda a, b: a * b + m.linear(b).sum(), in_dims=(None, 0))
    return torch.vmap(inner, in_dims=(0, None))(x, 2 * x)


def _experts(m: Any, x: Tensor) -> Tensor:
    return torch.vmap(lambda weight: x @ weight.T)(m.experts)


def _images(m: Any, x: Tensor) -> Tensor:
    return torch.vmap(m.conv)(x)


def _reduced(m: Any, x: Tensor) -> Tensor:
    return torch.vmap(lambda rows: torch.softmax(rows @ m.a, 0).transpose(0, 1).sum(0))(x)


def archive(forward: Forward, shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    torch.export.save(torch.export.export(Vmapped(forward).eval(), (torch.ones(shape),)), out)
    return out.getvalue()


def profiled(data: bytes, **request: Any) -> ModelProfile:
    """As the limited child does it."""
    asked = {"name": "x", "input_shapes": {}, "batch": None, **request}
    return ModelProfile(**main(asked, data))


@pytest.mark.parametrize(
    ("forward", "shape", "macs"),
    [
        (_two_products, (3, 4), 3 * (4 * 5 + 5 * 6)),
        (_columns, (4, 3), 3 * (4 * 5 + 5 * 6)),
        (_nested, (2, 3, 4), 6 * (4 * 5 + 5 * 6)),
        (_crossed, (3, 5), 3 * 5 * 6),
        (_experts, (7, 4), 3 * 7 * 4 * 5),
        (_images, (5, 3, 9, 9), 5 * 7 * 7 * 8 * 27),
        (_images, (5, 2, 3, 9, 9), 5 * 2 * 7 * 7 * 8 * 27),
        (_reduced, (3, 7, 4), 3 * 7 * 4 * 5),
    ],
)
def test_all_examples_are_counted(forward: Forward, shape: tuple[int, ...], macs: int) -> None:
    found = profiled(archive(forward, shape))
    live = profile_module(Vmapped(forward).eval(), {"x": shape}, name="x", witness=False)
    with FlopCounterMode(display=False) as counter:
        Vmapped(forward)(torch.ones(shape))
    assert found.totals.macs == live.totals.macs == counter.get_total_flops() // 2 == macs
    assert (found.totals.params, found.totals.param_bytes) == (
        live.totals.params,
        live.totals.param_bytes,
    )
    assert found.coverage.uncounted == {}
    assert found.layers[-1].output_bytes == live.layers[-1].output_bytes
    mixing = {layer.macs for layer in found.layers if layer.feature_flow == "mixing"}
    assert mixing <= {layer.macs for layer in live.layers}, "no axis is taken for another"


def test_channels_of_a_stack_of_batches_are_not_its_samples() -> None:
    (conv,) = (layer for layer in profiled(archive(_images, (5, 2, 3, 9, 9))).layers if layer.macs)
    assert conv.feature_flow == "one-node"


def test_an_open_number_of_examples_is_one_like_any_other() -> None:
    out = io.BytesIO()
    module = Vmapped(_two_products).eval()
    open_batch = ({0: torch.export.Dim("rows")},)
    exported = torch.export.export(module, (torch.ones(3, 4),), dynamic_shapes=open_batch)
    torch.export.save(exported, out)
    assert profiled(out.getvalue()).totals.macs == 3 * 50
    assert profiled(out.getvalue(), batch=11).totals.macs == 11 * 50


def _changed(change: Callable[[list[dict[str, Any]]], None]) -> Graph:
    """The graph of a vmap's archive whose arguments were changed."""
    with zipfile.ZipFile(io.BytesIO(archive(_two_products, (3, 4)))) as packed:
        name = next(n for n in packed.namelist() if n.endswith("models/model.json"))
        document = json.loads(packed.read(name))
    for node in document["graph_module"]["graph"]["nodes"]:
        if node["name"].endswith("_batch_dim"):
            change(node["inputs"])
    return translate(read_document(document, {}, None), "x")


@pytest.mark.parametrize(
    "change",
    [
        lambda inputs: inputs.append(inputs[1]),
        lambda inputs: inputs[1].update(arg={"as_string": "first"}),
        lambda inputs: inputs[-2 if len(inputs) == 3 else -1].update(arg={"as_int": 9}),
        lambda inputs: inputs[-2].update(arg={"as_int": 9}),
    ],
    ids=["one more", "no number", "no such dimension", "no such vmap"],
)
def test_what_is_not_written_as_torch_does_is_counted_once_and_said(
    change: Callable[[list[dict[str, Any]]], None],
) -> None:
    graph = _changed(change)
    assert graph_macs(graph) in (0, 50)
    assert any("one example is counted" in note for note in graph.notes)
