"""Operators of every kind between two convolutions, run every way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.runtime.cases import check, traced
from tests.runtime.way_plans import way_plan

Maps = torch.Tensor
OPERATORS: dict[str, Callable[[Maps], torch.Tensor]] = {
    "adaptive average": lambda x: functional.adaptive_avg_pool2d(x, (3, 5)),
    "adaptive maximum": lambda x: functional.adaptive_max_pool2d(x, (3, 5)),
    "power average": lambda x: functional.lp_pool2d(x.abs() + 0.1, 2, 2),
    "running sum": lambda x: x.cumsum(2),
    "softmax of rows": lambda x: x.softmax(2),
    "softmax of maps": lambda x: x.flatten(2).softmax(-1).view_as(x),
    "norm of maps": lambda x: functional.layer_norm(x, x.shape[2:]),
    "norm of samples": lambda x: functional.layer_norm(x, x.shape[1:]),
    "flipped": lambda x: x.flip(2),
    "rolled": lambda x: x.roll((3, -2), (2, 3)),
    "unfolded": lambda x: functional.unfold(x, 3, padding=1),
    "pixel shuffle": lambda x: functional.pixel_shuffle(x, 2),
    "pixel unshuffle": lambda x: functional.pixel_unshuffle(x, 2),
    "largest of rows": lambda x: x.amax(2),
    "variance of maps": lambda x: x.var((2, 3)),
    "unit rows": lambda x: functional.normalize(x, dim=2),
    "unit features": lambda x: functional.normalize(x, dim=1),
    "response norm": lambda x: functional.local_response_norm(x, 3),
    "rows swapped": lambda x: torch.cat(x.chunk(2, 2)[::-1], 2),
    "rows with steps": lambda x: x[:, :, 1::3],
    "rows by number": lambda x: x[:, :, torch.tensor([3, 1, 0])],
    "turned": lambda x: x.transpose(2, 3),
    "rows times rows": lambda x: x @ x.transpose(2, 3),
    "outer product": lambda x: x.mean(3, keepdim=True) @ x.mean(2, keepdim=True),
    "einsum": lambda x: torch.einsum("bchw,bcgw->bhg", x, x),
    "volume": lambda x: functional.interpolate(x.unsqueeze(2), scale_factor=2),
    "circular": lambda x: functional.pad(x, (1, 1, 2, 1), mode="circular"),
    "reflected": lambda x: functional.pad(x, (1, 1, 2, 1), mode="reflect"),
    "filled": lambda x: functional.pad(x, (1, 1, 2, -1), value=5.0),
    "exact nearest": lambda x: functional.interpolate(x, size=(11, 5), mode="nearest-exact"),
    "antialiased": lambda x: functional.interpolate(x, (4, 5), mode="bilinear", antialias=True),
    "triangle": lambda x: x.tril(),
    "repeated rows": lambda x: x.repeat_interleave(2, 2),
    "mean of rows": lambda x: x.mean(2),
    "sum of maps": lambda x: x.sum((2, 3)),
    "mean of all": lambda x: x.mean(),
    "woven rows": lambda x: torch.stack([x, x * 2], 3).flatten(2, 3),
    "gated rows": lambda x: functional.glu(x, 2),
    "sorted rows": lambda x: x.sort(2).values,
}


class Between(nn.Module):
    def __init__(self, operator: Callable[[Maps], torch.Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.operator = operator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.operator(self.b(self.a(x))) * 2


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_run_every_way(name: str) -> None:
    model = traced(Between(OPERATORS[name]), 2, 3, 8, 8)
    by_rows = {layer.name: "positions" for layer in model.profile.layers}
    for seed, groups in enumerate(([[1.0, 2.0, 1.0]], [[1.0, 1.0], [1.0, 3.0]]) * 3):
        rng = np.random.default_rng(seed)
        casting = "broadcast" if seed % 2 else "unicast"
        wanted = by_rows if seed < 2 else None
        check(model, way_plan(model, groups, rng, casting=casting, wanted=wanted))
