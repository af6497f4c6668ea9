"""Modules and their ONNX exports: two front ends, one count."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from planner.domain.model_profile import ModelProfile
from profiles.catalog import load_model, model_names
from profiles.from_onnx import child as onnx_child
from profiles.from_torch.frontend import profile_module
from profiles.networks import ARCHITECTURES
from tests.profiles.test_torch_frontend import ONE_LAYER, Apply, parameter
from tests.profiles.test_torch_operators import FREE

Shapes = tuple[tuple[int, ...], ...]


def exported(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str]) -> bytes:
    """As ONNX; batch norms stay layers of their own."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():  # the exporter would store tensors of equal values once
            tensor.data.uniform_(1, 2)
        else:
            tensor.data.zero_()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, on Python code in the model
        torch.onnx.export(
            module,
            inputs,
            buffer,
            dynamo=False,
            input_names=names,
            opset_version=18,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    return buffer.getvalue()


def from_onnx(data: bytes) -> ModelProfile:
    request = {"name": "small", "input_shapes": {}, "batch": None}
    return ModelProfile.model_validate(onnx_child.main(request, data))


def applied(function: Callable[..., Any], **parts: nn.Module | nn.Parameter) -> Callable[[], Apply]:
    return lambda: Apply(function, **parts)


def einsum(equation: str) -> Callable[[], Apply]:
    return applied(lambda _, *operands: torch.einsum(equation, *operands))


class States(nn.Module):
    """A recurrent layer with its last states."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.net = getattr(nn, kind)(6, 10, **options)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        output, state = self.net(x)
        return (output, *(state if isinstance(state, tuple) else (state,)))


SDPA = functional.scaled_dot_product_attention
IMAGE = (1, 4, 6, 6)
PRODUCTS: dict[str, tuple[Callable[[], nn.Module], Shapes]] = {
    "conv without a batch": (lambda: nn.Conv2d(4, 6, 3), ((4, 8, 8),)),
    "conv, batch norm": (lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)), (IMAGE,)),
    "batch norm": (lambda: nn.BatchNorm2d(4), (IMAGE,)),
    "batch norm of signals": (lambda: nn.BatchNorm1d(4), ((2, 4, 7),)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (IMAGE,)),
    "instance norm": (lambda: nn.InstanceNorm2d(4, affine=True), (IMAGE,)),
    "layer norm": (lambda: nn.LayerNorm(6), ((2, 5, 6),)),
    "layer norm of two dimensions": (lambda: nn.LayerNorm((5, 6)), ((2, 5, 6),)),
    "rms norm": (lambda: nn.RMSNorm(6), ((2, 5, 6),)),
    "prelu": (lambda: nn.PReLU(4), (IMAGE,)),
    "linear, computed weight": (
        applied(lambda _, x, w: functional.linear(x, w)),
        ((2, 3, 4), (5, 4)),
    ),
    "matmul": (applied(lambda _, x, y: x @ y), ((1, 2, 5, 7), (1, 2, 7, 3))),
    "matmul, broadcast": (applied(lambda _, x, y: x @ y), ((3, 2, 5, 7), (7, 3))),
    "matmul with itself": (applied(lambda _, x: x @ x.transpose(-1, -2)), ((1, 2, 5, 7),)),
    "bmm": (applied(lambda _, x, y: torch.bmm(x, y)), ((3, 6, 4), (3, 4, 6))),
    "mm": (applied(lambda _, x, y: torch.mm(x, y)), ((4, 8), (8, 4))),
    "mv": (applied(lambda _, x, y: torch.mv(x, y)), ((3, 4), (4,))),
    "dot": (applied(lambda _, x, y: torch.dot(x, y)), ((4,), (4,))),
    "addmm": (applied(lambda _, c, x, y: torch.addmm(c, x, y)), ((3, 5), (3, 4), (4, 5))),
    "baddbmm": (
        applied(lambda _, c, x, y: torch.baddbmm(c, x, y)),
        ((2, 3, 5), (2, 3, 4), (2, 4, 5)),
    ),
    "matmul by a weight": (applied(lambda m, x: x @ m.w, w=parameter(7, 5)), ((2, 4, 7),)),
    "matmul by a turned weight": (applied(lambda m, x: x @ m.w.t(), w=parameter(5, 7)), ((4, 7),)),
    "matmul by weights of a batch": (
        applied(lambda m, x: x @ m.w, w=parameter(3, 7, 5)),
        ((3, 4, 7),),
    ),
    "matmul by a batch of one": (applied(lambda m, x: x @ m.w, w=parameter(1, 7, 5)), ((3, 4, 7),)),
    "weight first": (applied(lambda m, x: m.w @ x, w=parameter(5, 7)), ((2, 7, 3),)),
    "weight first, a vector": (applied(lambda m, x: m.w @ x, w=parameter(5, 7)), ((7,),)),
    "a weight that is a vector": (applied(lambda m, x: x @ m.w, w=parameter(7)), ((2, 4, 7),)),
    "addmm by a weight": (
        applied(lambda m, x: torch.addmm(m.b, x, m.w), w=parameter(7, 5), b=parameter(5)),
        ((4, 7),),
    ),
    "addmm, weight first": (
        applied(lambda m, x: torch.addmm(m.b, m.w, x), w=parameter(5, 7), b=parameter(5, 1)),
        ((7, 3),),
    ),
    "addmm with a computed term": (
        applied(lambda m, c, x: torch.addmm(c, x, m.w), w=parameter(7, 5)),
        ((4, 5), (4, 7)),
    ),
    **{
        f"einsum {equation}": (einsum(equation), shapes)
        for equation, shapes in {
            "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
            "bhid,bhjd->bhij": ((2, 3, 4, 5), (2, 3, 6, 5)),
            "bihd,bjhd->bhij": ((2, 4, 3, 5), (2, 6, 3, 5)),
            "bqnc,bnchw->bqnhw": ((2, 3, 4, 5), (2, 4, 5, 6, 7)),
            "...ij,...kj->...ik": ((2, 3, 4, 5), (2, 3, 6, 5)),
            "ij,jk": ((3, 4), (4, 5)),
            "i,j->ij": ((3,), (4,)),
            "ij,ij->": ((3, 4), (3, 4)),
            "ij,jk->k": ((3, 4), (4, 5)),
            "abc->cab": ((2, 3, 4),),
            "abc->ab": ((2, 3, 4),),
            "nc,cr,rd->nd": ((6, 16), (16, 4), (4, 20)),
            "ij,kj,lj->ikl": ((4, 8), (5, 8), (6, 8)),
            "ab,bc,cd,de->ae": ((2, 3), (3, 4), (4, 5), (5, 6)),
        }.items()
    },
    "einsum by a weight": (
        applied(lambda m, x: torch.einsum("dnh,td->tnh", m.w, x), w=parameter(16, 4, 8)),
        ((5, 16),),
    ),
    "einsum by two weights": (
        applied(
            lambda m, x: torch.einsum("nc,cr,rd->nd", x, m.a, m.b),
            a=parameter(16, 4),
            b=parameter(4, 20),
        ),
        ((6, 16),),
    ),
    "attention": (
        applied(lambda _, q, k, v: SDPA(q, k, v)),
        ((2, 4, 7, 16), (2, 4, 5, 16), (2, 4, 5, 8)),
    ),
    "attention, causal": (applied(lambda _, q: SDPA(q, q, q, is_causal=True)), ((1, 4, 7, 16),)),
    "attention, masked": (
        applied(lambda _, q, m: SDPA(q, q, q, attn_mask=m)),
        ((1, 4, 7, 16), (1, 1, 7, 7)),
    ),
    "multi-head attention": (
        applied(lambda m, x: m.net(x, x, x)[0], net=nn.MultiheadAttention(16, 4, batch_first=True)),
        ((2, 7, 16),),
    ),
    "encoder": (
        applied(
            lambda m, x, mask: m.net(x, src_mask=mask),
            net=nn.TransformerEncoderLayer(16, 4, 32, batch_first=True),
        ),
        ((1, 7, 16), (7, 7)),
    ),
    "decoder": (
        applied(
            lambda m, x, memory, mask: m.net(x, memory, tgt_mask=mask),
            net=nn.TransformerDecoderLayer(16, 4, 32, batch_first=True),
        ),
        ((1, 7, 16), (1, 5, 16), (7, 7)),
    ),
    **{
        f"{kind} {options}": (
            lambda kind=kind, options=options: States(kind, **options),
            ((5, 3, 6),),
        )
        for kind in ("LSTM", "GRU", "RNN")
        for options in ({}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True})
    },
    "LSTM cell": (
        applied(lambda m, x, h, c: m.net(x, (h, c)), net=nn.LSTMCell(6, 10)),
        ((3, 6), (3, 10), (3, 10)),
    ),
    "GRU cell": (applied(lambda m, x, h: m.net(x, h), net=nn.GRUCell(6, 10)), ((3, 6), (3, 10))),
    "RNN cell": (applied(lambda m, x, h: m.net(x, h), net=nn.RNNCell(6, 10)), ((3, 6), (3, 10))),
    "LSTM cell without a state": (
        applied(lambda m, x: m.net(x), net=nn.LSTMCell(6, 10)),
        ((3, 6),),
    ),
    "table": (applied(lambda m, x: m.net(x.long()), net=nn.Embedding(10, 6)), ((2, 5),)),
    "class token": (
        applied(
            lambda m, x: torch.cat([m.token.expand(2, -1, -1), x], 1), token=parameter(1, 1, 6)
        ),
        ((2, 5, 6),),
    ),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), ((2, 6),)),
    "tied": (applied(lambda m, x: m.net(m.net(x)), net=nn.Linear(6, 6)), ((2, 6),)),
}
SMALL: dict[str, tuple[Callable[[], nn.Module], Shapes]] = {
    **PRODUCTS,
    **{name: (build, (shape,)) for name, (build, shape, *_) in ONE_LAYER.items()},
    **{name: (applied(lambda _, x, f=f: f(x)), (IMAGE,)) for name, f in FREE.items()},
}
_UNKNOWN = "the exporter does not know it"
NOT_EXPORTED = {
    **dict.fromkeys(("rms norm", "rms_norm", "interpolate nearest-exact"), _UNKNOWN),
    **dict.fromkeys(("interpolate area", "transposes", "channel_shuffle"), _UNKNOWN),
}
# MACs and parameters that the exported graph has more than the module, and why.
_MADE_UP = "ONNX's norms need a scale and a shift, and the exporter makes them up"
DIFFERENT: dict[str, tuple[int, int, str]] = {
    "group norm": (0, 2 * 2, f"{_MADE_UP} for each of the groups, beside the module's own"),
    "group_norm": (0, 2 * 2, _MADE_UP),
    "instance_norm": (0, 2 * 4, _MADE_UP),
    "layer_norm": (0, 2 * 6, _MADE_UP),
    "created": (0, 6 + 144, "the exporter stores what the module creates as it stores weights"),
    "LSTM cell without a state": (
        0,
        2 * 3 * 10,
        "the exporter stores the zeros that the first state is",
    ),
}


@pytest.mark.parametrize("name", [name for name in SMALL if name not in NOT_EXPORTED])
def test_a_module_and_its_export_have_one_count(name: str) -> None:
    build, shapes = SMALL[name]
    module = build().eval()
    names = [f"x{index}" for index in range(len(shapes))]
    ours = profile_module(
        module, dict(zip(names, shapes, strict=True)), name="small", witness=False
    )
    theirs = from_onnx(exported(module, tuple(map(torch.zeros, shapes)), names))
    macs, params, _ = DIFFERENT.get(name, (0, 0, ""))
    assert theirs.totals.macs == ours.totals.macs + macs
    assert theirs.totals.params == ours.totals.params + params
    assert ours.coverage.uncounted == theirs.coverage.uncounted == {}


def test_enough_operators_are_held_against_each_other() -> None:
    assert set(NOT_EXPORTED) | set(DIFFERENT) <= set(SMALL)
    assert len(set(SMALL) - set(NOT_EXPORTED) - set(DIFFERENT)) > 100


# The library's networks


NO_EXPORT = {
    **dict.fromkeys((n for n in model_names() if "llama" in n), "larger than an ONNX file may be"),
    "gpt2": "the exporter does not know aten::diff",
    "ssd300-vgg16": "the exporter does not know aten::rms_norm",
}
# Parameters that the exported graph has more: each of the 138 heads' tables of 13 by 13 relative
# positions is spread over all pairs of the 7 by 7 positions of a window.
MORE_PARAMS = {"swin-t": 138 * (7**4 - 13**2)}
SLOW = ("bert-base", "deeplabv3plus-resnet101", "esrgan", "swin-t")
NETWORKS = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in model_names()
    if name not in NO_EXPORT
]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_s_export_has_the_shipped_count(name: str) -> None:
    made = ARCHITECTURES[name].prepare("meta")
    inputs = tuple(
        torch.zeros(shape, dtype=getattr(torch, made.dtypes[label]))
        for label, shape in made.shapes.items()
    )
    ours = load_model(name)
    theirs = from_onnx(exported(made.module.to_empty(device="cpu"), inputs, list(made.shapes)))
    assert theirs.totals.macs == ours.totals.macs
    assert theirs.totals.params == ours.totals.params + MORE_PARAMS.get(name, 0)
    assert theirs.coverage.uncounted == {}
