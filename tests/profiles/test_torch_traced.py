"""Modules whose control flow depends on the data: profiled along the path that zeros take."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from planner.errors import BadInputError
from profiles.from_torch.frontend import profile_module


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding="same")
        self.taken = nn.Linear(8, 8)
        self.other = nn.Linear(8, 100)
        self.rnn = nn.LSTM(8, 8)
        self.register_buffer("scale", torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x).mean((2, 3)) * self.scale
        if y.sum() > 0:
            return self.other(y)
        for _ in range(2 + int(y.abs().max().item())):
            y = self.taken(y)
        tokens = y.view(1, 1, -1, 8)
        attended = functional.scaled_dot_product_attention(tokens, tokens, tokens)
        result: Tensor = self.rnn(attended[0])[0]
        return result


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_the_taken_path_is_counted_and_named_as_such(device: str) -> None:
    torch.manual_seed(0)
    with torch.device(device):
        module = Branching()
    for parameter in module.parameters():
        parameter.requires_grad_(False).zero_()
    module.train()
    profile = profile_module(module, {"x": (2, 3, 6, 6)}, name="branching")
    macs = {layer.name: layer.macs for layer in profile.layers if layer.macs}
    assert macs == {
        "stem": 2 * 8 * 36 * 27,
        "taken": 2 * 64,
        "taken:linear": 2 * 64,
        "attention": 2 * 2 * 2 * 8,
        "rnn": 2 * 4 * 8 * 16,
    }
    sizes = {
        name: sum(p.numel() for p in part.parameters()) for name, part in module.named_children()
    }
    assert profile.totals.params == sum(sizes.values()) - sizes["other"]
    assert profile.coverage.uncounted == {}
    assert profile.provenance.front_end == "torch trace"
    assert "the graph is the path" in profile.provenance.note
    witness = profile.coverage.witness
    assert witness is not None
    assert witness.total_macs == 2 * 2 * 64, "fvcore sees the linear layers and not the others"
    assert set(witness.skipped_ops) >= {
        "aten::_convolution_mode",
        "aten::lstm",
        "aten::scaled_dot_product_attention",
    }
    assert module.training
    assert module.stem._forward_hooks == module.stem._forward_pre_hooks == {}
    assert {p.device.type for p in module.parameters()} == {device}


def test_inputs_by_name_are_traced_too() -> None:
    class ByName(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, extra: None = None, input_ids: Tensor | None = None) -> Tensor:
            assert input_ids is not None
            if input_ids.sum() > 3:
                return self.table(input_ids)
            result: Tensor = self.head(self.table(input_ids))
            return result

    profile = profile_module(ByName(), {"input_ids": (1, 5)}, name="by name")
    assert profile.totals.macs == 5 * 4 * 2
    assert profile.inputs[0].dtype == "int64"
    assert profile.provenance.note


def test_an_exported_module_needs_no_note() -> None:
    profile = profile_module(nn.Linear(4, 4), {"input": (1, 4)}, name="plain")
    assert profile.provenance.note == ""
    assert profile.provenance.front_end == "torch.export"


def test_what_does_not_run_is_refused_in_torch_exports_words() -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 0:
                return x
            raise ValueError("zeros do not pass")

    with pytest.raises(
        BadInputError, match=r"never: torch.export cannot trace it: Could not guard"
    ):
        profile_module(Never(), {"x": (1, 4)}, name="never")
