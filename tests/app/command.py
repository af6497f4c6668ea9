"""The ``planner`` command as tests call it, in their own process or in one of its own."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from app.cli import main
from tests.processor_time import HANG_S


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


def planner(*words: str) -> Done:
    """The command's own `main`, without the second that a new interpreter takes."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["planner", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as leaving:
            code = leaving.code or 0
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def planner_process(*words: str, cwd: Path | None = None) -> Done:
    """The command in an interpreter of its own."""
    command = [sys.executable, "-c", "from app.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, cwd=cwd)
    return Done(done.returncode, done.stdout, done.stderr)


def one_line(done: Done) -> str:
    """The single message of a command that failed, without a traceback."""
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert "Traceback" not in done.err
    assert len(lines) == 1, done.err
    assert done.out == ""
    assert lines[0].startswith("planner: ")
    return lines[0]
