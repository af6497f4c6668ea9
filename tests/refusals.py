"""A plugin of pytest: every refusal of a loader or a validator, and whether some test reaches it.

`make refusals` runs the tests of what reads files, documents and words under coverage.py's branch
coverage, that of the limited children included, and fails where

- a `raise` is never reached, or
- an `if` whose branch ends in a `raise` goes the same way every time.

A child may write no file (`profiles.sandbox`); it sends what it covered through a socket.
"""

from __future__ import annotations

import ast
import json
import os
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage, CoverageData
from coverage.exceptions import CoverageWarning

from profiles import sandbox

REPO = Path(__file__).parents[1]
SCOPE = (
    "profiles",
    "planner/domain",
    "planner/accuracy",
    "planner/units.py",
    "planner/quantise.py",
    "planner/reshape.py",
    "planner/measure/fit.py",
    "planner/measure/join.py",
    "planner/measure/parts.py",
    "planner/runtime/documents.py",
    "planner/runtime/pattern_documents.py",
    "planner/runtime/compiling/exported.py",
    "planner/simulation/scenario.py",
    "app/asking.py",
    "app/export.py",
    "app/inputs.py",
    "app/kinds.py",
    "app/options.py",
    "app/question.py",
    "app/run_inputs.py",
    "app/scenarios.py",
    "app/commands",
    "app/page/address.py",
    "app/page/source_rows.py",
    "app/page/source_text.py",
)
"""What reads what strangers write."""
OF_OURS = ("AssertionError", "NotImplementedError", "TypeError")
"""Raised for mistakes of this project, which nobody's file or words make."""

_LENGTH_BYTES = 8
_FOLDER, _SOCKET = "REFUSALS_FOLDER", "REFUSALS_SOCKET"
_BOOT = """\
import json, sys
spec = json.loads(sys.argv[1])
sys.path[:] = spec["path"]
from tests.refusals import covered_child
covered_child(spec)
"""


@dataclass(frozen=True)
class Refusal:
    """A `raise`, or an `if` that decides on one, that no test reaches both ways."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def covered_child(spec: dict[str, Any]) -> None:
    """What a limited child does in place of `profiles.sandbox.serve`."""
    coverage = _coverage(None)
    coverage.start()
    try:
        sandbox.serve(spec)
    finally:
        coverage.stop()
        covered = coverage.get_data().dumps()
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(os.environ[_SOCKET])
            line.sendall(len(covered).to_bytes(_LENGTH_BYTES, "little") + covered)


def _coverage(data_file: Path | None) -> Coverage:
    return Coverage(
        data_file=None if data_file is None else str(data_file),
        branch=True,
        config_file=False,
        source=[str(REPO / "profiles"), str(REPO / "planner"), str(REPO / "app")],
        messages=False,
    )


class _Listener:
    """Takes what children covered."""

    def __init__(self, folder: Path) -> None:
        self.found: list[bytes] = []
        path = str(folder / f"{os.getpid()}.socket")
        os.environ[_SOCKET] = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen(64)
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            line, _ = self._server.accept()
            with line, line.makefile("rb") as file:
                length, covered = file.read(_LENGTH_BYTES), file.read()
            if len(covered) == int.from_bytes(length, "little") > 0:
                self.found.append(covered)  # a child that is killed meanwhile sends a part of it


class _Covering:
    """Measures one process of pytest's, and reports in the one that others work for."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_worker = hasattr(config, "workerinput")
        if not self._is_worker:
            os.environ[_FOLDER] = tempfile.mkdtemp(prefix="refusals-")
        self._folder = Path(os.environ[_FOLDER])
        self._listener = _Listener(self._folder)
        sandbox._BOOT = _BOOT
        self._coverage = _coverage(self._folder / f"covered.{os.getpid()}")
        self._coverage.start()
        self.left: list[Refusal] = []
        self.total = 0

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._coverage.stop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)  # workers may have run all there was
            own = self._coverage.get_data()
        for text in self._listener.found:
            of_child = CoverageData(no_disk=True)
            of_child.loads(text)
            own.update(of_child)
        self._coverage.save()
        if not self._is_worker:
            self.total, self.left = unreached(self._folder)
            if self.left and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section(f"{self.total} refusals, {len(self.left)} of them not reached")
        for refusal in self.left:
            terminalreporter.line(str(refusal))


def pytest_configure(config: pytest.Config) -> None:
    """Begin to measure."""
    config.pluginmanager.register(_Covering(config), "refusals of this process")


def unreached(folder: Path) -> tuple[int, list[Refusal]]:
    """How many refusals there are in `SCOPE`, and those that no process reached."""
    coverage = _coverage(folder / "all")
    coverage.combine([str(path) for path in folder.glob("covered.*")], keep=True)
    report = folder / "report.json"
    coverage.json_report(outfile=str(report))
    covered = json.loads(report.read_text())["files"]
    total, left = 0, []
    for path in _files():
        name = str(path.relative_to(REPO))
        known = covered[next(key for key in covered if (REPO / key) == path)]
        missing = set(known["missing_lines"])
        one_way = {start for start, _ in known["missing_branches"]}
        for line, what, raises in refusals_of(path.read_text()):
            total += line in raises
            if raises & missing if line in raises else line in one_way and not raises & missing:
                left.append(Refusal(name, line, what))
    return total, left


def _files() -> Iterator[Path]:
    for name in SCOPE:
        path = REPO / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def refusals_of(source: str) -> Iterator[tuple[int, str, set[int]]]:
    """Every `raise` for others, and every `if` that decides on one.

    Yields
    ------
    (int, str, set of int)
        Its line, its text, and the lines of the `raise` that it is or decides on.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and _refuses(node):
            yield node.lineno, ast.unparse(node)[:100], {node.lineno}
        elif isinstance(node, ast.If):
            ends = [branch[-1] for branch in (node.body, node.orelse) if branch]
            if raises := {end.lineno for end in ends if _refuses(end)}:
                yield node.lineno, f"if {ast.unparse(node.test)[:80]}: one way only", raises


def _refuses(node: ast.AST) -> bool:
    if not isinstance(node, ast.Raise) or node.exc is None:
        return False
    made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return not (isinstance(made, ast.Name) and made.id in OF_OURS)
