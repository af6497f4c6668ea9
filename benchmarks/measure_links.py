"""Links that are shaped to a known rate and delay against what `planner measure links` says.

Two network namespaces on this machine are joined by a pair of virtual interfaces, each shaped with
tc (tbf for the rate, netem for the delay); one process runs in each. A shaper counts Ethernet
frames, so that the rate of data is that of the shaper times 1,448 of 1,514 bytes; printed is
measured over that. It needs root, ip and tc, and says so where they are missing.

    python benchmarks/measure_links.py [--rates 20 100 400] [--delay-ms 0]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _machine import header

from planner.measure.parts import LinkMeasurement
from profiles.files import read_document

NAMES = ("measure-a", "measure-b")
PAYLOAD = 1448 / 1514
TARGET = 0.03
WAIT_S = 300.0


def run(*words: str) -> None:
    """Run a command of the system; its message goes into the error."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def namespaces() -> Iterator[None]:
    """Two hosts with a wire between them, gone afterwards."""
    try:
        for name in NAMES:
            run("ip", "netns", "add", name)
        ends = [f"{name[-1]}-wire" for name in NAMES]
        run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (name, end) in enumerate(zip(NAMES, ends, strict=True), start=1):
            run("ip", "link", "set", end, "netns", name)
            inside = ("ip", "netns", "exec", name, "ip")
            run(*inside, "address", "add", f"10.77.0.{number}/24", "dev", end)
            run(*inside, "link", "set", end, "up")
            run(*inside, "link", "set", "lo", "up")
        yield
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def shape(rate_mbit_s: float, delay_ms: float) -> None:
    """Let both ends send at a rate, behind a delay."""
    for name in NAMES:
        end = f"{name[-1]}-wire"
        tc = ("ip", "netns", "exec", name, "tc", "qdisc")
        subprocess.run([*tc, "del", "dev", end, "root"], capture_output=True, check=False)
        parent = ("root", "handle", "1:")
        if delay_ms:
            run(
                *tc,
                "add",
                "dev",
                end,
                *parent,
                "netem",
                "delay",
                f"{delay_ms}ms",
                "limit",
                "100000",
            )
            parent = ("parent", "1:1", "handle", "2:")
        burst = max(int(rate_mbit_s * 1e6 / 8 * 0.002), 16_000)  # 2 ms at the rate
        limits = ("rate", f"{rate_mbit_s}mbit", "burst", str(burst), "latency", "20ms")
        run(*tc, "add", "dev", end, *parent, "tbf", *limits)


def measured(port: int) -> LinkMeasurement:
    """What the command says between the two."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "links.json"
        processes = []
        for rank, name in enumerate(NAMES):
            variables = {
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "10.77.0.1",
                "MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": f"{name[-1]}-wire",
                "OMP_NUM_THREADS": "1",
            }
            program = "from app.cli import main; main()"
            words = ["measure", "links", "--name", name, "-o", str(out)]
            processes.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", name, sys.executable, "-c", program, *words],
                    env={**os.environ, **variables},
                    stdout=subprocess.DEVNULL,
                )
            )
        codes = [one.wait(timeout=WAIT_S) for one in processes]
        if any(codes):
            raise OSError(f"the command ended with {codes}")
        return read_document(out, LinkMeasurement, what="links part")


def main() -> None:
    """Print a line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="*", default=[20.0, 100.0, 400.0])
    parser.add_argument("--delay-ms", type=float, default=0.0, help="needs netem")
    arguments = parser.parse_args()
    print(header(("torch", "numpy")) + "\n")
    try:
        with namespaces():
            titles = ("there", "back", "both", "delay (ms)")
            print(f"{'shaped (Mbit/s)':>16}{''.join(f'{title:>12}' for title in titles)}  medium")
            misses = []
            for number, rate in enumerate(arguments.rates):
                shape(rate, arguments.delay_ms)
                found = measured(29700 + number)
                (pair,) = found.pairs
                true = rate * 1e6 / 8 * PAYLOAD
                ratios = [
                    one.value / true
                    for one in (
                        pair.forward_bytes_per_s,
                        pair.backward_bytes_per_s,
                        pair.both_bytes_per_s,
                    )
                ]
                misses += [abs(ratio - 1) for ratio in ratios[:2]]
                print(
                    f"{rate:>16g}{''.join(f'{ratio:>12.3f}' for ratio in ratios)}"
                    f"{pair.latency_s.value * 1e3:>12.2f}  {found.medium}"
                )
            print(f"\nmissed by {max(misses):.1%} at most (aim: {TARGET:.0%})")
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"skipped: {error}")


if __name__ == "__main__":
    main()
