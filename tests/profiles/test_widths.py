"""Which parameters of a traced module are its weights, held against torch's own names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from planner.quantise import with_weight_bits
from profiles.sources import load_module


class Sequences(nn.Module):
    """Recurrent layers, a transposed convolution in groups, a grouped one, a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 32)
        self.lstm = nn.LSTM(32, 48, 2, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(96, 10)
        self.transposed = nn.ConvTranspose1d(10, 12, 3, groups=2)
        self.grouped = nn.Conv1d(12, 24, 3, groups=4)
        self.norm = nn.GroupNorm(2, 24)
        self.gru = nn.GRU(24, 16)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x, _ = self.lstm(self.table(tokens))
        x = self.norm(self.grouped(self.transposed(self.linear(x).transpose(1, 2))))
        return self.gru(x.permute(2, 0, 1))[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("bits", [8, 16])
def test_matrices_kernels_and_tables_are_weights(bits: int) -> None:
    module = Sequences()
    tokens = {"tokens": (2, 7)}
    profile = load_module(module.eval(), input_shapes=tokens, witness=False)
    narrow = with_weight_bits(profile, bits)
    expected = {
        name: sum(
            p.numel() * (bits // 8 if key.startswith("weight") and name != "norm" else 4)
            for key, p in part.named_parameters()
        )
        for name, part in module.named_children()
    }
    found = {layer.name: layer.param_bytes for layer in narrow.layers if layer.param_bytes}
    assert found == expected
