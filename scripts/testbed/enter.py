"""Become a node's command: end with the owner, enter the node's namespace, run it.

A script of its own, started with ``python -I -S``: this has to happen between fork and exec, where
a process with threads must not run Python.

    enter.py OWNER NAMESPACE|- COMMAND...
"""

import ctypes
import os
import signal
import sys

_DIE_WITH_PARENT = 1  # prctl


def main() -> None:
    """Replace this process by the command."""
    owner, space, *command = sys.argv[1:]
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(owner):
        sys.exit("testbed: the owner is gone")
    if space != "-" and library.setns(os.open(space, os.O_RDONLY), 0):
        sys.exit(f"testbed: {space}: {os.strerror(ctypes.get_errno())}")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"testbed: {command[0]}: {error.strerror}")


main()
