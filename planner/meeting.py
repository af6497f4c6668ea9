"""Where processes that torchrun started meet: the store that it keeps, and who did not come.

They meet there and not through the links between them: whoever stops is known by name, and all end
within the time limit. What is said is bytes and never unpickled.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from planner.errors import BadInputError, PlannerError, install_advice

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_POLL_S = 0.05
_SEVERAL = 4
"""After so many polls the next ones are rarer."""


@dataclass(frozen=True)
class Environment:
    """What torchrun told this process."""

    rank: int
    world: int
    address: str
    port: int


def environment(*, what: str, how_to_start: str) -> Environment:
    """Place of this process among the others.

    Parameters
    ----------
    what : str
        Such as ``links are measured``; begins the error's line.
    how_to_start : str
        Ends it.

    Raises
    ------
    BadInputError
        torchrun did not start it.
    """
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        raise BadInputError(
            f"{what} between processes ({', '.join(missing)} is not set): {how_to_start}"
        )
    try:
        rank, world, port = (
            int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")
        )
    except ValueError as error:
        raise BadInputError(
            f"RANK, WORLD_SIZE and MASTER_PORT must be whole numbers; {how_to_start}"
        ) from error
    return Environment(rank, world, os.environ["MASTER_ADDR"], port)


def torch_distributed(what: str) -> Any:
    """The module, or one line that says how to get it.

    Raises
    ------
    BadInputError
        Torch is missing, or was built without it.
    """
    try:
        found = importlib.import_module("torch.distributed")
    except ImportError as error:
        raise BadInputError(
            f"torch is not installed; {what} with it: {install_advice('torch')}"
        ) from error
    if not found.is_available():
        raise BadInputError("this torch was built without torch.distributed")
    return found


def open_store(here: Environment, limit_s: float, what: str, *, keeps: bool = True) -> Any:
    """A connection to the store of all processes; rank 0 keeps it where torchrun does not.

    Parameters
    ----------
    here : Environment
    limit_s : float
    what : str
        Such as ``links are measured``; for the error's line.
    keeps : bool
        False for one more connection of the same process.

    Raises
    ------
    BadInputError
        There is none within the time limit.
    """
    distributed = torch_distributed(what)
    under_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    keeps_it = keeps and here.rank == 0 and not under_torchrun
    limit = timedelta(seconds=limit_s)
    try:
        return distributed.TCPStore(
            here.address, here.port, here.world, keeps_it, limit, wait_for_workers=False
        )
    except (RuntimeError, ValueError) as error:
        raise BadInputError(
            f"no meeting at {here.address}:{here.port} within {limit_s:g} s: {first_line(error)}"
        ) from error


def first_line(error: BaseException) -> str:
    """What an error of torch says, without its stack."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@dataclass
class Meeting:
    """The store, and what all have said there.

    Attributes
    ----------
    store : torch.distributed.Store
    here : Environment
    names : list of str
        By rank.
    time_limit_s : float
        For which a process waits for another at most.
    prefix : str
        Of all keys.
    stopped : type of PlannerError
        Raised where another process does not answer.
    """

    store: Any
    here: Environment
    names: list[str]
    time_limit_s: float
    prefix: str
    stopped: type[PlannerError] = BadInputError

    def gathered(self, key: str, value: bytes, at: int | None = None) -> list[bytes]:
        """What every process has to say, by rank; all wait until all have said it.

        Parameters
        ----------
        key : str
        value : bytes
        at : int, optional
            The one rank that waits and is told; the others go on and have nothing.

        Raises
        ------
        PlannerError
            Names those that did not say it within the time limit, or says what another one failed
            from.
        """
        keys = self._say(key, value)
        if at not in (None, self.here.rank):
            return []
        self._wait(keys)
        with self.talking_to(None):
            return [self.store.get(one) for one in keys]

    def leave(self) -> None:
        """The end: rank 0, which may keep the store, waits for all others to be done with it."""
        keys = self._say("leaving", b"-")
        if self.here.rank == 0:
            self._wait(keys)

    def fail(self, line: str) -> str:
        """Say what this process ends from; whoever is first has said it for all.

        Returns
        -------
        str
            What was said first.
        """
        with suppress(RuntimeError):
            said: bytes = self.store.compare_set(self._key("failed"), "", line)
            return said.decode(errors="replace") or line
        return line

    @property
    def failure(self) -> str:
        """What some process ended from; nothing as long as none did."""
        key = self._key("failed")
        with self.talking_to(None):
            return self.store.get(key).decode(errors="replace") if self.store.check([key]) else ""

    def _key(self, *parts: object) -> str:
        return "/".join(map(str, (self.prefix, *parts)))

    def _say(self, key: str, value: bytes) -> list[str]:
        keys = [self._key(key, rank) for rank in range(self.here.world)]
        with self.talking_to(None):
            self.store.set(keys[self.here.rank], value)
        return keys

    def _wait(self, keys: Sequence[str]) -> None:
        deadline = time.monotonic() + self.time_limit_s
        polls = 0
        while True:
            with self.talking_to(None):
                missing = [rank for rank, key in enumerate(keys) if not self.store.check([key])]
            if not missing:
                return
            if failure := self.failure:
                raise self.stopped(failure)
            if time.monotonic() > deadline:
                names = ", ".join(self.names[rank] for rank in missing)
                raise self.stopped(
                    f"{names} did not answer within {self.time_limit_s:g} s; nothing was written"
                )
            polls += 1
            time.sleep(_POLL_S if polls < _SEVERAL else _SEVERAL * _POLL_S)

    @contextmanager
    def talking_to(self, peer: int | None) -> Iterator[None]:
        """Make one line of what goes wrong on the way to a peer, or to the store."""
        try:
            yield
        except RuntimeError as error:
            if peer is None:
                who = f"the meeting at {self.here.address}:{self.here.port}"
            else:
                who = self.names[peer]
            raise self.stopped(
                f"{who} stopped answering; nothing was written: {first_line(error)}"
            ) from error
