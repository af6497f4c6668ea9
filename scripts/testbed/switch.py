"""The process of the switch: a JSON line of settings in, frames between TAP devices until its end.

What it cannot have (namespaces, TAP devices) it says in its first line, and ends.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from functools import partial

from scripts.testbed.leftovers import end_all
from scripts.testbed.loop import Loop, first_in_line
from scripts.testbed.relay import Relay
from scripts.testbed.shaping import Shaper, Train
from scripts.testbed.taps import MOST_BYTES, namespaces, train_of

_AT_ONCE = 64  # frames that are read before others have their turn


def main() -> None:
    """Serve what the first line of standard input asks for."""
    asked = json.loads(_line())
    links = asked["bandwidth_bytes_per_s"], asked["delay_s"], asked["nodes"]
    try:
        if asked["kind"] == "namespaces":
            _switch(Shaper(*links), asked["settings"], asked["urgent"])
        else:
            # Nothing of a connection may be dropped here: each is slowed down before it fills this.
            relay = Relay(Shaper(*links, queue_bytes=sys.maxsize), asked["ports"])
            refused = first_in_line() if asked["urgent"] else "not asked for"
            relay.loop().serve({"not_urgent": refused})
    except OSError as error:
        sys.stdout.write(json.dumps({"refused": str(error)}) + "\n")
    finally:
        end_all(asked["mark"])


def _line() -> str:
    """One line, and nothing of what follows: the loop reads that without a buffer."""
    found = b""
    while not found.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            sys.exit("testbed: no settings")
        found += piece
    return found.decode()


def _switch(shaper: Shaper, settings: dict[str, str], urgent: bool) -> None:
    spaces, taps = namespaces(shaper.wire_bytes_per_s, settings)
    refused = first_in_line() if urgent else "not asked for"

    def read(sender: int, now_s: float) -> None:
        with suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                train = train_of(sender, shaper.nodes, os.read(taps[sender], MOST_BYTES))
                if train is not None:
                    shaper.enter(now_s, train)

    def deliver(train: Train) -> None:
        try:
            os.write(taps[train.receiver], train.content)
        except OSError:
            shaper.dropped += 1

    readers = {tap: partial(read, rank) for rank, tap in enumerate(taps)}
    Loop(shaper, readers, deliver).serve({"spaces": spaces, "not_urgent": refused})


if __name__ == "__main__":
    main()
