"""Long work on a terminal: the line that says so, and Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.progress import DELAY_S, leavable
from planner.errors import BadInputError
from tests.processor_time import HANG_S, process_s

CLI = ("-c", "from app.cli import main; main()")
LEAVES_S = 10.0  # of processor time, from Ctrl-C to the end

# A market split, six sums to be hit at once: HiGHS needs hours, and Python hears nothing meanwhile.
ENDLESS = """
import random
import app.commands.planning as command
from app.cli import main
from planner.solve.milp import Milp

def endless(*_):
    random.seed(1)
    milp = Milp()
    chosen = [milp.add_variable(upper=1, integer=True) for _ in range(50)]
    for _ in range(6):
        sizes = [random.randrange(100) for _ in chosen]
        milp.add_row(list(zip(chosen, sizes)), "==", sum(sizes) // 2)
    return milp.solve()

command.optimise = endless
main()
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def on_terminal(*words: str, interrupt_when: Callable[[str], bool] | None = None) -> Done:
    """Run Python with standard error on a terminal, and interrupt it once that shows something."""
    ours, theirs = pty.openpty()
    mark = secrets.token_hex(8)
    environment = {**os.environ, "TERM": "xterm", "OF_TEST": mark}
    command = [sys.executable, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        seen, interrupted_at, deadline = b"", None, time.monotonic() + HANG_S
        try:
            while time.monotonic() < deadline:
                if select.select([ours], [], [], 0.1)[0]:
                    try:
                        seen += os.read(ours, 65536)
                    except OSError:  # Linux's word for the other end is closed
                        break
                if interrupted_at is not None:
                    assert process_s(process.pid) - interrupted_at < LEAVES_S, seen[-500:]
                elif interrupt_when and interrupt_when(seen.decode(errors="replace")):
                    process.send_signal(signal.SIGINT)
                    interrupted_at = process_s(process.pid)
            assert time.monotonic() < deadline, seen[-500:]
        finally:
            process.kill()
            os.close(ours)
        assert process.stdout
        out = process.stdout.read().decode()
    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if mark in environ(path)]
    return Done(process.returncode, out, seen.decode())


def environ(path: Path) -> str:
    """Of a process, which may have ended meanwhile."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def script(seconds: float, delay_s: float = DELAY_S) -> str:
    return (
        f"import time\nfrom app import progress\nprogress.DELAY_S = {delay_s}\n"
        "with progress.working('counting [b]sheep[/b]\\x1b'):\n"
        f"    time.sleep({seconds})\nprint('done')\n"
    )


def test_long_work_shows_a_line_that_is_gone_in_the_end() -> None:
    done = on_terminal("-c", script(1.2))
    assert (done.code, done.out) == (0, "done\n")
    assert "counting [b]sheep[/b]\\x1b" in done.err
    assert done.err.endswith("\x1b[2K"), "the line is erased"
    assert "\x1b[?25h" in done.err, "the cursor is back"


def test_short_work_shows_nothing() -> None:
    short_s = 0.05
    assert short_s < DELAY_S
    # With a delay that not even a busy machine makes of it.
    assert on_terminal("-c", script(short_s, HANG_S)) == Done(0, "done\n", "")


def test_without_a_terminal_nothing_is_written() -> None:
    for extra in ({}, {"FORCE_COLOR": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", script(0.8)],
            capture_output=True,
            text=True,
            env={**os.environ, **extra},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_json_stays_alone_on_standard_output_while_the_line_shows(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time, torch\ndef build():\n    time.sleep(1)\n    return torch.nn.Linear(3, 4)\n",
        encoding="utf-8",
    )
    words = ("profile", "slow:build", "--input-shape", "x=1,3", "--format", "json")
    code = f"import os; os.chdir({str(tmp_path)!r}); {CLI[1]}"
    done = on_terminal("-c", code, *words)
    assert done.code == 0, done.err
    assert json.loads(done.out)["totals"]["macs"] == 12
    assert "profiling slow:build" in done.err


def test_ctrl_c_inside_the_solver_is_one_line_and_130() -> None:
    done = on_terminal(
        *("-c", ENDLESS, "plan", "resnet50"),
        interrupt_when=lambda text: "planning resnet50" in text,
    )
    assert (done.code, done.out) == (130, "")
    assert done.err.endswith("planner: interrupted\r\n")
    assert "Traceback" not in done.err
    assert done.err.rindex("\x1b[?25h") > done.err.rindex("planning resnet50"), "the cursor is back"


def test_ctrl_c_while_a_child_reads_a_file_leaves_no_child(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "bert", "num_hidden_layers": 200}', encoding="utf-8")
    done = on_terminal(
        *(*CLI, "profile", str(config)),
        interrupt_when=lambda text: "profiling" in text,
    )
    assert (done.code, done.out) == (130, "")
    assert done.err.endswith("planner: interrupted\r\n")
    assert "Traceback" not in done.err


def test_what_the_work_raises_or_returns_comes_through() -> None:
    with pytest.raises(BadInputError, match="text is too short"):
        leavable(refuse, "text", why="too short")
    assert leavable(max, 3, 5) == 5


def refuse(what: str, *, why: str) -> None:
    raise BadInputError(f"{what} is {why}")
