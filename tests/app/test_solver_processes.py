"""Solving leaves no process and no file behind, not even when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processor_time import ended

REPO = Path(__file__).parents[2]
PROGRAM = "from app.cli import main; main()"
LONG = "plan deit-s --max-nodes 8 --objective throughput --solver ilp --time-limit 60"


def children(pid: int) -> list[str]:
    """Child processes of all threads of a process."""
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_solver_leaves_nothing(how: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM, *LONG.split()]
    solving = subprocess.Popen(
        command,
        cwd=REPO,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        time.sleep(6)  # HiGHS is at work by then
        assert solving.poll() is None
        assert children(solving.pid) == []
        solving.send_signal(how)
        assert ended(solving, within_s=10) != 0
    finally:
        solving.kill()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(solving.pid, 0)
