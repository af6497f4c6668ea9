"""Links that are shaped to a known rate and delay against what `planner measure links` says.

Two nodes of the testbed (docs/testbed.md), one process in each; printed is measured over set. It
needs a machine that lets it have network namespaces, and says so where that is not so.

    python benchmarks/measure_links.py [--rates 2.5 12.5 37.5] [--delay-ms 1]
"""

from __future__ import annotations

import argparse

from _machine import header

from planner.errors import BadInputError
from scripts.testbed.bed import Testbed
from scripts.testbed.check import AIM, link_rows, missed, through_gloo


def main() -> None:
    """Print a line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="*", default=[2.5, 12.5, 37.5], help="MB/s")
    parser.add_argument("--delay-ms", type=float, default=1.0)
    arguments = parser.parse_args()
    print(header(("torch", "numpy")) + "\n")
    titles = ("there", "back", "both", "delay (ms)", "late (ms)")
    print(f"{'set (MB/s)':>10}{''.join(f'{title:>12}' for title in titles)}  medium")
    rows = []
    try:
        for rate in arguments.rates:
            delay_s = arguments.delay_ms / 1e3
            with Testbed(["a", "b"], rate * 1e6, delay_s, kind="namespaces") as bed:
                found, run = through_gloo(bed)
                *rates, delay = link_rows(found, bed)
            rows += rates
            ratios = "".join(f"{row.value / row.wanted:>12.3f}" for row in rates)
            late_ms = run.late_p99_s * 1e3
            print(f"{rate:>10g}{ratios}{delay.value:>12.2f}{late_ms:>12.2f}  {found.medium}")
        print(f"\nmissed by {missed(rows):.1%} at most (aim: {AIM:.0%})")
    except BadInputError as error:
        print(f"skipped: {error}")


if __name__ == "__main__":
    main()
