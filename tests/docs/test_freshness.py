"""Generated pages and schemas are what their scripts make today."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processor_time import HANG_S

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "script",
    [
        "build_schemas.py",
        "build_results.py",
        "build_disco.py",
        "build_devices.py",
        "build_glossary.py",
        "build_measured.py",
        "build_runs.py",
    ],
)
def test_generated_documents_are_fresh(script: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow  # two minutes of searches
def test_the_pictures_of_the_ways_and_the_table_of_what_they_give_are_fresh() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "ways_pages.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_family_of_ways_beats_the_ways_that_were_chosen() -> None:
    page = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [\w.-]+ \| [248] \| (.*) \|$", page, flags=re.MULTILINE)
    assert len(rows) == 18
    for row in rows:
        cells = [cell.strip().replace(",", "") for cell in row.split("|")]
        *narrow, best = (float(cell) for cell in cells if cell != "–")
        assert best <= min(narrow)


def test_readme_quotes_the_gains_that_the_results_page_shows() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = page.split("## What choosing the sparsity per layer promises")[1]
    rows = dict(re.findall(r"^\| ([248]) \| (.*) \|$", table, flags=re.MULTILINE))
    for nodes, cells in rows.items():
        gains = sorted(float(cell.strip("× ")) for cell in cells.split("|"))
        words = {"2": "two", "4": "four", "8": "eight"}[nodes]
        quoted = re.search(rf"([\d.]+)× and\s+([\d.]+)× on\s+{words}", readme, flags=re.MULTILINE)
        assert quoted, words
        assert [float(quoted[1]), float(quoted[2])] == [gains[0], gains[-1]]


def test_links_in_the_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_equation_that_the_code_names_is_in_the_model_page() -> None:
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    tagged = {int(number) for number in re.findall(r"\\tag\{(\d+)\}", page)}
    assert tagged == set(range(1, max(tagged) + 1))
    for source in (ROOT / "planner").rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        for first, last in re.findall(r"eq\. (\d+)(?: (?:to|and|or) (\d+))?", text):
            assert int(first) in tagged, source
            assert not last or int(last) in tagged, source


def test_schemas_are_json_schemas_with_a_version() -> None:
    for path in (ROOT / "docs" / "schemas").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert "schema_version" in text, path.name
        assert isinstance(json.loads(text), dict)
