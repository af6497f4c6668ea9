"""Set against measured: links of a testbed through plain sockets, and through gloo."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planner.errors import BadInputError
from planner.measure.parts import LinkMeasurement
from profiles.files import read_document
from scripts.testbed.bed import Run, Testbed, this_checkout

AIM = 0.03
LIMIT_S = 120.0
_PLANNER = "from app.cli import main; main()"
_NAMES = {"there": "bandwidth there", "back": "bandwidth back", "both": "bandwidth, both at once"}


@dataclass(frozen=True)
class Row:
    """A figure that was set and measured; of what was measured the noise (nine of ten times)."""

    what: str
    unit: str
    wanted: float
    low: float
    value: float
    high: float

    def __str__(self) -> str:
        """A line of the table."""
        missed = f"{self.value / self.wanted - 1:+.1%}" if self.wanted else ""
        return (
            f"{self.what:<34}{self.wanted:>10.4g}{self.value:>10.4g} {self.unit:<5}{missed:>7}"
            f"   {self.low:.4g} to {self.high:.4g}"
        )


def check(bed: Testbed) -> tuple[list[Row], list[Run]]:
    """Measure the link between the first two nodes, once with sockets and once with gloo.

    Gloo's addresses are its own, so that a bed on the loopback is measured with sockets alone.
    """
    sockets, run = through_sockets(bed)
    rows, runs = list(sockets), [run]
    if bed.kind == "namespaces":
        found, run = through_gloo(bed)
        rows += link_rows(found, bed)
        runs.append(run)
    return rows, runs


def through_sockets(bed: Testbed) -> tuple[list[Row], Run]:
    """Rates and delay of one connection."""
    program = str(Path(__file__).with_name("streams.py"))
    run = _done(bed, [[sys.executable, program, repr(_set(bed)[0])]] * 2)
    found: Mapping[str, Sequence[float]] = json.loads(run.nodes[0].output)
    rows = [
        _row(f"sockets: {name}", bed, np.quantile(found[key], (0.05, 0.5, 0.95)))
        for key, name in _NAMES.items()
    ]
    delay = np.quantile(found["delay_s"], (0.05, 0.5, 0.95))
    return [*rows, _row("sockets: delay", bed, delay, delay=True)], run


def through_gloo(bed: Testbed) -> tuple[LinkMeasurement, Run]:
    """What ``planner measure links`` finds."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "links.json"
        words = ["measure", "links", "-o", str(out)]
        run = _done(
            bed, [[sys.executable, "-c", _PLANNER, *words, "--name", name] for name in bed.nodes]
        )
        return read_document(out, LinkMeasurement, what="links part"), run


def link_rows(found: LinkMeasurement, bed: Testbed) -> list[Row]:
    """Its first pair, against what was set."""
    pair = found.pairs[0]
    rates = (pair.forward_bytes_per_s, pair.backward_bytes_per_s, pair.both_bytes_per_s)
    rows = [
        _row(f"gloo: {name}", bed, (rate.low, rate.value, rate.high))
        for name, rate in zip(_NAMES.values(), rates, strict=True)
    ]
    delay = pair.latency_s
    return [*rows, _row("gloo: delay", bed, (delay.low, delay.value, delay.high), delay=True)]


def missed(rows: Sequence[Row]) -> float:
    """By how much the worst bandwidth is off."""
    return max(abs(row.value / row.wanted - 1) for row in rows if row.unit == "MB/s")


def _set(bed: Testbed) -> tuple[float, float]:
    """The one bandwidth and delay of a bed whose nodes are alike."""
    bandwidth, delay = np.unique(bed.bandwidth_bytes_per_s), np.unique(bed.delay_s)
    if len(bandwidth) != 1 or len(delay) != 1:
        raise BadInputError("check: give one bandwidth and one delay")
    return float(bandwidth[0]), float(delay[0])


def _row(what: str, bed: Testbed, values: Iterable[float], *, delay: bool = False) -> Row:
    low, value, high = values
    bandwidth_bytes_per_s, delay_s = _set(bed)
    if delay:
        return Row(what, "ms", delay_s * 1e3, low * 1e3, value * 1e3, high * 1e3)
    return Row(what, "MB/s", bandwidth_bytes_per_s / 1e6, low / 1e6, value / 1e6, high / 1e6)


def _done(bed: Testbed, commands: Sequence[Sequence[str]]) -> Run:
    run = bed.run(commands, this_checkout(), time_limit_s=LIMIT_S)
    for name, node in zip(bed.nodes, run.nodes, strict=True):
        if node.code:
            last = (node.error.strip().splitlines() or ["no message"])[-1]
            raise BadInputError(f"check: {name} ended with {node.code}: {last}")
    return run
