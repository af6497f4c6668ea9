"""Write docs/devices.md, the catalogue of devices and links (``--check``: fail if stale)."""

from __future__ import annotations

import sys

from documents import command, made, table

from planner.units import format_bytes, format_seconds, format_si
from profiles.devices import (
    DeviceKind,
    LinkKind,
    device_names,
    link_names,
    load_device,
    load_link,
)

PAGE = """\
# Devices and links that people own

From what stands on your desk to a cluster file, in one command:

```sh
planner cluster new --node raspberry-pi-5:4 --link gigabit-ethernet -o desk.json
planner plan mobilenetv2-224 --cluster desk.json
planner cluster new --node mac-mini-m4:2 --node rtx-3090:1 --link 10-gigabit-ethernet --name attic
```

`--node KIND:COUNT` may be given several times, in ring order; the first node holds the input.
Without `-o` the file goes to stdout. Every figure in it has its source, under `figures`; of several
kinds each stands under its kind's name, such as `rtx-3090.macs_per_s`. It is a file like any other
([nodes and links](clusters.md)): put in what you measured, and take out what does not hold.

What a speed *is* matters most. *Reached* is a published measurement, of software that may not be
yours. *Peak* is a data sheet's or a standard's, of which real work reaches a part; a cluster with a
peak in it says so in its description. Memory rates are peaks unless their source says otherwise.
1 MAC is 2 FLOP of a data sheet. Where no source is known a figure is left out: such a device has no
time per layer, such a link no delay, and plans on it look better than they are.
`planner catalog devices` and `planner catalog links` print these tables.

## Devices

{devices}

## Links

B is per interface and direction; on a shared medium all nodes have it together.

{links}

## Where the figures come from

*Measured* is a published measurement; *derived* stands in a publication or a data sheet or follows
from one. C and the time per layer of ncnn's devices are the two numbers that give its times of
ResNet-50 and MobileNetV2; they hold for one input on ncnn, in its number format.

{sources}
"""


def devices() -> str:
    """What each kind of device does."""
    return table(
        "device | C | which is | memory | memory bandwidth | time per layer | what it is",
        [
            (
                f"`{kind.name}`",
                format_si(kind.macs_per_s, "MAC/s"),
                kind.speed,
                format_bytes(kind.memory_bytes) if kind.memory_bytes else "–",
                format_si(kind.memory_bytes_per_s, "B/s", 4) if kind.memory_bytes_per_s else "–",
                format_seconds(kind.layer_overhead_s) if kind.layer_overhead_s else "–",
                kind.description,
            )
            for kind in map(load_device, device_names())
        ],
    )


def links() -> str:
    """What each kind of link does."""
    return table(
        "link | B | which is | delay of a message | medium | what it is",
        [
            (
                f"`{kind.name}`",
                format_si(kind.bandwidth_bytes_per_s, "B/s", 4),
                kind.speed,
                format_seconds(kind.latency_s) if kind.latency_s else "–",
                kind.medium,
                kind.description,
            )
            for kind in map(load_link, link_names())
        ],
    )


def sources() -> str:
    """Every figure's source."""
    kinds: list[DeviceKind | LinkKind] = [
        *map(load_device, device_names()),
        *map(load_link, link_names()),
    ]
    return table(
        "kind | figure | is | source",
        [
            (f"`{kind.name}`", f"`{figure.key}`", figure.origin, figure.source)
            for kind in kinds
            for figure in kind.figures
        ],
    )


def main() -> int:
    """Write or check; 1 where the page is stale."""
    page = PAGE.format(devices=devices(), links=links(), sources=sources())
    return made({"devices.md": page}, command(__doc__).parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
