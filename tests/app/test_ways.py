"""``--ways`` and ``--sparsity``, and what a plan says of itself without training and with it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from app.figures import ALONE, TRAINING, UNTRAINED, figures
from app.tables import plan_summary_table
from app.words import answer_sentence
from planner.domain.layouts import WAYS, Way
from planner.domain.plan import Plan
from profiles.catalog import load_model
from tests.app.command import Done, one_line, planner

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
ON_FOUR = ("plan", "resnet50", "--max-nodes", "4", "--format", "json")


def planned(*words: str) -> Plan:
    done = planner(*words)
    assert done.code == 0, done.err
    return Plan.model_validate_json(done.out)


def told(done: Done) -> str:
    """What stands on the terminal, whatever its width."""
    return " ".join(done.out.split())


def ways_of(plan: Plan) -> set[Way]:
    layers = (layer for stage in plan.stages for layer in stage.layers if layer.nodes > 1)
    return {layer.way or "features" for layer in layers}


@pytest.fixture(scope="module")
def lossless() -> Plan:
    return planned(*ON_FOUR)


@pytest.fixture(scope="module")
def at_half_a_point() -> Plan:
    return planned(*ON_FOUR, "--max-accuracy-drop", "0.5")


def test_nothing_is_dropped_unless_a_limit_is_given(lossless: Plan, at_half_a_point: Plan) -> None:
    assert not lossless.drops_features and lossless.predicted.accuracy_drop == 0
    assert lossless.predicted.latency_s <= 0.3097
    assert ways_of(lossless) >= {"positions", "features"}
    assert at_half_a_point.drops_features
    assert at_half_a_point.predicted.latency_s == pytest.approx(0.1225, abs=6e-5)
    assert at_half_a_point.predicted.accuracy_drop == pytest.approx(0.5, abs=1e-3)


def test_features_alone_are_disco() -> None:
    """DISCO's plan of ResNet-50 at half a point, as docs/results.md has it since its beginning."""
    for nodes, latency_ms in (("2", 322.4), ("4", 122.5)):
        words = ("--ways", "features", "--max-accuracy-drop", "0.5", "--max-nodes", nodes)
        plan = planned("plan", "resnet50", *words, "--format", "json")
        assert ways_of(plan) <= {"features"}
        assert plan.predicted.latency_s * 1e3 == pytest.approx(latency_ms, abs=0.05)


@pytest.mark.parametrize("way", WAYS)
def test_one_way_alone_and_gathering_where_a_layer_has_none(way: Way) -> None:
    words = ("resnet50-eighth", "--nodes", "2", "--parallelism", "within-layer", "--ways", way)
    plan = planned("plan", *words, "--format", "json")
    assert plan.node_count == 2
    assert ways_of(plan) <= {way, "features"} and not plan.drops_features


def test_ways_are_given_once_or_often_in_any_order() -> None:
    words = ("plan", "resnet50-eighth", "--max-nodes", "3", "--format", "json", "--ways")
    together = planned(*words, "positions,sums, features")
    apart = planned(*words, "features", "--ways", "sums", "--ways", "positions")
    assert together.stages == apart.stages
    assert ways_of(together) <= {"positions", "sums", "features"}


@pytest.mark.parametrize("command", ["plan", "compare", "pareto", "sweep", "needs"])
@pytest.mark.parametrize("typed", ["rows", "", "features,", "positions,collumns", "FEATURES"])
def test_unknown_ways_are_refused_with_what_is_allowed(command: str, typed: str) -> None:
    own = {"sweep": ("--over", "nodes"), "needs": ("--latency", "1s")}.get(command, ())
    done = planner(command, "resnet50", *own, "--ways", typed)
    assert done.code == 2
    message = one_line(done)
    assert message.startswith(f"planner: --ways {typed!r}: give some of features, positions, ")
    assert message.endswith("samples, sums, outputs, whole, one-node")


def test_ways_narrow_a_comparison_a_sweep_and_a_need() -> None:
    sweep = ("sweep", "resnet50", "--over", "nodes", "--values", "4", "--format", "csv")
    free, narrow = (planner(*sweep, *words) for words in ((), ("--ways", "features")))
    latencies = [float(done.out.splitlines()[1].split(",")[1]) for done in (free, narrow)]
    assert latencies[0] <= 309.7 and latencies[1] == pytest.approx(940.8, abs=0.05)
    assert ",0.0," in free.out, "nothing is lost"
    needs = ("needs", "resnet50", "--latency", "315ms", "--max-nodes", "4")
    assert planner(*needs).out.startswith("315 ms is met already with 37.5 MB/s: ")
    narrowed = planner(*needs, "--ways", "features").out
    assert narrowed.startswith("315 ms is not met yet with 37.5 MB/s: the best plan takes 940.8 ms")


