"""Modules and their ONNX exports: two front ends, one count."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from planner.domain.model_profile import ModelProfile
from profiles.from_onnx import child as onnx_child
from profiles.from_torch.frontend import profile_module
from tests.profiles.test_torch_frontend import Apply, parameter

Shapes = tuple[tuple[int, ...], ...]


def exported(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str]) -> bytes:
    """As ONNX; batch norms stay layers of their own."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():  # the exporter would store tensors of equal values once
            tensor.data.uniform_(1, 2)
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


def weighted(equation: str, **weights: nn.Parameter) -> Callable[[], Apply]:
    """An einsum of the input and these weights; ``x`` is where the input stands."""

    def forward(module: Apply, x: Tensor) -> Tensor:
        return torch.einsum(equation, *(x if n == "x" else getattr(module, n) for n in "abcx" if n == "x" or n in weights))

    return applied(forward, **weights)


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
    "linear, computed weight": (applied(lambda _, x, w: functional.linear(x, w)), ((2, 3, 4), (5, 4))),
    "matmul": (applied(lambda _, x, y: x @ y), ((1, 2, 5, 7), (1, 2, 7, 3))),
    "matmul, broadcast": (applied(lambda _, x, y: x @ y), ((3, 2, 5, 7), (7, 3))),
    "matmul with itself": (applied(lambda _, x: x @ x.transpose(-1, -2)), ((1, 2, 5, 7),)),
    "bmm": (applied(lambda _, x, y: torch.bmm(x, y)), ((3, 6, 4), (3, 4, 6))),
    "mm": (applied(lambda _, x, y: torch.mm(x, y)), ((4, 8), (8, 4))),
    "mv": (applied(lambda _, x, y: torch.mv(x, y)), ((3, 4), (4,))),
    "dot": (applied(lambda _, x, y: torch.dot(x, y)), ((4,), (4,))),
    "addmm": (applied(lambda _, c, x, y: torch.addmm(c, x, y)), ((3, 5), (3, 4), (4, 5))),
    "baddbmm": (applied(lambda _, c, x, y: torch.baddbmm(c, x, y)), ((2, 3, 5), (2, 3, 4), (2, 4, 5))),
    "matmul by a weight": (applied(lambda m, x: x @ m.w, w=parameter(7, 5)), ((2, 4, 7),)),
    "matmul by a turned weight": (applied(lambda m, x: x @ m.w.t(), w=parameter(5, 7)), ((4, 7),)),
    "matmul by weights of a batch": (applied(lambda m, x: x @ m.w, w=parameter(3, 7, 5)), ((3, 4, 7),)),
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
    "einsum by a weight": (weighted("dnh,td->tnh", a=parameter(16, 4, 8)), ((5, 16),)),
    "einsum by two weights": (
        applied(
            lambda m, x: torch.einsum("nc,cr,rd->nd", x, m.a, m.b),
            a=parameter(16, 4),
            b=parameter(4, 20),
        ),
        ((6, 16),),
    ),
    "attention": (applied(lambda _, q, k, v: SDPA(q, k, v)), ((2, 4, 7, 16), (2, 4, 5, 16), (2, 4, 5, 8))),
    "attention, causal": (applied(lambda _, q: SDPA(q, q, q, is_causal=True)), ((1, 4, 7, 16),)),
    "attention, masked": (
        applied(lambda _, q, m: SDPA(q, q, q, attn_mask=m)),
        ((1, 4, 7, 16), (1, 1, 7, 7)),
    ),
    "multi-head attention": (
        applied(lambda m, x: m.net(x, x, x)[0], net=nn.MultiheadAttention(16, 4, batch_first=True)),
        ((2, 7, 16),),
    ),
    "encoder": (lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), ((1, 7, 16),)),
    "decoder": (lambda: nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), ((1, 7, 16), (1, 5, 16))),
    **{
        f"{kind} {options}": (lambda kind=kind, options=options: States(kind, **options), ((5, 3, 6),))
        for kind in ("LSTM", "GRU", "RNN")
        for options in ({}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True})
    },
    "LSTM cell": (applied(lambda m, x: m.net(x), net=nn.LSTMCell(6, 10)), ((3, 6),)),
    "GRU cell": (applied(lambda m, x: m.net(x), net=nn.GRUCell(6, 10)), ((3, 6),)),
    "class token": (
        applied(lambda m, x: torch.cat([m.token.expand(2, -1, -1), x], 1), token=parameter(1, 1, 6)),
        ((2, 5, 6),),
    ),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), ((2, 6),)),
    "tied": (applied(lambda m, x: m.net(m.net(x)), net=nn.Linear(6, 6)), ((2, 6),)),
}
