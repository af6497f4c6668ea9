"""The view *Sources*: its table, scenario files, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.page.address import defaults, read_link, write_link
from app.page.answer import Answer
from app.page.asking import ask_on_page
from app.page.source_rows import page_scenario, uploaded_scenario, usual_sources
from app.page.source_text import sources_of, text_of
from app.scenarios import read_scenario
from planner.errors import BadInputError
from planner.simulation.study import simulate
from profiles.catalog import load_model
from tests.page.driving import BYTES, good, opened, texts, traces, unescaped

EXAMPLES = Path(__file__).parents[2] / "examples/scenarios"


def test_rows_travel_in_a_link() -> None:
    rows = [
        {"node": name, "arrivals": {"kind": "poisson", "rate_per_s": rate, "total": total}, **more}
        for name, rate, total, more in (
            ("node;1 <b>", 2.5, 10, {"start_s": 0.0}),
            ("b", 1, 2, {"start_s": 0.5}),
        )
    ]
    assert sources_of(text_of(rows)) == rows
    assert text_of(rows) == '[["node;1 <b>", 2.5, 10], ["b", 1, 2, 0.5]]'
    values = {**defaults({}), "sources": text_of(rows), "send": "blocking"}
    assert read_link(write_link(values)).values == values


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[1]",
        '[["a"]]',
        '[["a", "b", 1]]',
        "[" * 900,
        '[["a", 1, 1.5]]',
        json.dumps([["a", 1, 1]] * 17),
    ],
)
def test_a_text_that_is_no_list_of_sources_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match=r"^sources(: found|, row 1: arrivals)"):
        sources_of(text)
    link = read_link({"sources": text})
    assert len(link.problems) == 1 and link.values["sources"] == ""


def test_the_pages_scenario_is_its_model_on_its_nodes() -> None:
    answer = Answer(load_model("resnet50-eighth"), ask_on_page("small-nodes", 3))
    scenario = page_scenario(answer, usual_sources(answer), "blocking")
    assert scenario.model is answer.profile or scenario.model == answer.profile
    result = simulate(scenario, ["local", "balance"])
    assert result.workers == ("node-1", "node-2", "node-3")
    assert result.sources == ("node-1", "node-2")
    assert result.policies[0].inputs == 800
    for row, words in (
        (["nobody", 1.0, 1], "nobody"),
        (["node-1", -1.0, 1], "rate_per_s"),
        (["node-1", 1.0, 0], "total"),
    ):
        with pytest.raises(BadInputError, match=words):
            simulate(page_scenario(answer, sources_of(json.dumps([row])), "overlapped"), ["local"])


def test_uploaded_scenarios_name_the_catalogue_and_never_files_or_modules() -> None:
    path = EXAMPLES / "two-sources.json"
    assert uploaded_scenario("x.json", path.read_bytes()) == read_scenario(path)
    document = json.loads(path.read_text())
    for field, value in (
        ("model", "os:getcwd"),
        ("model", "/etc/passwd"),
        ("cluster", "../x.json"),
    ):
        content = json.dumps({**document, field: value}).encode()
        with pytest.raises(BadInputError, match=f"{field} .* none of the catalogue"):
            uploaded_scenario("x.json", content)
    document["sources"][0]["arrivals"] = {"kind": "trace", "file": "/etc/passwd"}
    with pytest.raises(BadInputError, match="put its times in its place"):
        uploaded_scenario("x.json", json.dumps(document).encode())


def test_the_view_simulates_the_page_or_a_file() -> None:
    page = opened("sources", model="resnet50-eighth", nodes="3")
    assert "800 inputs from node-1, node-2 on 3 workers" in texts(page)
    table = page.dataframe[1].value
    assert list(table["policy"]) == ["local", "ddi", "ar-mdi", "ms-mdi", "balance", "rehearsed"]
    drawn = traces(page, "completed")
    assert all(max(drawn[name]["y"]) == 800 for name in table["policy"])
    good(page.segmented_control(key="queues_of").set_value("ms-mdi").run())
    assert "Under ms-mdi" in texts(page)
    good(page.segmented_control(key="send").set_value("blocking").run())
    assert page.query_params == {"model": "resnet50-eighth", "nodes": "3", "send": "blocking"}
    text = (EXAMPLES / "idle-workers.json").read_bytes()
    page.file_uploader(key="scenario_upload").set_value(("mine.json", text, BYTES))
    good(page.run())
    assert json.loads(text)["name"] in texts(page)
    page.file_uploader(key="scenario_upload").set_value(("bad.json", b"{}", BYTES))
    page.run()
    assert "scenario bad.json: " in unescaped(page.error[0].value)
