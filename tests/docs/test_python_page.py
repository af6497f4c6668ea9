"""The face of the package, as its page and its docstring show it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

import planner
from planner import api
from planner.errors import BadInputError
from tests.planner.builders import chain, cluster

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for piece in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S):
        exec(piece, names)
    assert capsys.readouterr().out.startswith("resnet50 on small-nodes: 309.")
    assert names["again"] == names["best"]
    assert names["cluster"].name == "small-nodes"
    assert names["fastest"].predicted == names["best"].predicted
    assert round(names["trained"].predicted.latency_s * 1e3, 1) == 122.5
    assert [point.value for point in names["faster_links"].points] == [37.5e6, 75e6]
    assert {row.nodes for row in names["rows"]} >= {1, 2, 4}


def test_the_docstring_says_what_comes_out() -> None:
    found = doctest.testmod(api)
    assert found.attempted == 3 and found.failed == 0


def test_objects_do_as_well_as_names() -> None:
    model, group = chain(8, 16, 8), cluster(3)
    best = planner.plan(model, group, nodes=2, accuracy_model="none", parallelism="pipeline")
    assert best.node_count == 2
    case = planner.make_case(model, group)
    assert planner.plan(case, max_nodes=1).strategy == "single-node"
    assert planner.compare(case, nodes=[2]).rows[0].strategy == "single-node"


def test_a_module_is_profiled() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU())
    found = planner.profile(model, input_shapes={"image": (1, 3, 8, 8)})
    assert found.name == "Sequential" and found.totals.macs == 3 * 8 * 9 * 64
    with pytest.raises(BadInputError, match="Sequential: a module needs its input shapes"):
        planner.profile(model)


def test_what_is_no_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text, message in (
        ("{", "Expecting"),
        ('{"schema_version": 1, "rows": []}', "has none of the keys stages, nodes, layers"),
        ('{"schema_version": 1, "nodes": []}', "name: is missing"),
        ("[1]", "x.json"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(BadInputError, match=message):
            planner.load(path)
    with pytest.raises(BadInputError, match="nowhere"):
        planner.load(tmp_path / "nowhere.json")
    with pytest.raises(AttributeError, match="no attribute 'anything'"):
        _ = planner.anything
