"""Refusals of words on the command line and in the page that no other test brings about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import scenarios
from app.commands.run import _Process
from app.inputs import parse_input_types
from app.page.answer import Answer
from app.page.asking import ask_on_page
from app.page.source_rows import page_scenario
from app.page.source_text import check_sources, sources_of
from app.question import ask
from app.scenarios import read_policy
from app.workload_settings import WORKLOAD
from planner.domain.cluster import PairLink
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.measure.fit import fit_models
from planner.measure.parts import NodeMeasurement
from planner.reshape import at_input_shapes
from planner.runtime.documents import dtype_named
from planner.simulation.policies import Policy
from planner.simulation.scenario import Scenario
from profiles.catalog import load_model
from profiles.files import document_text, read_document
from tests.app.command import one_line, planner
from tests.measure.made import node_part
from tests.messages import message_of
from tests.planner.builders import Net, cluster
from tests.run.team import written
from tests.runtime.test_ways import model
from tests.runtime.way_plans import way_plan


class NeedsMore(Policy):
    """A policy that nobody can make without an argument."""

    def __init__(self, more: int) -> None:
        self.more = more


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "[[]]", '["a"]', "[" * 100_000, '[["a", 1, 2, 3, 4, 5, 6, 7]]']
)
def test_sources_that_are_none(text: str) -> None:
    said = message_of(lambda: sources_of(text))
    assert said.startswith("sources: found ")
    assert '; give [["node-1", 5.0, 200], …], 1 to ' in said


def test_a_row_of_sources_that_no_source_may_be() -> None:
    good = {"node": "a", "arrivals": {"kind": "poisson", "rate_per_s": 1.0, "total": 2}}
    check_sources([good])
    bad = {"node": "", "arrivals": good["arrivals"]}
    assert message_of(lambda: check_sources([good, bad])).startswith("sources, row 2: node: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda part: part["figures"][0].update(key="colour"), "figures: the node has no 'colour'"),
        (
            lambda part: part["figures"][0].update(key="macs_per_s_by_kind.sort"),
            "figures: the node has no 'macs_per_s_by_kind.sort'",
        ),
        (
            lambda part: part["figures"][0].update(key="name"),
            "figures: the node has no 'name'",
        ),
    ],
)
def test_figures_that_a_node_lacks(tmp_path: Path, change: Any, message: str) -> None:
    part = json.loads(document_text(node_part()))
    change(part)
    path = tmp_path / "part.json"
    path.write_text(json.dumps(part))
    said = message_of(lambda: read_document(path, NodeMeasurement, what="part"))
    assert message in said


def test_times_of_models_that_tell_nothing() -> None:
    profile = load_model("resnet50")
    net = Net()
    net.local("image")
    still = net.profile()
    said = message_of(lambda: fit_models("a", [(still, 1.0)], source="t", only_rate=True))
    assert said == f"{still.name}: has no MACs, so its time tells no rate"
    said = message_of(
        lambda: fit_models("a", [(profile, float("nan"))], source="t", only_rate=True)
    )
    assert said == f"{profile.name}: found nan seconds; give a number above 0"
    assert message_of(lambda: fit_models("a", [], source="t", only_rate=True)) == (
        "no times: give that of one model or more"
    )


def test_types_that_are_none() -> None:
    said = message_of(lambda: dtype_named("float33"))
    assert said.startswith("'float33' is no type; there are ")
    assert dtype_named("float32").itemsize == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("measure", "join", "{part}", "{part}", "--link", "fast"), "or a kind of link: "),
        (("measure", "node", "--name", ""), "--name: "),
        (
            ("export", "{plan}", "--to", "{there}", "--model", "resnet50"),
            "are for masks: give --weights FILE",
        ),
        (("measure", "node", "--input-shape", "x=1"), "--input-shape: is that of --model, which"),
        (("measure", "node", "--model", "resnet50"), "--model 'resnet50': give MODULE:CALLABLE"),
        (("measure", "node", "--model", "math:nothing"), "module 'math' has no attribute"),
        (("profile", "resnet50", "--input-type", "x=4"), "--input-type 'x=4': give NAME=TYPE"),
        (("plan", "resnet50", "--accuracy-model", "csv:"), "give none, csv:FILE, energy:FILE, "),
        (("plan", "resnet50", "--min-throughput", "0"), "--min-throughput: found 0; give inputs"),
    ],
)
def test_words(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    part, plan = tmp_path / "part.json", tmp_path / "plan.json"
    part.write_text(document_text(node_part()))
    if "{plan}" in words:
        made = planner("plan", "resnet50", "--cluster", "small-nodes", "-o", str(plan))
        assert made.code == 0, made.err
    named = {"part": part, "plan": plan, "there": tmp_path / "there"}
    done = planner(*(word.format(**named) for word in words))
    assert done.code == 2
    assert message in one_line(done)


def test_limits_and_figures_that_cannot_be() -> None:
    said = message_of(lambda: ask("small-nodes", max_nodes=2, max_latency_s=-1.0))
    assert said.startswith("max_latency_s: found -1")
    tiny = ask("small-nodes", max_nodes=2, changes=("compute=1e-60x",))
    assert "nodes[0].macs_per_s: found " in message_of(lambda: tiny.tuned_cluster)


def test_types_and_chunks_that_are_taken() -> None:
    assert parse_input_types(["x=int64", "a=b=float32"]) == {"x": "int64", "a=b": "float32"}
    chunk = next(setting for setting in WORKLOAD if setting.key == "chunk").kind
    assert chunk.to_core("64") == 64


def test_requests_that_cannot_be() -> None:
    said = message_of(lambda: Request(2, time_limit_s=-1.0))
    assert said == "time_limit_s: found -1.0, allowed: 0 or more, or None"


def test_one_second_measures_this_machine_as_far_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    done = planner("measure", "node", "--name", "here", "--time-limit", "1", "-o", str(path))
    part = read_document(path, NodeMeasurement, what="part")
    assert part.node.macs_per_s > 0 and part.models == ()
    assert part.complete == (done.code == 0) and "Traceback" not in done.err


def test_a_range_of_links_that_are_unlike(tmp_path: Path) -> None:
    two = cluster(2)
    ends = (two.nodes[0].name, two.nodes[1].name)
    fast = PairLink(between=ends, bandwidth_bytes_per_s=1e9)
    path, words = tmp_path / "unlike.json", ("--over", "bandwidth", "--points", "2")
    path.write_text(document_text(two.model_copy(update={"pair_links": (fast,)})))
    sweep = ("sweep", "resnet50-eighth", "--cluster", str(path), *words)
    done = planner(*sweep, "--from", "1MB/s")
    assert done.code == 2
    assert "--from and --to: give both, " in one_line(done)
    done = planner(*sweep, "--from", "1MB/s", "--to", "9MB/s")
    assert done.code == 0, done.err


def test_a_node_may_leave_again_when_it_is_back() -> None:
    away = [{"node": "a", "leaves_s": s, "rejoins_s": s + 1} for s in (1.0, 3.0)]
    fields = {
        "model": "resnet50",
        "cluster": "small-nodes",
        "sources": [{"node": "a", "arrivals": {"kind": "poisson", "rate_per_s": 1.0, "total": 2}}],
    }
    assert len(Scenario.model_validate({**fields, "name": "s", "churn": away}).churn) == 2


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    made = planner("plan", "resnet50", "--cluster", "small-nodes", "--nodes", "2", "-o", str(path))
    assert made.code == 0, made.err
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--interface eth0 --host 127.0.0.1", "--interface and --host: give one of them"),
        ("--input x.npy --inputs 2", "--input and --inputs: give one of them"),
        ("--repeats 1000000 --inputs 1000", "--warmup, --repeats and --inputs: found "),
        ("", "--slices DIR: is needed on every node; or try --local"),
        ("--slices . --model m:f", "--model and what belongs to it: the slices are cut already"),
        ("--local --name node-1", "--local: all nodes are processes here; leave out --name"),
        ("--local --slices . --model m:f", "--slices and --model: give one of them"),
        ("--timeout-s nan", "Invalid value for '--timeout-s': "),
        ("--local --model nothing", "--model 'nothing': is nothing that runs; give "),
        ("--local --model torch.nn:Identity", "a module needs its input shapes, such as --input-"),
        (
            "--local --model resnet50 --input-shape pixels=1,3",
            "--input-shape: there is no input 'pixels'; ",
        ),
    ],
)
def test_runs_that_cannot_be(plan: Path, words: str, message: str) -> None:
    done = planner("run", str(plan), *words.split())
    assert done.code == 2
    assert message in one_line(done)


def test_a_process_that_torchrun_did_not_start(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    done = planner("run", str(plan), "--slices", str(tmp_path))
    assert done.code == 2
    assert "start one on every node under torchrun" in one_line(done)


@pytest.mark.parametrize(
    ("node", "message"),
    [("node-9", "--name 'node-9': the plan runs on node-"), (None, "rank 2: the plan runs on 2")],
)
def test_processes_that_a_plan_does_not_name(plan: Path, node: str | None, message: str) -> None:
    known = read_document(plan, Plan, what="plan")
    process = _Process(known, Path(), node, 1.0, 1, engine="torch", interface=None, host=None)
    assert message_of(lambda: process._name(2)).startswith(message)
    for name in known.running_nodes:
        assert replace(process, node=name)._name(2) == name


def test_slices_that_are_not_there(plan: Path, tmp_path: Path) -> None:
    done = planner("run", str(plan), "--local", "--slices", str(tmp_path))
    assert done.code == 2


def test_slices_that_fit_run_on_this_machine(tmp_path: Path) -> None:
    subject = model("plain")
    cut = way_plan(subject, [[1.0, 2.0]], np.random.default_rng(7))
    written(subject, cut, tmp_path)
    words = (str(tmp_path / "plan.json"), "--slices", str(tmp_path))
    done = planner("run", *words, "--local", "--inputs", "1", "--repeats", "1")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("math:nothing", "--policy 'math:nothing': module 'math' has no attribute 'nothing'"),
        ("math:sqrt", "sqrt is no class that derives from planner.simulation.policies.Policy"),
        (f"{__name__}:NeedsMore", "made without arguments: "),
    ],
)
def test_policies_that_are_none(name: str, message: str) -> None:
    assert message in message_of(lambda: read_policy(name))


def test_a_trace_of_too_many_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenarios, "MAX_TRACE", 2)
    path = tmp_path / "trace.txt"
    path.write_text("1\n2\n3\n")
    assert message_of(lambda: scenarios.read_trace(path)).endswith("more than 2 times")


def test_shapes_that_a_profile_does_not_have() -> None:
    profile = load_model("resnet50")
    said = message_of(lambda: at_input_shapes(profile, {"image": (1, 3)}))
    assert "found the shape 1,3; resnet50 reads 4 dimensions" in said
    said = message_of(lambda: at_input_shapes(profile, {"image": (0, 3, 224, 224)}))
    assert "sizes are 1 on" in said
    said = message_of(lambda: at_input_shapes(profile, None, 2**31 - 1))
    assert "the macs of all layers are 2^62 or more" in said


def test_tables_have_no_levels() -> None:
    done = planner("profile", "resnet50", "--view", "flat", "--depth", "2")
    assert one_line(done).endswith("--depth: only a tree on the terminal has levels (--view tree)")


def test_two_sources_at_one_node() -> None:
    answer = Answer(load_model("resnet50-eighth"), ask_on_page("small-nodes", 2))
    rows = sources_of('[["node-1", 1.0, 2], ["node-1", 2.0, 2]]')
    said = message_of(lambda: page_scenario(answer, rows, "blocking"))
    assert "sources: two are at node 'node-1'; a node has one at most" in said
