"""Network namespaces with a TAP device each, and what their frames hold.

Nothing here has a name in the file system: a namespace lives while a process holds it open, and a
TAP device while its file is open, so that both go with the process that made them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from scripts.testbed.shaping import FRAME_BYTES, QUEUE_BYTES, SEGMENT_BYTES, Train

INTERFACE = "bed0"
CLONE_NEWNET = 0x40000000

_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_TAP, _NO_PACKET_INFORMATION, _OFFLOAD_HEADER = 0x2, 0x1000, 0x4000
# Checksums and segmentation are left to the device, as to a network card: one frame of up to 64 KiB
# instead of 45, which a switch in Python can keep up with.
_CHECKSUM, _SEGMENTS_IPV4 = 0x1, 0x2
_VIRTIO = struct.Struct("=BBHHHH")  # flags, kind, headers, bytes of a segment, checksum's place
_ETHERNET_BYTES, _IPV4, _TCP, _UDP = 14, b"\x08\x00", 6, 17
_MAC = b"\x02\x00\x00\x00"
_BURST_S, _FASTER = 4e-3, 1.02
"""Of a node's own queue: what it lets through at once, and over the rate of its cable."""
_WAITING_FRAMES = 20_000  # that a TAP keeps until the switch reads them
MOST_BYTES = 2**16 + 64


def address(rank: int) -> str:
    """IPv4 address of a node in its namespace."""
    return f"10.77.0.{rank + 1}"


def system(call: str, *arguments: int) -> None:
    """Call a function of the C library that says what went wrong by errno."""
    if getattr(ctypes.CDLL(None, use_errno=True), call)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _congestion_control() -> None:
    """Linux's own, whatever this machine's is; a namespace may refuse what its host does not use.

    Reno differs from it after losses alone, and here nothing is lost.
    """
    for name in ("cubic", "reno"):
        with suppress(OSError):
            Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text(name)
            return


def namespaces(
    wire_bytes_per_s: Sequence[float], settings: Mapping[str, str]
) -> tuple[list[int], list[int]]:
    """Make a namespace for each node; files of the namespaces and of the TAP devices.

    Parameters
    ----------
    wire_bytes_per_s : sequence of float
        Of each node's cable, headers and all.
    settings : mapping of str to str
        Of the kernel, by name (``net.ipv4.tcp_rmem``), for every namespace.

    Raises
    ------
    OSError
        The machine or its administrator does not allow it.
    """
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    spaces, taps = [], []
    try:
        for rank, rate in enumerate(wire_bytes_per_s):
            system("unshare", CLONE_NEWNET)
            spaces.append(os.open("/proc/self/ns/net", os.O_RDONLY))
            taps.append(_tap())
            _congestion_control()
            for name, value in settings.items():
                Path("/proc/sys", *name.split(".")).write_text(value)
            _configure(rank, len(wire_bytes_per_s))
            _queue(rate)
    finally:
        system("setns", home, CLONE_NEWNET)
        os.close(home)
    return spaces, taps


def _tap() -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _TAP | _NO_PACKET_INFORMATION | _OFFLOAD_HEADER
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), flags))
    fcntl.ioctl(tap, _TUNSETOFFLOAD, _CHECKSUM | _SEGMENTS_IPV4)
    return tap


def _configure(rank: int, nodes: int) -> None:
    """Addresses, and those of all others, so that nobody has to ask for them."""
    with suppress(OSError):  # a kernel without IPv6
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    lines = [
        "link set lo up",
        f"link set {INTERFACE} address {_mac_text(rank)} txqueuelen {_WAITING_FRAMES}",
        f"address add {address(rank)}/16 dev {INTERFACE}",
        f"link set {INTERFACE} up",
    ]
    lines += [
        f"neigh add {address(peer)} lladdr {_mac_text(peer)} dev {INTERFACE} nud permanent"
        for peer in range(nodes)
        if peer != rank
    ]
    _told("ip", lines)


def _queue(wire_bytes_per_s: float) -> None:
    """Let what the cable cannot carry yet wait in the node, where TCP sees it and sends no more.

    A TAP device takes whatever comes and tells TCP that it is gone, which no network card does:
    megabytes would wait in the switch, and acknowledgements behind them, so that of two directions
    at once each would stand still in turn. The queue's rate is a little more than the cable's, and
    the switch alone says when a frame arrives.
    """
    most = int(min(max(_BURST_S * wire_bytes_per_s, 2 * FRAME_BYTES), 2**16))
    burst = int(max(_BURST_S * wire_bytes_per_s, most * FRAME_BYTES / SEGMENT_BYTES + FRAME_BYTES))
    rate = int(_FASTER * wire_bytes_per_s * 8)
    _told("ip", [f"link set {INTERFACE} gso_max_size {most}"])
    _told(
        "tc",
        [f"qdisc add dev {INTERFACE} root tbf rate {rate}bit burst {burst} limit {QUEUE_BYTES}"],
    )


def _told(tool: str, lines: Sequence[str]) -> None:
    done = subprocess.run(
        [tool, "-batch", "-"], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"{tool}: {' '.join(done.stderr.split())}")


def _mac(rank: int) -> bytes:
    return _MAC + rank.to_bytes(2, "big")


def _mac_text(rank: int) -> str:
    return _mac(rank).hex(":")


def train_of(sender: int, nodes: int, frame: bytes) -> Train | None:
    """What a TAP device handed over, or None if it is for no node."""
    start = _VIRTIO.size
    if frame[start : start + 4] != _MAC:
        return None
    receiver = int.from_bytes(frame[start + 4 : start + 6], "big")
    if receiver >= nodes:
        return None
    size = len(frame) - start
    headers = _headers(frame, start)
    payload = max(size - headers, 0) if headers else 0
    _, kind, _, segment, _, _ = _VIRTIO.unpack_from(frame)
    if kind and segment:
        frames = max(-(-payload // segment), 1)
        return Train(
            sender,
            receiver,
            wire_bytes=size + (frames - 1) * headers,
            frame_bytes=min(payload, segment) + headers,
            payload_bytes=payload,
            frames=frames,
            content=frame,
        )
    return Train(sender, receiver, size, size, payload, 1, frame)


def _headers(frame: bytes, start: int) -> int:
    """Bytes of the headers of TCP or UDP over IPv4; 0 for others."""
    if frame[start + 12 : start + 14] != _IPV4:
        return 0
    network = start + _ETHERNET_BYTES
    length = (frame[network] & 0xF) * 4
    protocol, transport = frame[network + 9], network + length
    if protocol == _TCP:
        return _ETHERNET_BYTES + length + (frame[transport + 12] >> 4) * 4
    return _ETHERNET_BYTES + length + 8 if protocol == _UDP else 0
