"""``planner cluster``: cluster files made from the catalogue of devices and links."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.options import CheckedCommand
from app.render import write_file
from planner.errors import BadInputError
from planner.units import parse_quantity
from profiles.devices import cluster_of
from profiles.files import document_text

cluster = typer.Typer(no_args_is_help=True, help="Describe the nodes and links that you have.")

COUNT = re.compile(r"[0-9]{1,9}")


@cluster.command(cls=CheckedCommand)
def new(
    node: Annotated[
        list[str],
        typer.Option(
            metavar="KIND:COUNT",
            help="So many nodes of a kind (planner catalog devices); may be given several times, "
            "in ring order. The first node holds the input.",
        ),
    ],
    link: Annotated[str, typer.Option(metavar="KIND", help="planner catalog links lists them.")],
    name: Annotated[str | None, typer.Option(help="The cluster's name.")] = None,
    host_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory of the host that every node's card sits in, such as 128GB: a language "
            "model's experts may lie there. With --host-bandwidth and --host-compute.",
        ),
    ] = None,
    host_bandwidth: Annotated[
        str | None, typer.Option(metavar="RATE", help="That memory's bandwidth, such as 80GB/s.")
    ] = None,
    host_compute: Annotated[
        str | None, typer.Option(metavar="RATE", help="Its processor's speed, such as 1TMAC/s.")
    ] = None,
    host_link: Annotated[
        str | None,
        typer.Option(
            metavar="RATE", help="What passes between card and host (default: at no cost)."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write (default: stdout)."),
    ] = None,
) -> None:
    """Write a cluster file of devices and a link from the catalogue, with the figures' sources."""
    given = (
        ("--host-memory", host_memory, "memory", "memory_bytes"),
        ("--host-bandwidth", host_bandwidth, "bandwidth", "memory_bytes_per_s"),
        ("--host-compute", host_compute, "compute", "macs_per_s"),
        ("--host-link", host_link, "bandwidth", "link_bytes_per_s"),
    )
    host = {
        field: parse_quantity(text, kind, where=option)
        for option, text, kind, field in given
        if text is not None
    }
    if host_memory is not None:
        host["memory_bytes"] = round(host["memory_bytes"])
    counted = [_counted(words) for words in node]
    text = document_text(cluster_of(counted, link, name=name, host=host))
    if output is None:
        sys.stdout.write(text)
    else:
        write_file(output, text)


def _counted(text: str) -> tuple[str, int]:
    """Kind and number of ``raspberry-pi-5:4``."""
    kind, _, count = text.rpartition(":")
    if not kind or not COUNT.fullmatch(count):
        raise BadInputError(
            f"--node {text!r}: give KIND:COUNT with a whole number, such as raspberry-pi-5:4"
        )
    return kind, int(count)
