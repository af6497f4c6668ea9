"""Inputs and outputs of runs, and what the command says of a small model from its plan on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import load_file, save_file
from torch.distributed.run import get_args_parser

from app.cli import cli
from app.run_inputs import Outputs, drawn_inputs, read_inputs
from planner.case import Case
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.run.measured import Measured
from planner.runtime.running.program import Form
from planner.strategies.baselines import uniform
from profiles.catalog import load_cluster
from profiles.files import document_text, read_document
from profiles.from_torch import saved_slices
from profiles.from_torch.runnable import traced_model
from profiles.from_torch.saved_slices import load_slices
from tests.app.command import one_line, planner
from tests.processor_time import HANG_S
from tests.run.team import REPO, ended
from tests.runtime import networks

ONE = {"x": Form((1, 3, 16, 16), torch.float32)}
TWO = {"ids": Form((1, 4), torch.int64), "mask": Form((1, 4), torch.int64)}
SOURCE = "tests.runtime.networks:Residual"
SHAPE = "x=1,3,16,16"


def saved(path: Path, value: object) -> Path:
    np.save(path, np.asarray(value))
    return path


def test_inputs_of_files_are_what_was_saved(tmp_path: Path) -> None:
    x = torch.randn(1, 3, 16, 16)
    one = saved(tmp_path / "a.npy", x.numpy())
    save_file({"x": x * 2}, tmp_path / "b.safetensors")
    found = read_inputs([one, tmp_path / "b.safetensors"], ONE)
    assert [torch.equal(item["x"], x * k) for k, item in enumerate(found, 1)] == [True, True]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (np.zeros((1, 3, 16, 15), np.float32), "shape"),
        (np.zeros((1, 3, 16, 16)), "type float64"),
        (np.full((1, 3, 16, 16), np.nan, np.float32), "holds NaN or infinity"),
        (np.full((1, 3, 16, 16), np.inf, np.float32), "holds NaN or infinity"),
        (np.array([{"a": 1}], dtype=object), "cannot be read"),
        (np.array(["text"]), "cannot be read"),
    ],
)
def test_other_inputs_are_refused(tmp_path: Path, value: object, line: str) -> None:
    with pytest.raises(BadInputError, match=line) as caught:
        read_inputs([saved(tmp_path / "a.npy", value)], ONE)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"nothing")
    save_file({"y": torch.zeros(1)}, tmp_path / "b.safetensors")
    for name, line in (("a.npy", "cannot be read"), ("b.safetensors", "the model reads x")):
        with pytest.raises(BadInputError, match=line):
            read_inputs([tmp_path / name], ONE)
    for name, line in (("a.pt", r"\.npy or \.safetensors"), ("none.npy", "no such file")):
        with pytest.raises(BadInputError, match=line):
            read_inputs([tmp_path / name], ONE)
    os.mkfifo(tmp_path / "pipe.npy")
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe.npy", "pipe.safetensors", "folder.safetensors"):
        with pytest.raises(BadInputError, match="is a folder or a device"):
            read_inputs([tmp_path / name], ONE)
    with pytest.raises(BadInputError, match="the model reads ids, mask"):
        read_inputs([saved(tmp_path / "c.npy", np.zeros((1, 4), np.int64))], TWO)


def test_drawn_inputs_are_the_same_for_one_seed() -> None:
    first, again, other = (drawn_inputs(2, ONE | TWO, seed) for seed in (1, 1, 2))
    assert all(
        torch.equal(a[name], b[name]) for a, b in zip(first, again, strict=True) for name in a
    )
    assert not torch.equal(first[0]["x"], other[0]["x"])
    assert not torch.equal(first[0]["x"], first[1]["x"])
    assert first[0]["mask"].all() and first[0]["ids"].max() < 8


def test_outputs_are_written_once_and_nan_is_told(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "new", lambda run: run - 1 if 0 < run < 3 else None)
    for run in range(5):
        outputs(run, {"y": torch.full((2,), float(run)), "z": torch.tensor([run / 2.0])})
    assert [path.name for path in outputs.written] == [
        "output-0001.safetensors",
        "output-0002.safetensors",
    ]
    assert torch.equal(load_file(outputs.written[1])["y"], torch.full((2,), 2.0))
    outputs(1, {"y": torch.tensor([np.nan])})
    assert outputs.notes == ["output 'y' of input 1 holds NaN or infinity"]


def test_a_folder_that_cannot_take_outputs_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "output-0001.safetensors").mkdir()
    with pytest.raises(BadInputError, match="is a folder or a device"):
        Outputs(tmp_path, lambda run: run)
    given = tmp_path / "given"
    given.mkdir()
    first, second = given / "output-0001.safetensors", given / "output-0002.safetensors"
    first.touch()
    second.touch()
    Outputs(given, lambda run: run, [second])  # only one is written
    for inputs in ([first], [first, second], [tmp_path / "x.npy", second]):
        with pytest.raises(BadInputError, match="there is an --input; name another folder"):
            Outputs(given, lambda run: run, inputs)


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = traced_model(networks.Residual().eval(), {"x": (1, 3, 16, 16)}, name="Residual")
    plan = uniform(Case(model.profile, load_cluster("small-nodes")), nodes=2, sparsity=0.5)
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    path.write_text(document_text(plan))
    return path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_from_a_plan_to_outputs_under_torchrun(plan_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    model = ("--model", SOURCE, "--input-shape", SHAPE)
    done = planner("slice", str(plan_file), *model, "--to", str(folder))
    assert done.code == 0 and "slices of Residual" in done.err, done.err
    slices = load_slices(folder)
    x = torch.randn(1, 3, 16, 16)
    given = saved(tmp_path / "x.npy", x.numpy())
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "2"),
        *("--master-addr", "127.0.0.1", "--master-port", str(free_port())),
        *("-m", "planner.run", str(plan_file), "--slices", str(folder), "--host", "127.0.0.1"),
        *("--input", str(given), "--output-dir", str(tmp_path / "out"), "--timeout-s", "300"),
        *("--measure", str(tmp_path / "m.json"), "--repeats", "3", "--warmup", "1"),
    ]
    variables = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    ((code, out, err),) = ended(
        [
            subprocess.Popen(
                command,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        ]
    )
    assert code == 0, err
    (written,) = (tmp_path / "out").iterdir()
    ((_, found),) = load_file(written).items()
    torch.testing.assert_close(found, slices(x), rtol=1e-5, atol=1e-5)
    measured = read_document(tmp_path / "m.json", Measured, what="run")
    plan = read_document(plan_file, Plan, what="plan")
    assert (measured.runs, measured.warmup, measured.plan_digest) == (3, 1, plan.digest)
    assert measured.predicted_latency_s == pytest.approx(plan.predicted.latency_s)
    assert measured.payload and measured.payload_as_planned
    timed = planner("profile", SOURCE, "--input-shape", SHAPE, "--attach", str(tmp_path / "m.json"),
                    "-o", str(tmp_path / "timed.json"))  # fmt: skip
    assert timed.code == 0, timed.err
    check_attached(read_document(tmp_path / "timed.json", ModelProfile, what="profile"), measured)
    other = planner("profile", "resnet50", "--attach", str(tmp_path / "m.json"))
    assert other.code == 2 and "the run is of Residual, the profile of resnet50" in other.err
    assert out.startswith("Residual on small-nodes: measured ") and "as planned" in out
    assert "all" in out and "Traceback" not in err


def test_what_is_cut_for_onnx_runtime_runs_in_the_example(plan_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    words = ("slice", str(plan_file), "--model", SOURCE, "--input-shape", SHAPE, "--to")
    for place, more in (("torch", ()), ("onnx", ("--onnx",))):
        done = planner(*words, str(tmp_path / place), *more)
        assert done.code == 0, done.err
    x = torch.randn(1, 3, 16, 16)
    np.savez(tmp_path / "in.npz", x=x.numpy())
    example = str(REPO / "examples/run_exported.py")
    told = [str(tmp_path / name) for name in ("onnx", "in.npz", "out.npz")]
    subprocess.run([sys.executable, example, *told], check=True, timeout=HANG_S)
    (found,) = np.load(tmp_path / "out.npz", allow_pickle=False).values()
    expected = load_slices(tmp_path / "torch")(x)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)


def check_attached(timed: ModelProfile, measured: Measured) -> None:
    """Whole layers' times are their parts' in proportion to MACs, all of what segments took."""
    told = {item.layer: item for item in measured.layers}
    for layer in timed.layers:
        seconds = layer.measured_s.get("small-node")
        assert (seconds is not None) == (layer.name in told) == (layer.macs > 0)
        if seconds is not None:
            part = told[layer.name]
            assert part.macs > 0
            assert seconds == pytest.approx(part.seconds * layer.macs / part.macs)
    # nodes without a memory bandwidth: layers without MACs take none of it
    computing = [x for x in measured.segments if told.keys() & set(x.stretches)]
    whole = sum(item.measured.median_s for item in computing)
    assert sum(item.seconds for item in measured.layers) == pytest.approx(whole)


def test_a_model_that_is_not_the_plans_is_refused(plan_file: Path, tmp_path: Path) -> None:
    other = ("--model", "tests.runtime.networks:Dense", "--input-shape", "x=1,3,8,8")
    done = planner("slice", str(plan_file), *other, "--to", str(tmp_path))
    assert done.code == 2 and "the plan is for 'Residual'" in done.err
    done = planner("slice", str(plan_file), "--to", str(tmp_path))
    assert done.code == 2 and "no catalogue model; give what it was made for, " in done.err
    assert ".onnx and .pt2 files can be profiled and planned, not run" in done.err


def test_weights_of_a_file(plan_file: Path, tmp_path: Path) -> None:
    model = networks.Residual()
    state = model.state_dict()
    model_words = ("--model", SOURCE, "--input-shape", SHAPE, "--to", str(tmp_path / "s"))

    def cut(content: dict[str, torch.Tensor], *words: str) -> tuple[int, str]:
        save_file(content, tmp_path / "w.safetensors")
        weights = ("--weights", str(tmp_path / "w.safetensors"))
        done = planner("slice", str(plan_file), *model_words, *weights, *words)
        return done.code, done.err

    code, err = cut(state)
    assert code == 2 and "weights other than zero" in err, err
    assert cut(state, "--select")[0] == 0
    x = torch.randn(1, 3, 16, 16)
    slices = load_slices(tmp_path / "s")
    dense = planner("slice", str(plan_file), *model_words)  # random ones, of another seed
    assert dense.code == 0
    assert not torch.allclose(slices(x), load_slices(tmp_path / "s")(x))
    missing = {name: value for name, value in state.items() if name != "head.bias"}
    assert cut(missing, "--select")[1].count("have no tensor 'head.bias'")
    assert (
        "the model has no parameter 'more'" in cut(state | {"more": torch.zeros(1)}, "--select")[1]
    )
    assert cut(state | {"head.bias": torch.zeros(9)}, "--select")[0] == 2
    os.mkfifo(tmp_path / "p.safetensors")
    pipe = ("--weights", str(tmp_path / "p.safetensors"))
    done = planner("slice", str(plan_file), *model_words, *pipe)
    assert done.code == 2 and "p.safetensors: is a folder or a device" in done.err
    torch.save(state, tmp_path / "w.pt")
    done = planner("slice", str(plan_file), *model_words, "--weights", str(tmp_path / "w.pt"))
    assert done.code == 2 and "give a .safetensors file" in done.err


def test_slices_are_whole_or_none(
    plan_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("slice", str(plan_file), "--model", SOURCE, "--input-shape", SHAPE, "--to")
    assert planner(*words, str(tmp_path)).code == 0
    write = saved_slices.write_atomically

    def full(path: Path, content: str | bytes) -> None:
        if path.name == "node1.json":
            raise BadInputError("the disk is full")
        write(path, content)

    monkeypatch.setattr(saved_slices, "write_atomically", full)
    assert planner(*words, str(tmp_path), "--seed", "1").code == 2
    with pytest.raises(BadInputError, match=r"slices\.json: no such file"):
        load_slices(tmp_path)  # weights of both seeds lie there


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("asyncio:get_running_loop", "cannot be called: RuntimeError: no running event loop"),
        ("operator:add", "cannot be called: TypeError: "),
        ("operator:nothing", "has no attribute 'nothing'"),
        ("os:getpid", "returned int"),
    ],
)
def test_own_code_that_fails_is_one_line(
    plan_file: Path, tmp_path: Path, source: str, line: str
) -> None:
    done = planner("slice", str(plan_file), "--model", source, "--to", str(tmp_path / "s"))
    assert done.code == 2 and line in one_line(done)
    assert not (tmp_path / "s").exists()


def options_of(*names: str) -> Iterator[str]:
    command: Any = typer.main.get_command(cli)
    for name in names:
        command = command.commands[name]
    for parameter in command.params:
        yield from (text for text in parameter.opts if text.startswith("-"))


@pytest.mark.parametrize(
    ("words", "names"),
    [(("-m", "planner.run"), ("run",)), (("--no-python", "planner"), ("measure", "links"))],
)
def test_torchrun_hands_every_option_on(words: tuple[str, ...], names: tuple[str, ...]) -> None:
    parser = get_args_parser()  # takes the beginning of a name of its own for the whole, anywhere
    given = set(options_of(*names)) - {"--local"}  # without torchrun
    assert {"--name", "--format"} <= given
    for option in given:
        found = parser.parse_args([*words, *names[1:], option, "x"])
        assert found.training_script_args[-2:] == [option, "x"]
