"""docs/runtime.md runs as it is printed; a trained plan goes through to slices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from planner.case import Case
from planner.runtime import slice_model
from planner.strategies.baselines import uniform
from planner.training.pruner import Pruner
from profiles.from_torch.runnable import traced_model
from tests.runtime.cases import cluster, example, traced
from tests.runtime.networks import Depthwise

PAGE = Path(__file__).parents[2] / "docs" / "runtime.md"


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(pieces)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    shape, sent, macs = capsys.readouterr().out.splitlines()
    assert shape == "torch.Size([1, 8, 28, 28])"
    # 2 of 8 maps of 30 × 30 in float32 each way; 4 of 8 outputs from 10 of 16 inputs
    assert set(eval(sent).values()) == {2 * 30 * 30 * 4}
    assert set(eval(macs).values()) == {28 * 28 * 9 * 4 * 10}
    x = torch.randn(1, 3, 32, 32)
    assert names["whole"].shape == torch.Size([1, 8, 28, 28])  # type: ignore[attr-defined]
    assert names["run"].transport.sent_bytes == names["slices"].predicted.sent_bytes  # type: ignore[attr-defined]
    torch.testing.assert_close(names["again"](x), names["slices"](x), rtol=0, atol=0)  # type: ignore[operator]


def test_a_pruned_and_finalized_model_is_sliced_as_it_is() -> None:
    model = traced(Depthwise(), 1, 3, 16, 16)
    plan = uniform(Case(model.profile, cluster([1.0, 2.0, 1.0])), 3, 0.8)
    pruner = Pruner(model.module, plan, model.profile, selection="random")
    pruner.prune()
    pruner.finalize()
    again = traced_model(model.module, {"x": (1, 3, 16, 16)})
    inputs = example(again)
    with torch.no_grad():
        expected = again.module(*inputs)
    torch.testing.assert_close(slice_model(again, plan)(*inputs), expected, rtol=1e-5, atol=1e-5)
