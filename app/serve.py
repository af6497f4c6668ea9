"""Start Streamlit on the what-if page, on this machine alone."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from planner.errors import BadInputError

PAGE = Path(__file__).parent / "page" / "main.py"
HOST = "127.0.0.1"
MAX_UPLOAD_MB = 512


def run_page(port: int, *, headless: bool) -> int:
    """Replace this process by a Streamlit server.

    Raises
    ------
    BadInputError
        The port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BadInputError(f"--port {port}: {error.strerror}; choose another") from error
    options = {
        "server.address": HOST,
        "server.port": str(port),
        "server.headless": "true" if headless or not os.environ.get("DISPLAY") else "false",
        "server.maxUploadSize": str(MAX_UPLOAD_MB),
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
    }
    flags = [part for key, value in options.items() for part in (f"--{key}", value)]
    sys.stderr.write(f"The what-if page: http://{HOST}:{port} (Ctrl-C stops it)\n")
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(PAGE), *flags])
