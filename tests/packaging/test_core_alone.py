"""The core's tests need the core's libraries, and nothing that the front ends or the page bring."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.packaging.distributions import modules_outside, required

REPO = Path(__file__).parents[2]
ENOUGH = ["highspy", "hypothesis", "numpy", "pulp", "pydantic", "pytest", "scipy"]
COLLECT = """
import json, sys

class Hidden:
    def __init__(self, names): self.names = set(names)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"hidden from the core: {name}", name=name)

sys.meta_path.insert(0, Hidden(json.loads(sys.argv[1])))
import pytest
sys.exit(pytest.main([*sys.argv[2:], "-p", "_hypothesis_pytestplugin"]))
"""


def with_the_core_alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest where every other module of this environment cannot be imported."""
    hidden = modules_outside(required(ENOUGH)) - {"planner", "profiles"} | {"app"}
    assert {"onnx", "playwright", "streamlit", "torch"} <= hidden
    return subprocess.run(
        [sys.executable, "-c", COLLECT, json.dumps(sorted(hidden)), *arguments],
        cwd=REPO,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_core_s_tests_are_collected_without_any_other_library() -> None:
    done = with_the_core_alone("tests/planner", "--collect-only", "-q")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    for path in (REPO / "tests" / "planner").glob("test_*.py"):
        assert f"tests/planner/{path.name}::" in done.stdout


def test_what_is_hidden_cannot_be_imported() -> None:
    done = with_the_core_alone("tests/page/test_browser.py", "--collect-only", "-q")
    assert "hidden from the core: " in done.stdout + done.stderr
    assert done.returncode != 0
