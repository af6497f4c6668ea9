"""What a command imports before it works: nothing that it may not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.processor_time import HANG_S

PROGRAM = """
import json, sys
sys.argv = ["planner", *json.loads(sys.argv[1])]
from app.cli import main
try:
    main()
finally:
    sys.stderr.write("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
    sys.stderr.write("\\n" + json.dumps(sorted(sys.modules)))
"""
HEAVY = {
    *("torch", "transformers", "onnx", "onnxslim", "onnxruntime", "fvcore", "numba", "sklearn"),
    *("streamlit", "plotly", "pandas", "PIL", "scipy", "pulp", "highspy", "skimage"),
}


def imported(*words: str) -> tuple[set[str], set[str]]:
    """Packages and modules."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    packages, modules = done.stderr.splitlines()[-2:]
    return set(json.loads(packages)), set(json.loads(modules))


@pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("profile", "resnet50"),
        ("plan", "no-such-model"),
        ("plan", "resnet50-eighth", "--nodes", "1", "--no-next-steps"),
        ("compare", "no-such-model"),
        ("report", "no-such-plan.json"),
        ("catalog", "links"),
        ("cluster", "new", "--help"),
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_nothing_heavy_is_imported_where_nothing_needs_it(words: tuple[str, ...]) -> None:
    packages, _ = imported(*words)
    assert "app" in packages and not packages & HEAVY


def test_a_profile_needs_no_solver_and_a_version_no_numbers() -> None:
    _, modules = imported("profile", "resnet50")
    assert not {
        name for name in modules if name.startswith(("planner.solve", "planner.strategies"))
    }
    packages, _ = imported("--version")
    assert not packages & {"numpy", "pydantic"}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("planner pl", {"plan"}),
        ("planner plan resnet50", {"resnet50", "resnet50-half"}),
        ("planner plan gpt2 --cluster sm", {"small-nodes"}),
        ("planner plan gpt2 --max-acc", {"--max-accuracy-drop"}),
        ("planner cluster n", {"new"}),
    ],
)
def test_a_shell_completes_commands_models_clusters_and_options(
    line: str, wanted: set[str]
) -> None:
    program = "import sys; sys.argv = ['planner']; from app.cli import main; main()"
    asked = {
        "_PLANNER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HANG_S, env=os.environ | asked
    )
    assert wanted <= set(done.stdout.split())


def test_garbage_is_looked_for_while_a_command_works() -> None:
    program = "import gc, sys; sys.argv = ['planner', 'catalog', 'links']\nfrom app.cli import main"
    program += "\nmain()\nsys.exit(0 if gc.isenabled() and gc.get_freeze_count() else 1)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
