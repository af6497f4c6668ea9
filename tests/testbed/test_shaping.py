"""When frames arrive, worked out by hand: no clock, no network."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import BadInputError
from scripts.testbed.shaping import FRAME_BYTES, HEADER_BYTES, SEGMENT_BYTES, Shaper, Train
from scripts.testbed.taps import train_of

DATA = 1448e3  # bytes/s of data, which is 1514e3 on the cable: 1 ms a full frame
DELAY_S = 0.25
FRAME_S = 1e-3


def frame(a: int, b: int, content: Any = None) -> Train:
    return Train.of_data(a, b, SEGMENT_BYTES, content)


def all_arrivals(shaper: Shaper) -> list[tuple[float, Train]]:
    found = []
    while np.isfinite(shaper.next_s):
        found += shaper.arrived(shaper.next_s)
    return found


def test_a_frame_crosses_two_cables_and_the_delay() -> None:
    shaper = Shaper(DATA, DELAY_S, 2)
    shaper.enter(10.0, frame(0, 1, "it"))
    assert shaper.arrived(10.0 + DELAY_S) == []
    ((when, train),) = all_arrivals(shaper)
    assert when == pytest.approx(10.0 + 2 * FRAME_S + DELAY_S)
    assert train.content == "it"
    assert not np.isfinite(shaper.next_s)


def test_data_alone_gets_the_bandwidth_that_is_set() -> None:
    shaper = Shaper(DATA, DELAY_S, 2)
    for _ in range(1000):
        shaper.enter(0.0, frame(0, 1))
    last, _ = all_arrivals(shaper)[-1]
    assert last == pytest.approx(1000 * SEGMENT_BYTES / DATA + DELAY_S + FRAME_S)


@given(st.integers(1, 60_000), st.integers(1, 50))
def test_a_train_takes_as_long_as_its_frames_one_by_one(size: int, others: int) -> None:
    together, apart = Shaper(DATA, DELAY_S, 2), Shaper(DATA, DELAY_S, 2)
    for shaper in (together, apart):
        shaper.enter(0.0, Train.of_data(0, 1, others))
    together.enter(0.0, Train.of_data(0, 1, size))
    for start in range(0, size, SEGMENT_BYTES):
        apart.enter(0.0, Train.of_data(0, 1, min(SEGMENT_BYTES, size - start)))
    (_, first), (end, _) = all_arrivals(together)
    assert first.payload_bytes == others
    assert end == pytest.approx(all_arrivals(apart)[-1][0])


def test_directions_do_not_wait_for_each_other() -> None:
    shaper = Shaper(DATA, 0.0, 2)
    for pair in ((0, 1), (1, 0)):
        for _ in range(10):
            shaper.enter(0.0, frame(*pair))
    found = all_arrivals(shaper)
    assert {(train.sender, round(when, 9)) for when, train in found if when > 0.0105} == {
        (0, 0.011),
        (1, 0.011),
    }


def test_two_senders_share_a_receivers_cable_in_order_of_arrival() -> None:
    delay = np.zeros((3, 3))
    delay[0, 2] = 0.5
    shaper = Shaper(DATA, delay, 3)
    shaper.enter(0.0, frame(0, 2, "far"))  # handed over first, and behind the other one there
    for _ in range(3):
        shaper.enter(0.0, frame(1, 2, "near"))
    shaper.enter(0.5 + FRAME_S / 2, frame(1, 2, "late"))  # comes while `far` is on the cable
    found = [(train.content, round(when, 9)) for when, train in all_arrivals(shaper)]
    assert found == [
        ("near", 0.002),
        ("near", 0.003),
        ("near", 0.004),
        ("far", 0.502),
        ("late", 0.503),
    ]


@pytest.mark.parametrize(("rates", "slow_s"), [((1.0, 0.1), 0.01), ((0.1, 1.0), 0.01)])
def test_the_slower_cable_counts(rates: tuple[float, float], slow_s: float) -> None:
    shaper = Shaper(DATA * np.array(rates), 0.0, 2)
    shaper.enter(0.0, Train.of_data(0, 1, 20 * SEGMENT_BYTES))
    ((when, _),) = all_arrivals(shaper)
    assert when == pytest.approx(20 * slow_s + FRAME_S)


def test_what_finds_the_queue_full_is_dropped_and_counted() -> None:
    shaper = Shaper(DATA, 0.0, 3, queue_bytes=2 * FRAME_BYTES)
    for _ in range(10):
        shaper.enter(0.0, frame(0, 2))
    assert shaper.dropped == 7  # one is on the cable, two wait, and one more was let in behind them
    assert len(all_arrivals(shaper)) == 3


@pytest.mark.parametrize(
    ("bandwidth", "delay", "words"),
    [
        (0.0, 0.0, "bandwidth: give more than 0"),
        ([1.0, 2.0, 3.0], 0.0, "bandwidth: give one number, or 2 of them"),
        (1.0, -1.0, "delay: give 0 s or more"),
        (np.nan, 0.0, "bandwidth: give finite"),
        (1.0, np.inf, "delay: give finite"),
    ],
)
def test_bad_links_are_refused(bandwidth: Any, delay: Any, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        Shaper(bandwidth, delay, 2)


def handed_over(receiver: int, protocol: int, payload: int, segment: int = 0) -> bytes:
    """A frame as a TAP device gives it, with the header that tells of its segments."""
    transport = bytes([0] * 12 + [8 << 4] + [0] * 19) if protocol == 6 else bytes(8)
    network = bytes([0x45] + [0] * 8 + [protocol] + [0] * 10)
    ethernet = b"\x02\0\0\0" + receiver.to_bytes(2, "big") + b"\x02\0\0\0\0\0" + b"\x08\0"
    headers = len(ethernet) + len(network) + len(transport)
    offload = struct.pack("=BBHHHH", 1, 1 if segment else 0, headers, segment, 34, 16)
    return offload + ethernet + network + transport + bytes(payload)


def test_frames_say_how_much_data_they_carry() -> None:
    one = train_of(0, 2, handed_over(1, 6, 1000))
    assert one is not None
    assert (one.receiver, one.frames, one.payload_bytes) == (1, 1, 1000)
    assert one.wire_bytes == one.frame_bytes == 1000 + HEADER_BYTES

    many = train_of(0, 2, handed_over(1, 6, 10 * SEGMENT_BYTES + 1, SEGMENT_BYTES))
    wanted = Train.of_data(0, 1, 10 * SEGMENT_BYTES + 1)
    assert many is not None
    for name in ("wire_bytes", "frame_bytes", "payload_bytes", "frames"):
        assert getattr(many, name) == getattr(wanted, name)

    datagram = train_of(1, 2, handed_over(0, 17, 100))
    assert datagram is not None
    assert (datagram.payload_bytes, datagram.wire_bytes) == (100, 142)


def test_frames_for_nobody_go_nowhere() -> None:
    assert train_of(0, 2, handed_over(2, 6, 10)) is None
    assert train_of(0, 2, bytes(10) + b"\xff" * 60) is None
