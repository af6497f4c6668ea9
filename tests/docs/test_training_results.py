"""docs/training-results.md: fresh, and every word about an ordering follows from the seeds."""

from __future__ import annotations

import importlib
import json
import random
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from scipy.stats import ttest_rel
from torch import nn

from profiles.sensitivities import read_sensitivities
from tests.processor_time import HANG_S

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "training"
TASKS = ("digits-cnn", "digits-vit", "super-resolution")
ROWS = (
    ["dense", *(f"disco@{s}" for s in (0.8, 0.9, 0.95, 0.99)), "independent-branches"]
    + [f"random@{s}" for s in (0.8, 0.9, 0.95, 0.99)]
    + [f"per-layer@{s}" for s in (0.9, 0.95, 0.99)]
    + [f"{kind}@{n}" for kind in ("dense-then-split", "split-then-aggregate") for n in (1, 2, 3)]
)


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module(name)


def write(folder: Path, task: str, qualities: list[dict[str, float]]) -> None:
    """Results as if each seed's rows had had these qualities."""
    folder.mkdir(exist_ok=True)
    for seed, found in enumerate(qualities):
        rows = {
            row: {
                "quality": found.get(row, 50.0),
                "latency_s": 0.01,
                "mean_comm_sparsity": 0.5,
                "mean_comp_sparsity": 0.25,
                "predicted_drop": 0.1,
                "status": "optimal",
                "training_s": 6.0,
            }
            for row in ROWS
        }
        document = {"task": task, "seed": seed, "budget": {}, "reference": 10.0, "rows": rows}
        document |= {"dense_s": 60.0, "sensitivity_s": 6.0}
        (folder / f"{task}-seed{seed}.json").write_text(json.dumps(document))


def test_the_page_is_what_the_results_say() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "build_training.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_shows_how_to_measure_a_model_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = script(monkeypatch, "training_words").OWN_MODEL.split("```")[1].removeprefix("python")
    monkeypatch.chdir(tmp_path)
    image = torch.ones(1, 3, 32, 32)
    given = {
        "model": nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)),
        "evaluate": lambda model: float(model(image).detach().sum()),
    }
    exec(code, given)
    assert set(read_sensitivities(tmp_path / "mine.csv").points) == {"1"}


def test_another_result_makes_the_page_stale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = script(monkeypatch, "build_training")
    docs, results = tmp_path / "docs", tmp_path / "results"
    shutil.copytree(RESULTS, results)

    def built(*words: str) -> Any:
        asked = ["build_training.py", *words, "--results", str(results), "--docs", str(docs)]
        monkeypatch.setattr(sys, "argv", asked)
        return build.main()

    assert built() == 0
    assert built("--check") == 0
    pictures = sorted((docs / "images").iterdir())
    assert [path.name for path in pictures] == [f"training-{task}.svg" for task in TASKS]
    for path in pictures:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    file = results / "super-resolution-seed0.json"
    document = json.loads(file.read_text())
    document["rows"]["disco@0.9"]["quality"] += 0.5
    file.write_text(json.dumps(document))
    capsys.readouterr()
    assert built("--check") == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "stale: docs/training-results.md",
        "stale: docs/images/training-super-resolution.svg",
    ]


def test_the_interval_is_the_paired_t_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    results = script(monkeypatch, "training_results")
    first, second = [3.0, 4.5, 2.5, 6.0], [2.0, 4.75, 2.0, 4.0]
    expected = ttest_rel(first, second).confidence_interval(0.95)
    found = results.paired(first, second)
    assert found.mean - found.half == pytest.approx(expected.low)
    assert found.mean + found.half == pytest.approx(expected.high)
    assert (found.above, found.seeds, found.verdict) == (3, 4, "not decided")
    assert results.paired([2.0, 3.1], [1.0, 2.0]).verdict == "above"
    assert results.paired([1.0, 2.0], [2.0, 3.1]).verdict == "below"


def spoken(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """What the page finds for each claim on the digits."""
    claims = script(monkeypatch, "training_claims")
    rows = script(monkeypatch, "training_rows").training_rows()
    read = script(monkeypatch, "training_results").read_results
    found = read(folder, "digits-cnn", [row.name for row in rows])
    return [claims.found(found, claim) for claim in claims.claims(found)]


def test_orderings_that_hold_and_that_do_not_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ladder = {"dense": 60.0, "disco@0.8": 59.0, "disco@0.9": 58.0, "disco@0.95": 57.0}
    ladder |= {"disco@0.99": 56.0, "independent-branches": 50.0}
    ladder |= {f"per-layer@{s}": 59.0 for s in (0.9, 0.95, 0.99)}
    chance = random.Random(1)
    seeds = [{row: ladder.get(row, 50.0) + chance.random() / 10 for row in ROWS} for _ in range(4)]
    write(tmp_path / "good", "digits-cnn", seeds)
    good = spoken(monkeypatch, tmp_path / "good")
    assert all(words.startswith("**holds** in the mean") for words in good)
    assert good[0].endswith("3 of 3 intervals are above 0")
    assert good[1].endswith("its interval is above 0")

    for found in seeds:
        found["random@0.95"] = found["disco@0.95"] + 1 + chance.random() / 10
        found["independent-branches"] = found["disco@0.99"] + 2
        for sparsity in (0.9, 0.95, 0.99):
            found[f"per-layer@{sparsity}"] = found[f"disco@{sparsity}"] - chance.random()
    write(tmp_path / "bad", "digits-cnn", seeds)
    bad = spoken(monkeypatch, tmp_path / "bad")
    assert bad[0].startswith("**holds in part**: the other way round at 95 % (by 1")
    assert bad[0].endswith("2 of 3 intervals are above 0, 1 below")
    assert bad[1].startswith("**does not hold**: the other way round at 99 % and 100 % (by 2)")
    assert bad[1].endswith("its interval is below 0")
    assert "99 % and 100 %" in bad[2]
    assert bad[4].startswith("**does not hold**: the other way round at 90 % (by ")


def test_what_is_not_finished_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = script(monkeypatch, "training_results").read_results
    write(tmp_path, "digits-cnn", [{}, {}, {}])
    path = tmp_path / "digits-cnn-seed1.json"
    document = json.loads(path.read_text())
    del document["rows"]["random@0.9"]
    path.write_text(json.dumps(document))
    assert read(tmp_path, "digits-cnn", ROWS).seeds == (0, 2)
    document["rows"]["random@0.9"] = document["rows"]["random@0.8"]
    path.write_text(json.dumps(document | {"budget": {"batch": 3}}))
    with pytest.raises(ValueError, match="different budgets"):
        read(tmp_path, "digits-cnn", ROWS)
    with pytest.raises(ValueError, match="0 finished seeds; two or more"):
        read(tmp_path, "digits-vit", ROWS)
