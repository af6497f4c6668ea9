"""The view *Measured*: a run's file, and files that are none."""

from __future__ import annotations

import pytest

from planner.run.measured import (
    BytesMeasured,
    GroupMeasured,
    Measured,
    Spread,
)
from tests.page.driving import BYTES, chart, good, opened, texts


def spread(seconds: float) -> Spread:
    return Spread(median_s=seconds, low_s=seconds * 0.9, high_s=seconds * 1.1)


def run_of(groups: int) -> Measured:
    return Measured(
        model="net <b>",
        cluster="two",
        plan_digest="0" * 64,
        measured_at="2026-01-02T03:04:05+00:00",
        engine="torch",
        threads=1,
        window=1,
        runs=9,
        warmup=1,
        predicted_latency_s=groups * 0.02,
        latency=spread(groups * 0.03),
        end_to_end=spread(groups * 0.04),
        predicted_throughput_per_s=10.0,
        throughput_per_s=None,
        groups=tuple(
            GroupMeasured(
                layers=(f"layer{number}", "relu"),
                predicted_s=0.02,
                predicted_comm_s=0.005,
                predicted_compute_s=0.015,
                measured=spread(0.03),
                compute=spread(0.01),
                waiting=spread(0.02),
            )
            for number in range(groups)
        ),
        segments=(),
        messages=(),
        payload=(
            BytesMeasured(
                stretch="layer0", sender="a", receiver="b", measured_bytes=400, planned_bytes=400
            ),
        ),
        clocks=(),
    )


@pytest.mark.parametrize("groups", [3, 1000])
def test_a_run_is_drawn_beside_its_prediction(groups: int) -> None:
    page = opened("measured")
    assert "Run a plan on its nodes" in texts(page)
    content = run_of(groups).model_dump_json().encode()
    good(page.file_uploader(key="measured_upload").set_value(("run.json", content, BYTES)).run())
    assert "net <b> on two: measured" in texts(page) and "as planned" in texts(page)
    bars = [trace for trace in chart(page, "measured")["data"] if trace["type"] == "bar"]
    ends = {"predicted": 0.0, "measured": 0.0}
    for trace in bars:
        for lane, base, length in zip(trace["y"], trace["base"], trace["x"], strict=True):
            ends[lane] = max(ends[lane], base + length)
    assert ends["predicted"] == pytest.approx(groups * 20)
    assert ends["measured"] == pytest.approx(groups * 30)
    assert sum(len(trace["x"]) for trace in bars) <= 4 * 400


@pytest.mark.parametrize(
    "content, line",
    [
        (b"{}", "measured run run.json"),
        (b"[1, 2", "run.json"),
        (
            run_of(1).model_copy(update={"groups": ()}).model_dump_json().encode(),
            "groups: is empty",
        ),
        (run_of(1).model_dump_json().encode().replace(b"0.03", b"1e999", 1), "run.json"),
    ],
)
def test_other_files_are_refused_in_one_line(content: bytes, line: str) -> None:
    page = opened("measured")
    page.file_uploader(key="measured_upload").set_value(("run.json", content, BYTES)).run()
    assert not page.exception
    (error,) = (element.value for element in page.error)
    assert line in error.replace("\\", "") and "\n" not in error
