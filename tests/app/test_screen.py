"""A plan on the terminal: one screen, no line wider than it, whatever the names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.blocks import blocks, layer_blocks
from app.figures import figures
from app.next_steps import catalogue_links
from app.node_times import alike, cells, first_rows
from app.screen import Shown
from app.words import answer_sentence
from planner.case import Case
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.strategies.optimise import optimise
from planner.strategies.timeline import NodeTime, node_times
from planner.strategies.what_if.next_steps import next_steps
from profiles.accuracy import find_accuracy
from profiles.catalog import load_cluster, load_model
from tests.app.command import planner
from tests.planner.builders import chain, cluster

REQUEST = Request(4, time_limit_s=60.0)


def case_of(model: str) -> Case:
    profile = load_model(model)
    loss = find_accuracy(None, profile).model
    return Case(profile, load_cluster("small-nodes"), loss_model=loss)


@pytest.fixture(scope="module")
def resnet() -> tuple[Case, Plan]:
    case = case_of("resnet50")
    plan = optimise(case, REQUEST)
    found = next_steps(case, replace(REQUEST, alternatives=False), links=catalogue_links())
    return case, plan.model_copy(update={"next_steps": found})


def shown(case: Case, plan: Plan, width: int = 80) -> list[str]:
    screen = Shown(plan, case.profile, node_times(case, plan), blocks(case, plan), plan.next_steps)
    return [line.plain for line in screen.lines(width)]


def test_the_answer_is_one_screen(resnet: tuple[Case, Plan]) -> None:
    lines = shown(*resnet)
    assert len(lines) <= 30 and max(map(len, lines)) <= 80
    told = " ".join(" ".join(lines).split())
    for words in (
        "4 nodes, split by rows, no training: 309 ms, 3.5× faster than one; with training at "
        "0.5 points: 123 ms, 8.9×.",
        "Where the time goes",
        "What to change first 1. Training at 0.5 points: 123 ms, 187 ms less",
        "2. Nodes twice as fast (7.5 GMAC/s): 162 ms, 147 ms less",
        "--max-nodes 8",
        "Layers by block",
        "Optimal, proven",
        "--layers",
    ):
        assert words in told


def test_the_readme_shows_what_the_terminal_does(resnet: tuple[Case, Plan]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = readme.split("<!-- planner plan resnet50 --max-nodes 4 -->\n```\n")[1].split("\n```")[0]
    lines = shown(*resnet)
    assert block.splitlines() == lines[: lines.index("", lines.index("") + 1)]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(resnet: tuple[Case, Plan], width: int) -> None:
    assert max(map(len, shown(*resnet, width))) <= max(width, 60)


def test_long_and_hostile_names_stay_in_their_places() -> None:
    group = cluster([1e6, 1e6], bandwidth_bytes_per_s=3e5)
    name = "\x1b[31mnode\n" + "x" * 200
    nodes = (group.nodes[0].model_copy(update={"name": name}), group.nodes[1])
    case = Case(chain(16, 32, 32, 16), group.model_copy(update={"nodes": nodes}))
    plan = optimise(case, Request(2, exactly=True))
    lines = shown(case, plan)
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line or "\n" in line for line in lines)


def test_many_nodes_that_are_alike_are_one_line() -> None:
    times = [NodeTime(f"n{k}", 1, 1.0, 0.5, 0.25, 0.0, 0.0) for k in range(20)]
    times[10] = replace(times[10], computing_s=0.5, for_nodes_s=0.5)
    assert len(alike(times[:8], 8)) == 8
    assert [name for name, _ in alike(times, 8)] == ["n0 … n9 (10)", "n10", "n11 … n19 (9)"]
    shown, hidden = first_rows(times, 8, 2)
    assert ([name for name, _ in shown], hidden) == (["n0 … n9 (10)", "n10"], 9)


@pytest.mark.parametrize("parts", [(1, 1, 1), (0, 0, 1), (5, 3, 0.001), (0, 0, 0), (1e-9, 1, 1)])
@pytest.mark.parametrize("width", [1, 10, 37])
def test_a_bar_is_as_wide_as_it_should_be(parts: tuple[float, ...], width: int) -> None:
    found = cells(sum(parts), parts, width)
    assert sum(found) == width and min(found) >= 0
    for part, cell in zip(parts, found, strict=True):
        assert abs(cell - part / (sum(parts) or 1) * width) < 1 or not sum(parts)


def test_blocks_hold_every_layer_once_and_add_up(resnet: tuple[Case, Plan]) -> None:
    case, plan = resnet
    names = [layer.name for stage in plan.stages for layer in stage.layers]
    every = [layer_blocks(case, plan), *(blocks(case, plan, most) for most in (1, 4, 8, 30))]
    for found in every:
        assert [name for block in found for name in block.layers] == names
        assert sum(block.latency_s for block in found) == pytest.approx(plan.predicted.latency_s)
        assert sum(block.share for block in found) == pytest.approx(1.0)
        for block in found:
            assert len(block.layers) == 1 or all(
                name.startswith(block.name.split(" … ")[0][:8]) for name in block.layers
            )
    assert [len(found) <= most for found, most in zip(every[2:], (4, 8, 30), strict=True)]
    assert "resnet.encoder.stages.2.layers" in [block.name for block in blocks(case, plan)]


def test_blocks_part_where_stages_do() -> None:
    case = case_of("resnet50-eighth")
    plan = optimise(case, Request(3, parallelism="pipeline", exactly=True, alternatives=False))
    found = blocks(case, plan, 4)
    assert [block.stage for block in found] == sorted(block.stage for block in found)
    for number, stage in enumerate(plan.stages, start=1):
        mine = [name for block in found if block.stage == number for name in block.layers]
        assert mine == [layer.name for layer in stage.layers]
    assert all(not block.ways for block in found)


def test_layers_one_by_one_on_the_terminal() -> None:
    words = ("plan", "resnet50-eighth", "--max-nodes", "2", "--no-next-steps")
    lines = planner(*words, "--layers").out.splitlines()
    assert max(map(len, lines)) <= 80
    first = next(place for place, line in enumerate(lines) if line.startswith("Layers"))
    layers = load_model("resnet50-eighth").layers
    rows = lines[first + 1 : first + 1 + len(layers)]
    for row, layer in zip(rows, layers, strict=True):
        name = row.split()[0]
        assert layer.name.endswith(name.removeprefix("…"))
    assert "What to change first" not in "\n".join(lines)


def test_where_time_is_short_nobody_says_that_training_gains_nothing() -> None:
    """A tenth of a millisecond is not enough to find what takes a third of the time."""
    small = replace(case_of("resnet50"), profile=load_model("resnet50-eighth"))
    plan = optimise(small, replace(REQUEST, time_limit_s=1e-4))
    assert figures(plan)[2].latency_s is None
    assert answer_sentence(plan).endswith("with training: not found in the time there was.")
