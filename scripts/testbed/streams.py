"""What a check runs on its two nodes: delay and rates through plain sockets, as JSON by rank 0."""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import threading
import time

ROUND_TRIPS = 200
RUNS = 8  # the first of them opens TCP's windows and counts for nothing
LIMIT_S = 60.0
LONG_S = 0.4


def main() -> None:
    """Measure between this node and the other one."""
    first = os.environ["RANK"] == "0"
    size = max(int(float(sys.argv[1]) * LONG_S), 10_000)
    with _connected(first) as connection:
        connection.settimeout(LIMIT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        halves = [_round_trip(connection, first) / 2 for _ in range(ROUND_TRIPS)]
        delay_s = statistics.median(halves)
        there = [_one_way(connection, first, size) - 2 * delay_s for _ in range(RUNS)][1:]
        back = [_one_way(connection, not first, size) - 2 * delay_s for _ in range(RUNS)][1:]
        both = [_both(connection, first, size) - delay_s for _ in range(RUNS)][1:]
        connection.sendall(json.dumps(both).encode() + b"\n")
        with connection.makefile() as lines:
            others = json.loads(lines.readline())
    if first:
        rates = {"there": there, "back": back, "both": both + others}
        found = {name: [size / seconds for seconds in all_s] for name, all_s in rates.items()}
        print(json.dumps(found | {"delay_s": halves}))


def _connected(first: bool) -> socket.socket:
    addresses, port = os.environ["TESTBED_ADDRESSES"].split(","), int(os.environ["MASTER_PORT"])
    if first:
        with socket.create_server((addresses[0], port)) as listening:
            listening.settimeout(LIMIT_S)
            return listening.accept()[0]
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        try:
            return socket.create_connection((addresses[0], port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


def _take(connection: socket.socket, size: int) -> None:
    left, into = size, bytearray(2**20)
    while left:
        got = connection.recv_into(into, min(left, len(into)))
        if not got:
            raise ConnectionError("the other node is gone")
        left -= got


def _round_trip(connection: socket.socket, first: bool) -> float:
    begun_s = time.perf_counter()
    for sends in (first, not first):
        if sends:
            connection.sendall(b"-")
        else:
            _take(connection, 1)
    return time.perf_counter() - begun_s


def _one_way(connection: socket.socket, sends: bool, size: int) -> float:
    """Seconds of a transfer until its sender knows that it came."""
    data = bytes(size)
    begun_s = time.perf_counter()
    if sends:
        connection.sendall(data)
        _take(connection, 1)
    else:
        _take(connection, size)
        connection.sendall(b"-")
    return time.perf_counter() - begun_s


def _both(connection: socket.socket, first: bool, size: int) -> float:
    """Seconds until what the other one sends has come, while as much goes there."""
    data = bytes(size)
    _round_trip(connection, first)
    begun_s = time.perf_counter()
    sending = threading.Thread(target=connection.sendall, args=(data,))
    sending.start()
    _take(connection, size)
    seconds = time.perf_counter() - begun_s
    sending.join()
    return seconds


main()
