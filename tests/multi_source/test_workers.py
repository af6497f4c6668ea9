"""Letters, and two real workers on the loopback."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks.multi_source.__main__ import document, prepare, worker_command
from benchmarks.multi_source.pieces import Letter
from benchmarks.multi_source.setting import Setting
from planner.runtime.running.program import Form
from profiles.from_torch.runnable import traced_model
from scripts.testbed.bed import this_checkout
from scripts.testbed.nodes import VARIABLE as FACTOR
from tests.processor_time import HANG_S


def test_what_is_written_is_read() -> None:
    letter = Letter({"a": Form((2, 3), torch.float32), "b": Form((3,), torch.uint8)})
    values = {"a": torch.randn(2, 3), "b": torch.tensor([1, 2, 255], dtype=torch.uint8)}
    message = letter.written((7, 1 << 40), values)
    assert message.nbytes == letter.size_bytes == letter.empty().nbytes
    assert Letter.numbers(message) == (7, 1 << 40)
    found = letter.values(message)
    assert all(torch.equal(found[name], value) for name, value in values.items())
    assert Letter.numbers(Letter({}).written((-1, 0), None)) == (-1, 0)


def run_workers(folder: Path, setting: Setting) -> None:
    """All workers of a setting as processes on the loopback, their links not shaped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            worker_command(folder),
            env={
                **os.environ,
                **this_checkout(),
                "RANK": str(rank),
                "WORLD_SIZE": str(len(setting.names)),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
                "OMP_NUM_THREADS": "1",
                FACTOR: repr(factor),
            },
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
        )
        for rank, factor in enumerate(setting.factors)
    ]
    try:
        for process in started:
            _, error = process.communicate(timeout=HANG_S)
            assert process.returncode == 0, error.decode()
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_two_workers_do_all_inputs_of_both(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for channels in (3, 16, 16, 16):
        layers += [torch.nn.Conv2d(channels, 16, 3, padding=1), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers).eval()
    traced = traced_model(model, {"x": (1, 3, 64, 64)})
    setting = Setting(
        factors=(2.0, 2.0),
        sources=((0, 1.0, 6), (1, 3.0, 12)),
        bandwidth_bytes_per_s=1e8,
        repeats=2,
    )
    scenario = prepare(traced, setting, tmp_path)
    run_workers(tmp_path, setting)
    found = document(scenario, setting, tmp_path)
    assert [row["policy"] for row in found["rows"]] == ["local", "ar-mdi", "ms-mdi"]
    local, ar_mdi, ms_mdi = found["rows"]
    # workers themselves check every output, and rows that each input was done once
    for row, least, most in ((local, 0, 0), (ar_mdi, 1, 1), (ms_mdi, 0, 1)):
        assert len(row["measured"]) == 2
        for turn in row["measured"]:
            assert least <= turn["distributed"] <= most
            assert 0 < turn["mean_s"] < turn["makespan_s"]
    for worker in found["alone_s"]:
        assert all(set(times) == {"route 0", "route 1", "whole"} for times in worker)
