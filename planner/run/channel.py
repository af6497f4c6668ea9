"""What carries messages between processes: torch.distributed's gloo behind two calls.

A receiver says beforehand what it expects: sizes come from the plan, and nothing is unpickled.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import torch

from planner.errors import BadInputError
from planner.meeting import first_line, torch_distributed


class Pending(Protocol):
    """A message that is on its way."""

    def wait(self, limit: timedelta) -> object:
        """Until it is there, or has left; a RuntimeError where that does not happen in time."""


class Channel(Protocol):
    """Begins messages; peers are ranks."""

    def send(self, value: torch.Tensor, peer: int, tag: int) -> Pending:
        """Begin to send; the value must not change until it has left."""

    def receive(self, into: torch.Tensor, peer: int, tag: int) -> Pending:
        """Say what is expected, and where it is to lie."""


@dataclass(frozen=True)
class Bound:
    """What a process listens on: an interface, an address, or what its host's name leads to."""

    interface: str | None = None
    host: str | None = None


class Gloo:
    """All processes of a run, connected to each other over TCP.

    Parameters
    ----------
    store : torch.distributed.Store
        Where they find each other.
    rank, world : int
    limit_s : float
        Until all must be connected.
    bound : Bound

    Raises
    ------
    BadInputError
        There is no such interface or address.
    RuntimeError
        A process was not there in time.
    """

    def __init__(
        self, store: Any, rank: int, world: int, limit_s: float, bound: Bound = Bound()
    ) -> None:
        gloo = torch_distributed("plans are run").ProcessGroupGloo
        options = gloo._Options()
        options._timeout = timedelta(seconds=limit_s)
        options._devices = [_device(gloo, bound)]
        self._group = gloo(store, rank, world, options)

    def send(self, value: torch.Tensor, peer: int, tag: int) -> Pending:
        """Begin to send; see `Channel`."""
        work: Pending = self._group.send([value], peer, tag)
        return work

    def receive(self, into: torch.Tensor, peer: int, tag: int) -> Pending:
        """Say what is expected; see `Channel`."""
        work: Pending = self._group.recv([into], peer, tag)
        return work


def _device(gloo: Any, bound: Bound) -> Any:
    option, variable = bound.interface, os.environ.get("GLOO_SOCKET_IFNAME")
    interface = option or (None if bound.host else variable)
    there = [name for _, name in socket.if_nameindex()]
    if interface and interface not in there:
        named = "--interface" if option else "GLOO_SOCKET_IFNAME"
        raise BadInputError(
            f"{named} {interface!r}: is no network interface; there are {', '.join(there)}"
        )
    try:
        if interface:
            return gloo.create_device(interface=interface)
        if bound.host:
            return gloo.create_device(hostname=bound.host)
        return gloo.create_default_device()
    except RuntimeError as error:
        host = f"host {bound.host}" if bound.host else "what this host's name leads to"
        named = f"interface {interface}" if interface else host
        raise BadInputError(
            f"{named}: cannot be listened on: {first_line(error)}; give --interface or --host"
        ) from error
