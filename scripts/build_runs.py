"""Write docs/runs.md from what was run on the testbed (``--check``: compare)."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from documents import ROOT, command, made, ms, table

PAGE = "runs.md"
RUNS = ROOT / "benchmarks" / "runs"
ROADS = {
    "naive": "bytes/B + MACs/C",
    "rates": "rates per kind of operator, measured links",
    "alone": "the nodes' own segments run alone, measured links",
    "woken": "the same, and one time for waking, from runs of the other models",
    "links": "segments as they were in the run, measured links",
}
AIMS = {"rates": 0.12, "woken": 0.06, "links": 0.03}
APART = 0.10
"""Plans of one model that are so far apart count in the order of plans."""
LATE_S = 1e-3
"""A bed whose frames were later than that, 99 of 100, was on a busy machine."""


@dataclass(frozen=True)
class Road:
    """How well one road says what was measured.

    Attributes
    ----------
    mape : float
        Mean of absolute relative errors.
    within : float
        Share of rows within ±10 %.
    ordered, pairs : int
        Pairs of plans of one model that are more than 10 % apart: in the right order, and all.
    """

    mape: float
    within: float
    ordered: int
    pairs: int


def errors(rows: Sequence[dict[str, Any]], road: str) -> np.ndarray:
    """Relative errors, shape (R,)."""
    return np.array([row[f"{road}_s"] / row["measured_s"] - 1 for row in rows])


def road_of(rows: Sequence[dict[str, Any]], road: str) -> Road:
    """Its figures."""
    missed = np.abs(errors(rows, road))
    ordered = pairs = 0
    for a, b in combinations(rows, 2):
        same = a["model"] == b["model"] and a["factors"] == b["factors"]
        if same and abs(a["measured_s"] / b["measured_s"] - 1) > APART:
            pairs += 1
            measured = a["measured_s"] < b["measured_s"]
            ordered += measured == (a[f"{road}_s"] < b[f"{road}_s"])
    return Road(float(missed.mean()), float((missed <= 0.10).mean()), ordered, pairs)


def noise(rows: Sequence[dict[str, Any]]) -> float:
    """Mean relative difference of the two turns' medians."""
    turns = np.array([row["turns_s"] for row in rows])
    return float(np.mean(np.abs(turns[:, 0] / turns[:, -1] - 1)))


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """One row a road."""
    body = []
    for road, words in ROADS.items():
        found = road_of(rows, road)
        aim = f"{AIMS[road]:.0%}" if road in AIMS else "–"
        body.append(
            (
                words,
                f"{found.mape:.1%}",
                aim,
                f"{found.within:.0%}",
                f"{found.ordered} of {found.pairs}",
            )
        )
    header = "road | mean absolute error | aim | rows within ±10 % | pairs of plans in order"
    return table(header, body)


def ratios(rows: Sequence[dict[str, Any]]) -> str:
    """How much faster than dense: measured and predicted."""
    found = []
    for dense in rows:
        if dense["kind"] != "dense":
            continue
        for row in rows:
            same = all(row[key] == dense[key] for key in ("model", "nodes", "factors"))
            if not same or row["kind"] not in ("disco-90", "rows", "best"):
                continue
            measured, rates, woken = (
                dense[f"{key}_s"] / row[f"{key}_s"] for key in ("measured", "rates", "woken")
            )
            found.append(
                (
                    row["model"],
                    nodes_of(row),
                    row["kind"],
                    f"{measured:.2f}",
                    f"{rates:.2f} ({rates / measured - 1:+.0%})",
                    f"{woken:.2f} ({woken / measured - 1:+.0%})",
                )
            )
    return table("model | nodes | plan | measured | by rates | by segments alone and waking", found)


def nodes_of(row: dict[str, Any]) -> str:
    """How many, and whether they are alike."""
    unlike = len(set(row["factors"][: row["nodes"]])) > 1
    return f"{row['nodes']}{', unlike' if unlike else ''}"


def by_nodes(rows: Sequence[dict[str, Any]]) -> str:
    """One row a number of nodes, one column a road."""
    body = []
    for nodes in sorted({row["nodes"] for row in rows}):
        some = [row for row in rows if row["nodes"] == nodes]
        late_s = max(row["late_p99_s"] for row in some)
        missed = [f"{road_of(some, road).mape:.1%}" for road in ROADS]
        body.append([f"{nodes}", f"{len(some)}", *missed, f"{late_s * 1e3:.2f}"])
    header = "nodes | rows | " + " | ".join(ROADS) + " | 99 of 100 frames late by at most (ms)"
    return table(header, body)


