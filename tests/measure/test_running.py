"""Operators really run, links are really measured between processes; nothing here asks how fast."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from planner.errors import BadInputError
from planner.measure.fit import fit_samples
from planner.measure.parts import LinkMeasurement
from planner.measure.running.links import environment
from planner.measure.running.operators import (
    _TorchOperators,
    engine_label,
    module_runnable,
    on_threads,
    run_shapes,
    timed,
)
from planner.measure.shapes import Op, Shape, smallest_like, standard_shapes
from profiles.files import read_document
from profiles.from_torch.frontend import profile_module
from tests.processor_time import HANG_S

ONE_OF_EACH = {(shape.kind, shape.op): smallest_like(shape) for shape in standard_shapes()}
REPO = Path(__file__).parents[2]
ONE_NODE = """
import sys
from pathlib import Path
from planner.errors import PlannerError
from planner.measure.running.links import measure_links
from profiles.files import document_text
try:
    found = measure_links(name=sys.argv[1], time_limit_s=float(sys.argv[2]), long_enough_s=0.001)
except PlannerError as error:
    sys.exit(f"planner: {error}")
if found:
    Path(sys.argv[3]).write_text(document_text(found))
"""


LEAVING = (
    """
import os
from planner.measure.running.links import _Measuring
_Measuring._size = lambda *_: os._exit(9)
"""
    + ONE_NODE
)


def test_a_tiny_operator_of_each_sort_runs() -> None:
    shapes = list(ONE_OF_EACH.values())
    threads = torch.get_num_threads()
    told: list[str] = []
    samples, times = run_shapes(shapes, enough=4, watch=told.append)
    assert torch.get_num_threads() == threads
    assert [sample.shape for sample in samples] == [str(shape) for shape in shapes]
    assert {sample.repeats for sample in samples} == {4}
    assert all(0 < sample.low_s <= sample.seconds <= sample.high_s for sample in samples)
    assert times.complete
    assert len(times.pass_factors) == 4
    assert told[-1].startswith("pass 4 of 4")


def test_a_measurement_that_ends_early_says_so() -> None:
    _, times = run_shapes(list(ONE_OF_EACH.values())[:2], time_limit_s=0.0)
    assert not times.complete


@pytest.mark.parametrize(
    "shape",
    [one for one in standard_shapes() if one.op in ("conv", "linear") and one.macs < 3e7],
    ids=str,
)
def test_shapes_count_as_profiles_do(shape: Shape) -> None:
    module, inputs = _TorchOperators().made(shape)
    profile = profile_module(module, {"x": tuple(inputs[0].shape)}, name="one", witness=False)
    (layer,) = [layer for layer in profile.layers if layer.macs]
    assert layer.macs == shape.macs
    assert layer.param_bytes + layer.input_bytes + layer.output_bytes == shape.touched_bytes


def test_a_few_operators_give_a_node() -> None:
    wanted: tuple[Op, ...] = ("linear", "add", "copy")
    shapes = [shape for shape in standard_shapes() if shape.op in wanted and shape.macs < 1e7]
    samples, times = run_shapes(shapes, enough=3)
    found = fit_samples(
        "here",
        samples,
        source="test",
        measured_at="now",
        pass_factors=times.pass_factors,
        resamplings=5,
    )
    assert found.node.macs_per_s > 0
    assert found.node.macs_per_s_by_kind.keys() == {"linear"}
    assert {figure.key for figure in found.figures} >= {"memory_bytes_per_s", "layer_overhead_s"}


def test_a_network_without_weights_gets_some() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3), nn.LayerNorm(3))
    runnable = module_runnable(network, {"ids": (1, 5)}, {"ids": "int64"})
    with on_threads(1):
        output = runnable.run()
        timed([runnable], deadline=time.monotonic(), enough=1)
    assert isinstance(output, torch.Tensor)
    assert output.isfinite().all()


def test_engines_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_label("torch").startswith("torch 2.")
    with pytest.raises(BadInputError, match="there are torch, onnxruntime"):
        engine_label("abacus")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BadInputError, match="onnxruntime is not installed; pip install"):
        engine_label("onnxruntime")


def test_operators_run_in_onnxruntime_too() -> None:
    pytest.importorskip("onnxruntime")
    samples, _ = run_shapes(list(ONE_OF_EACH.values()), engine="onnxruntime", enough=3)
    assert len(samples) == len(ONE_OF_EACH)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(
    rank: int,
    world: int,
    port: int,
    name: str,
    out: Path,
    time_limit_s: float = 200.0,
    program: str = ONE_NODE,
) -> subprocess.Popen[str]:
    variables = {
        "RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(REPO),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", program, name, str(time_limit_s), str(out)],
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "names", [("near", "far"), pytest.param(("one", "one", "two"), marks=pytest.mark.slow)]
)
def test_links_between_processes(names: tuple[str, ...], tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "links.json"
    nodes = [start(rank, len(names), port, name, out) for rank, name in enumerate(names)]
    for one in nodes:
        _, errors = one.communicate(timeout=HANG_S)
        assert one.returncode == 0, errors
    found = read_document(out, LinkMeasurement, what="links part")
    assert found.complete
    assert found.names == (("near", "far") if len(names) == 2 else ("one-0", "one-1", "two"))
    assert len(found.pairs) == len(names) * (len(names) - 1) // 2
    assert len(found.together) == (len(names) > 2)


def test_a_node_that_never_comes_is_named(tmp_path: Path) -> None:
    alone = start(0, 2, free_port(), "near", tmp_path / "links.json", time_limit_s=1.0)
    _, errors = alone.communicate(timeout=HANG_S)
    assert alone.returncode == 1
    assert "planner: rank 1 did not answer within 1 s; nothing was written" in errors
    assert not (tmp_path / "links.json").exists()


def test_a_node_that_stops_is_named(tmp_path: Path) -> None:
    """It leaves in the middle of a transfer, as one that loses power does."""
    port, out = free_port(), tmp_path / "links.json"
    near = start(0, 2, port, "near", out)
    far = start(1, 2, port, "far", out, program=LEAVING)
    _, errors = near.communicate(timeout=HANG_S)
    far.communicate(timeout=HANG_S)
    assert (near.returncode, far.returncode) == (1, 9)
    assert "planner: far stopped answering; nothing was written: " in errors
    assert not out.exists()


def test_links_without_torchrun_say_how_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInputError, match="under torchrun, such as: torchrun --nnodes 2"):
        environment()
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "a")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(BadInputError, match="found one process"):
        environment()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(BadInputError, match="whole numbers"):
        environment()
