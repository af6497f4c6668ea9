"""Run a command on every node of a testbed, or check its links: see docs/testbed.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from planner.errors import BadInputError
from planner.units import parse_quantity
from scripts.testbed import leftovers
from scripts.testbed.bed import PORT, Run, Testbed
from scripts.testbed.check import AIM, check, missed

T = TypeVar("T", int, float)


def main() -> None:
    """Read the command line."""
    words, command = sys.argv[1:], []
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    arguments = _parser().parse_args(words)
    try:
        sys.exit(_cleaned() if arguments.clean else _run(arguments, command))
    except BadInputError as error:
        sys.exit(f"testbed: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.testbed",
        description=__doc__,
        usage="%(prog)s [options] (--check | --clean | -- COMMAND, with {rank}, {name}, {address} "
        "of the first node, {port}, {addresses} of all)",
    )
    parser.add_argument("--nodes", default="2", help="how many, or their names: pi,laptop")
    parser.add_argument("--bandwidth", default="37.5MB/s", help="of each node, one way")
    parser.add_argument("--delay", default="0", help="one way between two nodes: 1ms")
    parser.add_argument("--factors", help="by how much each node is slower than this machine: 1,4")
    parser.add_argument("--kind", choices=["namespaces", "loopback"], help="default: what works")
    parser.add_argument(
        "--ports", default=str(PORT), help="that the loopback's relay carries: 29500,29501"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the namespaces' kernel: net.ipv4.tcp_slow_start_after_idle=0",
    )
    parser.add_argument("--time-limit", type=float, default=600.0, help="seconds")
    parser.add_argument("--check", action="store_true", help="measure the links of two nodes")
    parser.add_argument("--clean", action="store_true", help="end what another testbed left behind")
    return parser


def _run(arguments: argparse.Namespace, command: Sequence[str]) -> int:
    if arguments.check == bool(command):
        raise BadInputError("give a command behind --, or --check")
    names = _names("2" if arguments.check else arguments.nodes)
    with Testbed(
        names,
        parse_quantity(arguments.bandwidth, "bandwidth", where="--bandwidth"),
        _delay_s(arguments.delay),
        factors=_numbers(arguments.factors, "--factors", float) if arguments.factors else None,
        kind=arguments.kind,
        ports=_numbers(arguments.ports, "--ports", int),
        settings=_settings(arguments.set),
    ) as bed:
        _say(f"{len(names)} nodes, {bed.kind}")
        if bed.refused:
            _say(f"no namespaces ({bed.refused}): only connections to the ports are shaped")
        if bed.not_urgent:
            _say(f"the switch has no precedence ({bed.not_urgent})")
        if arguments.check:
            return _checked(bed)
        run = bed.run(_commands(bed, command), time_limit_s=arguments.time_limit)
        for name, node in zip(names, run.nodes, strict=True):
            for text, stream in ((node.output, sys.stdout), (node.error, sys.stderr)):
                stream.writelines(f"[{name}] {line}\n" for line in text.splitlines())
            if node.code:
                _say(f"{name} ended with {node.code}")
        if run.over_time:
            _say(f"--time-limit {arguments.time_limit:g}: was up")
        _say_run(names, run)
        return 1 if run.over_time or any(node.code for node in run.nodes) else 0


def _checked(bed: Testbed) -> int:
    rows, runs = check(bed)
    print(f"{'':<34}{'set':>10}{'measured':>10} {'':<5}{'missed':>7}   nine of ten")
    for row in rows:
        print(row)
    off = missed(rows)
    print(f"bandwidth missed by {off:.1%} at most (aim: {AIM:.0%})")
    for run in runs:
        _say_run(bed.nodes, run)
    return 1 if off > AIM else 0


def _commands(bed: Testbed, command: Sequence[str]) -> list[list[str]]:
    found = []
    for rank, name in enumerate(bed.nodes):
        environment = bed.environment(rank)
        values = {
            "{rank}": str(rank),
            "{name}": name,
            "{address}": environment["MASTER_ADDR"],
            "{port}": environment["MASTER_PORT"],
            "{addresses}": environment["TESTBED_ADDRESSES"],
        }
        words = list(command)
        for key, value in values.items():
            words = [word.replace(key, value) for word in words]
        found.append(words)
    return found


def _say_run(names: Sequence[str], run: Run) -> None:
    for a, sender in enumerate(names):
        for b, receiver in enumerate(names):
            if run.frames[a, b]:
                _say(
                    f"{sender} to {receiver}: {run.payload_bytes[a, b]} bytes of data in "
                    f"{run.frames[a, b]} frames"
                )
    late = ", ".join(
        f"{value * 1e6:.0f} µs {what}"
        for what, value in (
            ("in the median", run.late_median_s),
            ("99 of 100", run.late_p99_s),
            ("at most", run.late_most_s),
        )
    )
    _say(f"frames were late by {late}; dropped: {run.dropped}")


def _cleaned() -> int:
    ended = leftovers.end_orphans()
    print(f"ended {len(ended)} processes of testbeds without an owner")
    return 0


def _names(text: str) -> list[str]:
    if text.isdigit():
        if int(text) > 1000:
            raise BadInputError(f"--nodes: found {text}; give fewer")
        return [f"node-{rank}" for rank in range(int(text))]
    return text.split(",")


def _delay_s(text: str) -> float:
    return 0.0 if text.strip() == "0" else parse_quantity(text, "time", where="--delay")


def _numbers(text: str, where: str, kind: Callable[[str], T]) -> list[T]:
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError as error:
        raise BadInputError(f"{where}: found {text!r}; give numbers, such as 1,4") from error


def _settings(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.startswith("net."):
            raise BadInputError(f"--set: found {text!r}; give NAME=VALUE of net., as sysctl has it")
        found[name] = value
    return found


def _say(text: str) -> None:
    print(f"testbed: {text}", file=sys.stderr)


main()
