"""``planner plan`` for every parallelism, and what it says where nothing fits."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from planner.case import Case
from planner.domain.plan import Plan
from planner.strategies.costed import predict
from profiles.catalog import load_cluster, load_model
from tests.app.command import one_line, planner
from tests.planner.builders import with_nodes

# Gathering features alone, at half a point. The optimum of both is a hybrid: [3, 1] nodes and
# [3, 5] nodes.
DISCO = ("--ways", "features", "--max-accuracy-drop", "0.5")
MOST = (*DISCO, "--objective", "throughput", "--accuracy-model")
DEIT = ("plan", "deit-s", "--max-nodes", "4", *MOST, "curve:deit-s-imagenet/equal")
RESNET = ("plan", "resnet50", "--nodes", "8", *MOST, "curve:resnet50-imagenet/equal")


def sizes(plan: Plan) -> list[int]:
    return [len(stage.nodes) for stage in plan.stages]


def test_hybrid_is_the_default_and_the_best_of_the_three() -> None:
    def rate(*words: str) -> tuple[float, Plan]:
        done = planner(*DEIT, "--format", "json", *words)
        assert done.code == 0, done.err
        plan = Plan.model_validate_json(done.out)
        assert plan.certificate is not None and plan.certificate.status == "optimal"
        return plan.predicted.throughput_per_s, plan

    default, plan = rate()
    assert (plan.strategy, sizes(plan)) == ("optimal-hybrid", [3, 1])
    hybrid, same = rate("--parallelism", "hybrid")
    assert (hybrid, same.stages) == (default, plan.stages)
    split, within = rate("--parallelism", "within-layer")
    assert (within.strategy, sizes(within)) == ("optimal-sparsity", [4])
    piped, pipeline = rate("--parallelism", "pipeline")
    assert (pipeline.strategy, sizes(pipeline)) == ("optimal-allocation", [1, 1, 1, 1])
    assert max(split, piped) < default
    others = {other.strategy: other.throughput_per_s for other in plan.alternatives}
    assert others["optimal-allocation"] == pytest.approx(piped)
    assert {other.nodes for other in plan.alternatives} >= {1, 3}


def test_a_hybrid_plan_on_the_terminal() -> None:
    done = planner(*DEIT, "--no-next-steps")
    assert done.code == 0
    told = " ".join(done.out.split())
    assert "4 nodes in 2 stages, split by features, trained, 0.5 points lost: " in told
    assert "more than one; without training: " in told
    assert "Scope: contiguous stages, each on one node or on several" in told
    assert max(map(len, done.out.splitlines())) <= 80
    bars = re.findall(r"^  (node-\d) [█▒·]+ ", done.out, flags=re.MULTILINE)
    assert sorted(bars) == ["node-1", "node-2", "node-3", "node-4"]
    table = done.out[done.out.index("Layers by block") :]
    rows = re.findall(r"^  (\S.*?) +(\d+) +([12])  (\S.*?)  .* ([\d.]+)%$", table, re.MULTILINE)
    assert sum(int(count) for _, count, _, _ in [row[:4] for row in rows]) == 246 + 51
    assert [row[3] for row in rows if row[2] == "2"] == ["one node"] * sum(
        row[2] == "2" for row in rows
    )


def test_stages_of_several_nodes_survive_a_file_and_an_export(tmp_path: Path) -> None:
    saved, folder = tmp_path / "plan.json", tmp_path / "out"
    done = planner(*RESNET, "--format", "csv", "-o", str(saved))
    assert done.code == 0, done.err
    plan = Plan.model_validate_json(saved.read_text(encoding="utf-8"))
    assert (plan.strategy, sizes(plan)) == ("optimal-hybrid", [3, 5])
    names = [name for stage in plan.stages for name in stage.nodes]
    assert len(set(names)) == plan.node_count == 8
    exported = planner("export", str(saved), "--to", str(folder), "--format", "json")
    assert exported.code == 0, exported.err
    assert Plan.model_validate_json((folder / "plan.json").read_text(encoding="utf-8")) == plan
    text = (folder / "layers.csv").read_text(encoding="utf-8")
    assert text == done.out
    rows = list(csv.DictReader(io.StringIO(text)))
    planned = [(stage, layer) for stage in plan.stages for layer in stage.layers]
    assert [(row["layer"], row["nodes"], row["node count"]) for row in rows] == [
        (layer.name, " ".join(stage.nodes), str(len(stage.nodes))) for stage, layer in planned
    ]
    for row, (stage, layer) in zip(rows, planned, strict=True):
        kept = layer.kept_features if layer.sparsity else None
        if isinstance(kept, tuple):
            matrix = [
                [int(cell) for cell in line.split()] for line in row["kept features"].split("; ")
            ]
            assert tuple(map(tuple, matrix)) == kept and len(matrix) == len(stage.nodes)
        else:
            assert row["kept features"] == ("" if kept is None else str(kept))
    case = Case(load_model("resnet50"), plan.cluster, plan.settings)
    again = predict(case, plan.stages)
    assert again.latency_s == pytest.approx(plan.predicted.latency_s)
    assert again.memory_bytes == plan.predicted.memory_bytes


def test_fewer_nodes_than_allowed_are_named() -> None:
    done = planner("plan", "resnet50-eighth", "--max-nodes", "3", "--no-next-steps")
    assert done.code == 0
    assert re.search(r"Best with fewer nodes: optimal-lossless on 2, [\d.]+ ms per input", done.out)


MEMORY = r"memory of node-1 binds: its limit is 10 MB, the smallest that works is ([\d.]+) MB"
LATENCY = r"latency binds: the limit is 0.01 s, the smallest that works is ([\d.]+) s$"
DROP = r"accuracy drop binds: the limit is 0 points, the smallest that works is ([\d.]+) points$"


@pytest.mark.parametrize(
    ("words", "sentence", "option", "unit", "slack"),
    [
        (["--memory", "10MB", "--ways", "features"], MEMORY, "--memory", "MB", 0),
        (["--parallelism", "pipeline", "--memory", "10MB"], MEMORY, "--memory", "MB", 0),
        (["--max-latency", "10ms"], LATENCY, "--max-latency", "s", 1e-4),
        (
            ["--parallelism", "within-layer", "--max-latency", "300ms", "--max-accuracy-drop", "0"],
            DROP,
            "--max-accuracy-drop",
            "",
            1e-4,
        ),
    ],
)
def test_where_nothing_fits_the_least_relaxation_is_named_and_is_enough(
    words: list[str], sentence: str, option: str, unit: str, slack: float
) -> None:
    # what is named is the smallest where the search is not ended, however busy the machine is
    asked = ["plan", "resnet50", "--nodes", "2", "--time-limit", "3000", *words]
    if "--max-accuracy-drop" not in asked:
        asked += ["--max-accuracy-drop", "0.5"]
    done = planner(*asked)
    assert done.code == 3
    message = one_line(done)
    assert message.startswith("planner: no plan fits: ")
    found = re.search(sentence, message)
    assert found, message
    least = float(found[1].replace(",", ""))
    at = asked.index(option) + 1
    relaxed = [
        *asked[:at],
        f"{least * (1 + slack):.10g}{unit}",
        *asked[at + 1 :],
        "--format",
        "csv",
    ]
    assert planner(*relaxed).code == 0
    tighter = [*asked[:at], f"{least * 0.99:.10g}{unit}", *asked[at + 1 :]]
    assert planner(*tighter).code == 3


def test_a_throughput_that_no_plan_reaches_is_named_and_the_best_is_enough() -> None:
    asked = ("plan", "resnet50", "--nodes", "2", *DISCO, "--format", "csv", "--min-throughput")
    done = planner(*asked, "100")
    assert done.code == 3
    message = one_line(done)
    assert "throughput binds" in message
    found = re.search(r"that works is ([\d.]+) (s per input|inputs/s)", message)
    assert found, message
    most = float(found[1]) if found[2] == "inputs/s" else 1 / float(found[1])
    assert planner(*asked, f"{most * 0.9999:.10g}").code == 0
    assert planner(*asked, f"{most * 1.01:.10g}").code == 3


def test_what_binds_names_the_delay_where_the_delay_binds(tmp_path: Path) -> None:
    bare = {"memory_bytes_per_s": None, "layer_overhead_s": 0.0, "macs_per_s": 12e9}
    group = with_nodes(load_cluster("arm-wireless"), **bare)
    link = group.link.model_copy(update={"latency_s": 0.002})
    file = tmp_path / "cluster.json"
    file.write_text(group.model_copy(update={"link": link}).model_dump_json())
    words = ("--ways", "features", "--sparsity", "1", "--collective", "in-series")
    done = planner(
        "plan", "gpt2", "--cluster", str(file), "--what-binds", "--no-next-steps", *words
    )
    assert done.code == 0
    delay = done.out.index("Half the delay of every message saves 75 ms.")
    link = done.out.index(
        "Communication outweighs computation at any bandwidth; twice the bandwidth"
    )
    assert delay < link and "e+" not in done.out[delay:link]
