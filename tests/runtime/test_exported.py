"""Exported slices run where nothing of ours is installed, and hostile files are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.compiling.onnx import OPSET, on_onnxruntime
from planner.runtime.compiling.programs import programs_of
from planner.runtime.running.program import Compute
from planner.runtime.running.rehearsal import rehearsed
from planner.runtime.running.slices import Slices
from profiles.from_torch.exported_slices import export_slices, load_exported
from tests.runtime import networks, test_compiled
from tests.runtime.cases import random_plan, traced

EXAMPLE = Path(__file__).parents[2] / "examples/run_exported.py"


FAMILIES = ("residual", "norms", "reductions", "transformer", "windows", "inception", "decoder")


def residual() -> Slices:
    subject = traced(networks.Residual(), 1, 3, 16, 16)
    plan = random_plan(subject, [[1.0, 2.0], [1.0, 1.0]], np.random.default_rng(7))
    return slice_model(subject, plan, select=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Slices, Path]:
    slices, folder = residual(), tmp_path_factory.mktemp("exported") / "new" / "folder"
    export_slices(slices, folder)
    return slices, folder


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx_runtime_agrees_with_slices(family: str) -> None:
    slices, inputs = test_compiled.drawn(family)
    programs = on_onnxruntime(programs_of(slices))
    run = rehearsed(programs, inputs)
    assert run.transport.sent_bytes == slices.predicted.sent_bytes
    expected = slices.run(*inputs.values()).outputs
    for name, wanted in zip(slices.output_names, expected, strict=True):
        whole = slices.outputs[name].whole(run.parts(programs, name))
        torch.testing.assert_close(whole, wanted, rtol=1e-4, atol=1e-5)


def test_what_is_read_back_is_the_program(exported: tuple[Slices, Path]) -> None:
    slices, folder = exported
    made = programs_of(slices)
    loaded = {name: load_exported(folder / f"node{n}") for n, name in enumerate(made)}
    for name, program in loaded.items():
        assert vars(program).keys() == vars(made[name]).keys()
        assert (program.node, program.forms) == (name, made[name].forms)
        assert (program.inputs, program.outputs) == (made[name].inputs, made[name].outputs)
        for found, wanted in zip(program.actions, made[name].actions, strict=True):
            fields = vars(found).keys() - {"module"}
            assert {k: getattr(found, k) for k in fields} == {k: getattr(wanted, k) for k in fields}
    inputs = dict(zip(slices.inputs, torch.randn(1, 1, 3, 16, 16), strict=True))
    run = rehearsed(loaded, inputs)
    (name,) = slices.output_names
    whole = slices.outputs[name].whole(run.parts(loaded, name))
    torch.testing.assert_close(whole, slices(*inputs.values()), rtol=1e-4, atol=1e-5)


def test_every_segment_is_a_model_of_the_stated_opset(exported: tuple[Slices, Path]) -> None:
    import onnx

    for place in sorted(exported[1].glob("node*")):
        document = json.loads((place / "program.json").read_text())
        assert document["opset"] == OPSET
        files = [a["segment"] for a in document["actions"] if a["do"] == "compute"]
        assert sorted(files) == sorted(path.name for path in (place / "segments").iterdir())
        for file in files:
            model = onnx.load(place / "segments" / file)
            onnx.checker.check_model(model)
            (opset,) = (item.version for item in model.opset_import if item.domain == "")
            assert opset == OPSET


def test_the_example_runs_without_the_planner(
    exported: tuple[Slices, Path], tmp_path: Path
) -> None:
    """In a process that finds ONNX Runtime and NumPy, but no module of ours; in fifty lines."""
    assert len(EXAMPLE.read_text().splitlines()) <= 50
    slices, folder = exported
    inputs = {"x": torch.randn(1, 3, 16, 16)}
    np.savez(tmp_path / "in.npz", **{name: value.numpy() for name, value in inputs.items()})
    packages = Path(onnxruntime.__file__).parents[1]
    code = (
        "import importlib.util, runpy, sys; sys.path.append(sys.argv.pop(1)); "
        "assert not any(map(importlib.util.find_spec, ('planner', 'profiles'))); "
        "runpy.run_path(sys.argv.pop(1), run_name='__main__'); "
        "assert 'torch' not in sys.modules"
    )
    told = [packages, EXAMPLE, folder, tmp_path / "in.npz", tmp_path / "out.npz"]
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *map(str, told)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    made = np.load(tmp_path / "out.npz", allow_pickle=False)
    (name,) = slices.output_names
    torch.testing.assert_close(
        torch.from_numpy(made[name]), slices(*inputs.values()), rtol=1e-4, atol=1e-5
    )


def test_a_type_that_files_do_not_hold(tmp_path: Path) -> None:
    half = traced(torch.nn.Sequential(torch.nn.Linear(4, 3)).to(torch.bfloat16), 2, 4)
    slices = slice_model(half, random_plan(half, [[1.0]], np.random.default_rng(0)), select=True)
    with pytest.raises(BadInputError, match="'x' is of the type bfloat16; slices are exported in"):
        export_slices(slices, tmp_path)


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot be made"):
        export_slices(residual(), tmp_path / "file" / "folder")


def first(document: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(a for a in document["actions"] if a["do"] == kind)
    return found


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a file elsewhere": (
        lambda d: first(d, "compute").update(segment="../../node1/segments/000.onnx"),
        r"segment: found '\.\./",
    ),
    "an absolute path": (
        lambda d: first(d, "compute").update(segment="/etc/passwd.onnx"),
        "segment: found '/etc",
    ),
    "a hidden file": (lambda d: first(d, "compute").update(segment=".onnx"), "segment: found"),
    "a file that is not there": (
        lambda d: first(d, "compute").update(segment="999.onnx"),
        r"999\.onnx",
    ),
    "an action of no kind": (lambda d: first(d, "post").update(do="exec"), "'exec'"),
    "a value from nowhere": (
        lambda d: first(d, "post").update(value="nothing"),
        "the value 'nothing' is not there",
    ),
    "too many values": (
        lambda d: first(d, "compute")["makes"].append("more"),
        "its model",
    ),
    "no shape": (lambda d: d["values"].clear(), "values: the value .* is not there"),
    "a type of no kind": (
        lambda d: next(iter(d["values"].values())).update(dtype="object"),
        "dtype: found 'object'",
    ),
    "a later version": (lambda d: d.update(schema_version=9), "reads up to 1"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_damaged_documents_are_refused(
    exported: tuple[Slices, Path], tmp_path: Path, case: str
) -> None:
    damage, line = HOSTILE[case]
    copy = shutil.copytree(exported[1] / "node0", tmp_path / "copy")
    document = json.loads((copy / "program.json").read_text())
    damage(document)
    (copy / "program.json").write_text(json.dumps(document))
    with pytest.raises(BadInputError, match=line) as caught:
        load_exported(copy)
    assert "\n" not in str(caught.value)


def test_a_damaged_segment_is_refused(exported: tuple[Slices, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(exported[1] / "node0", tmp_path / "copy")
    (copy / "segments" / "000.onnx").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match=r"000\.onnx: ONNX Runtime cannot read it") as caught:
        load_exported(copy)
    assert "\n" not in str(caught.value)


def test_threads_are_as_many_as_asked_for() -> None:
    programs = {"n0": programs_of(residual())["n0"]}
    program = on_onnxruntime(programs, threads=2)["n0"]
    segment = next(a for a in program.actions if isinstance(a, Compute))
    options = segment.module._session.get_session_options()
    assert options.intra_op_num_threads == 2