def test_a_sparsity_without_any_accuracy_model() -> None:
    words = (*ON_FOUR, "--accuracy-model", "none")
    plan = planned(*words, "--sparsity", "0.9")
    sparsities = [x.sparsity for stage in plan.stages for x in stage.layers if x.sparsity]
    assert sparsities and max(sparsities) <= 0.91
    assert not planned(*words, "--sparsity", "0").drops_features
    done = planner(*words[:4], *words[6:], "--sparsity", "0.9", "--no-next-steps")
    assert "trained, at an unknown loss: 179 ms, 6.1× faster than one" in told(done)
    assert "what that costs is unknown: no accuracy model" in done.err


@pytest.mark.parametrize("typed", ["1.5", "-0.1", "much", "nan"])
def test_a_sparsity_is_a_share(typed: str) -> None:
    done = planner("plan", "resnet50", "--sparsity", typed)
    assert done.code == 2 and "--sparsity" in one_line(done)


def test_compare_keeps_its_own_sparsity() -> None:
    done = planner("compare", "resnet50", "--sparsity", "0.5", "--format", "csv")
    assert done.code == 0 and "disco-uniform,2,0.5," in done.out


def test_the_three_figures_stand_beside_each_other(lossless: Plan, at_half_a_point: Plan) -> None:
    wanted = [1.09045, lossless.predicted.latency_s, at_half_a_point.predicted.latency_s]
    for plan, marked in ((lossless, UNTRAINED), (at_half_a_point, TRAINING)):
        found = figures(plan)
        assert [figure.name for figure in found] == [ALONE, UNTRAINED, TRAINING]
        assert [figure.nodes for figure in found] == [1, 4, 4]
        assert [figure.latency_s for figure in found] == pytest.approx(wanted, rel=1e-5)
        assert [x.name for x in found if x.is_plan] == [marked]
        assert found[2].note == "0.50 points lost" and not found[0].note and not found[1].note
    ratios = [figure.ratio for figure in figures(lossless)]
    assert ratios[0] is None and ratios[1:] == pytest.approx([wanted[0] / x for x in wanted[1:]])


def test_the_answer_in_a_sentence(lossless: Plan, at_half_a_point: Plan) -> None:
    assert answer_sentence(lossless, load_model("resnet50")) == (
        "4 nodes, split by rows, no training: 309 ms, 3.5× faster than one; with training at "
        "0.5 points: 123 ms, 8.9×."
    )
    assert answer_sentence(lossless).startswith("4 nodes, split by rows or tokens, no training")
    trained = answer_sentence(at_half_a_point, load_model("resnet50"))
    assert "trained, 0.5 points lost: 123 ms, 8.9× faster than one" in trained
    assert trained.endswith("; without training: 309 ms, 3.5×.")


def test_the_sentence_on_the_terminal_says_what_there_is_not() -> None:
    quick = ("--no-next-steps",)
    alone = planner("plan", "resnet50", "--max-nodes", "1", *quick)
    assert "One node, no training: 1.09 s; with training: nothing that may be" in told(alone)
    pair = planner("plan", "mobilenetv2-224", "--max-nodes", "2", *quick)
    assert "; with training: unknown: no accuracy model." in told(pair)
    words = ("--nodes", "2", "--parallelism", "pipeline")
    piped = planner("plan", "resnet50", *words, *quick)
    assert "2 nodes, a pipeline of 2 stages, no training: " in told(piped)
    assert "1.09 s, no faster than one; with training: nothing that may be dropped" in told(piped)


def test_runs_of_layers_on_the_terminal(lossless: Plan, at_half_a_point: Plan) -> None:
    for plan in (lossless, at_half_a_point):
        table = plan_summary_table(plan)
        counts = [row[0] for row in table.rows]
        assert sum(int(count or 0) for count in counts) == len(plan.stages[0].layers)
    (first, *_, last) = plan_summary_table(lossless).rows
    assert str(first[3]).startswith("positions") and first[4] == "positions"
    fused = [row for row in plan_summary_table(lossless).rows if "(fused)" in str(row[3])]
    ends = {layer.until for layer in lossless.stages[0].layers if layer.until}
    assert {row[2] for row in fused} == ends
    assert last[3:6] == ("features", "features", "resnet.pooler: sums→features")
    sparse = [row for row in plan_summary_table(at_half_a_point).rows if row[7]]
    planned_sparse = [x for x in at_half_a_point.stages[0].layers if x.sparsity]
    assert [row[1] for row in sparse] == [layer.name for layer in planned_sparse]


def test_a_file_without_an_accuracy_model_gets_a_plan_that_drops_nothing(tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    done = planner("plan", str(LIGHT), "--max-nodes", "4", "--no-next-steps", "-o", str(saved))
    assert done.code == 0 and ", no training: " in done.out and "cutting" not in done.err
    assert done.err.splitlines() == [f"wrote {saved}"]
    plan = Plan.model_validate_json(saved.read_text(encoding="utf-8"))
    assert plan.accuracy_model is None and plan.node_count > 1 and not plan.drops_features
    alone = next(x for x in plan.alternatives if x.strategy == "single-node")
    assert alone.latency_s is not None and plan.predicted.latency_s < alone.latency_s
    done = planner("export", str(saved), "--to", str(tmp_path / "out"))
    assert done.code == 0 and "no training is needed" in done.err