def waking_words(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The times for waking, by the number of nodes."""
    words = []
    for nodes in dict.fromkeys(nodes_of(row) for row in rows if row["nodes"] > 1):
        found = [row["waking_s"] * 1e3 for row in rows if nodes_of(row) == nodes]
        words.append(f"{min(found):.2f} to {max(found):.2f} ms on {nodes}")
    return words


def slower_words(rows: Sequence[dict[str, Any]]) -> str:
    """How much slower nodes are than the machine."""
    alike = {row["factors"][0] for row in rows if len(set(row["factors"])) == 1}
    unlike = sorted(
        {factor for row in rows if len(set(row["factors"])) > 1 for factor in row["factors"]}
    )
    words = f"{' or '.join(f'{x:g}' for x in sorted(alike))} times slower than this machine"
    return words + (
        f" (unlike ones {' and '.join(f'{x:g}' for x in unlike)} times)" if unlike else ""
    )


def all_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Every row."""
    body = []
    for row in rows:
        spread = (row["high_s"] - row["low_s"]) / row["measured_s"]
        body.append(
            (
                row["model"],
                row["kind"],
                nodes_of(row),
                ms(row["measured_s"]),
                f"{spread:.0%}",
                *(
                    f"{ms(row[f'{road}_s'])} ({row[f'{road}_s'] / row['measured_s'] - 1:+.0%})"
                    for road in ROADS
                ),
            )
        )
    header = (
        "model | plan | nodes | measured (ms) | half of all runs within | bytes/B + MACs/C | "
        "rates | alone | woken | links"
    )
    return table(header, body)


def dtensor_section(document: dict[str, Any]) -> list[str]:
    """Torch's own tensor parallelism beside the plan of the same kind."""
    body = [
        [
            row["model"],
            f"{row['nodes']}",
            *(ms(row[f"{who}_s"]) for who in ("dtensor", "plan")),
            f"{row['plan_s'] / row['dtensor_s']:.2f}",
        ]
        for row in document["rows"]
    ]
    return [
        "## Beside torch's own tensor parallelism",
        "The same models split by DTensor (`torch.distributed.tensor.parallel`: linear layers by "
        "columns and rows, as it runs without compiling), on the same bed in turns with the plan "
        "*tensor-parallel*: nodes of the same speed, links of the same bandwidth and delay. "
        "`python -m benchmarks.runs.dtensor FOLDER` measures it anew; measured "
        f"{document['measured_at'][:10]}.",
        table("model | nodes | DTensor (ms) | plan (ms) | plan / DTensor", body),
    ]


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    rows = document["rows"]
    busy = [row for row in rows if row["late_p99_s"] > LATE_S]
    planned = sum(row["payload_as_planned"] for row in rows)
    parts = [
        "# Plans that ran",
        "Plans, run by `planner run` on the [testbed](testbed.md), beside what was predicted of "
        "them. The rows are in `benchmarks/runs/results.json`; `python -m benchmarks.runs prepare "
        "FOLDER` and `measure FOLDER` make them anew, and `python scripts/build_runs.py` writes "
        "this page from them.",
        f"{len(rows)} rows of {len({row['model'] for row in rows})} models, measured "
        f"{document['measured_at'][:10]} on {document['machine']}; segments by "
        f"{document['engine']}, one thread a node; links of "
        f"{document['bandwidth_bytes_per_s'] / 1e6:g} MB/s and "
        f"{document['delay_s'] * 1e3:g} ms. Every node is {slower_words(rows)}, so that its cores "
        "can be four nodes: a node's thread counts its processor time and waits for the rest "
        "before anything is sent.",
        summary(rows),
        "By the number of nodes, mean absolute errors (of four nodes the switch has twelve "
        "messages to hand over at once, one after another):",
        by_nodes(rows),
        f"The medians of two turns of one plan differ by {noise(rows):.1%} in the mean: no road "
        f"can be better than that. Payload at the sockets was the plan's, to the byte, in "
        f"{planned} of {len(rows)} rows. Load of the machine at the end: "
        f"{document['load_at_end']:.1f}, the run's own included. "
        + (
            f"{len(busy)} rows were measured while frames were late (99 of 100 by more than "
            f"{LATE_S * 1e3:g} ms)."
            if busy
            else f"99 of 100 frames left the switch less than "
            f"{max(row['late_p99_s'] for row in rows) * 1e3:.2g} ms late."
        ),
        "What each road knows:",
        "- **bytes/B + MACs/C**: the bandwidth, and one C a node.\n"
        "- **rates**: the cost model ([model](model.md)) with what `planner measure node` and "
        "`planner measure links` find: rates per kind of operator, memory bandwidth, times per "
        "operator, delay and software time of messages. No model is part of it. Nodes are "
        "measured before and behind every six plans, as many at once as run them, and with rests "
        "between operators, as there are between segments: they share the machine, which drifts, "
        "and what follows a rest takes longer.\n"
        "- **alone**: every node runs its own segments without the others, in turns with the runs; "
        "`planner.run.simulated` puts them together with the links.\n"
        "- **woken**: what follows a wait takes longer than the same segment alone: the processor "
        "has slept, and caches hold what came in. One time for that is added to every segment "
        "behind a wait, the median of the *other* models' plans on as many nodes: "
        + ", ".join(waking_words(rows))
        + ".\n"
        "- **links**: the same with the times that segments took in the run itself: what is left "
        "is links and waiting.",
        "## How much faster than dense",
        "Latency of the dense plan (*features*, nothing dropped) over that of others on the same "
        "nodes; in brackets how far the predicted ratio is off.",
        ratios(rows),
        "## All rows",
        "*disco-90* drops 90 % of what layers exchange, *rows* splits positions, "
        "*tensor-parallel* splits features by outputs and sums, *best* is the optimum of all ways, "
        "*pipeline* gives every node equal MACs, *hybrid* two stages of equal MACs, each dense on "
        "half of the nodes. In brackets how far predictions are off.",
        all_rows(rows),
    ]
    beside = RUNS / "dtensor.json"
    if beside.exists():
        parts += dtensor_section(json.loads(beside.read_text(encoding="utf-8")))
    sources = ROOT / "benchmarks" / "multi_source" / "results.json"
    if sources.exists():
        sys.path.insert(0, str(ROOT))
        from benchmarks.multi_source.table import markdown

        parts += ["## Several sources", markdown(json.loads(sources.read_text(encoding="utf-8")))]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write or compare."""
    check = command(__doc__).parse_args().check
    document = json.loads((RUNS / "results.json").read_text(encoding="utf-8"))
    return made({PAGE: page(document)}, check)


if __name__ == "__main__":
    sys.exit(main())
