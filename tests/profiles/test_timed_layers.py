"""Layers of a module are timed where they stand in its run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from planner.domain.cluster import Node
from planner.errors import BadInputError
from planner.measure.parts import LayerSample, ModelTime, NodeMeasurement
from planner.measure.running.operators import on_threads
from profiles.from_torch.runnable import traced_model
from profiles.from_torch.timed_layers import layer_times
from profiles.measured import read_times
from tests.processor_time import HANG_S

RUNS = 30


class Net(nn.Module):
    """A convolution with its batch norm, an addition, and a product that takes far longer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.large = nn.Linear(2048, 4096)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute."""
        made = torch.relu(self.norm(self.conv(x)))
        return self.large(made.flatten(1)) + 1.0  # type: ignore[no-any-return]


def test_every_call_but_the_folded_one_has_a_time_in_every_run() -> None:
    traced = traced_model(Net(), {"x": (1, 3, 16, 16)})
    before = {name: value.clone() for name, value in traced.module.state_dict().items()}
    # One thread, as a node is measured: where others have the cores, a second thread makes every
    # parallel loop wait for its turn. The fastest of many runs is one that nothing disturbed.
    with on_threads(1):
        found = layer_times(traced, deadline=time.monotonic() + HANG_S, enough=RUNS)
    names = [layer.name for layer in traced.profile.layers]
    assert set(names) - set(found) == {"norm"}
    assert all(times.shape == (RUNS,) and (times > 0).all() for times in found.values())
    fastest = {name: times.min() for name, times in found.items()}
    assert max(fastest, key=lambda name: fastest[name]) == "large"
    for name, value in traced.module.state_dict().items():  # folding changed a copy
        assert torch.equal(value, before[name])


def test_one_run_is_made_after_the_time_is_up() -> None:
    traced = traced_model(Net(), {"x": (1, 3, 16, 16)})
    assert len(layer_times(traced, deadline=0.0, enough=5)["large"]) == 1


def test_times_of_a_node_are_attached_to_its_model(tmp_path: Path) -> None:
    profile = traced_model(Net(), {"x": (1, 3, 16, 16)}).profile
    view = next(layer.name for layer in profile.layers if layer.op == "reshape")
    kinds = {layer.name: layer.kind for layer in profile.layers}
    samples = tuple(
        LayerSample(
            layer=name, kind=kinds[name], seconds=second, low_s=0.0, high_s=9.0, predicted_s=0.0
        )
        for name, second in (("conv", 0.5), ("large", 0.25), (view, 0.1))
    )
    part = NodeMeasurement(
        part="node",
        complete=True,
        name="desk",
        host="desk",
        engine="torch",
        threads=1,
        measured_at="2026-01-02",
        node=Node(name="desk", macs_per_s=1e9, device_type="board"),
        figures=(),
        models=(ModelTime(model="Net", measured_s=1.0, layers=samples),),
    )
    path = tmp_path / "desk.json"
    path.write_text(part.model_dump_json())
    assert kinds[view] is None  # a view costs nothing in any plan
    assert read_times(path, profile) == {"conv": {"board": 0.5}, "large": {"board": 0.25}}
    other = profile.model_copy(update={"name": "Other"})
    with pytest.raises(BadInputError, match=r"desk\.json: has no times of the layers of Other"):
        read_times(path, other)
