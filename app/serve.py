"""Start Streamlit on the what-if page, on this machine alone."""

from __future__ import annotations

import os
import socket
import sys

from planner.errors import BadInputError

HOST = "127.0.0.1"
MAX_UPLOAD_MB = 500
THEME = {
    "light.primaryColor": "#00629b",
    "light.backgroundColor": "#ffffff",
    "dark.primaryColor": "#56B4E9",
    "dark.backgroundColor": "#11151c",  # that of the drawings (app/drawing/shapes.py)
    "dark.secondaryBackgroundColor": "#1b212b",
    "paddingTop": "1rem",
    "paddingBottom": "3rem",
    "sidebar.paddingTop": "0rem",
    "metricValueFontSize": "1.6rem",
}


def run_page(port: int, *, headless: bool, time_limit_s: float) -> None:
    """Serve the page until the process is told to end.

    Parameters
    ----------
    port : int
    headless : bool
        Open no browser.
    time_limit_s : float
        For a plan.

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
    address = f"http://{HOST}:{port}"
    is_seen = not headless and bool(os.environ.get("DISPLAY"))
    options = {
        "server.address": HOST,
        "server.port": port,
        "server.headless": not is_seen,
        "server.maxUploadSize": MAX_UPLOAD_MB,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "server.showEmailPrompt": False,
        # Every 0.4 s of a wait is a run, and a full collection after each starves the planner.
        "runner.postScriptGC": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "minimal",
        # Streamlit's own CSV keeps names that a spreadsheet would run; the page's downloads do not.
        "client.disableDataExport": True,
        **{f"theme.{key}": value for key, value in THEME.items()},
    }
    sys.stderr.write(f"The what-if page: {address} (Ctrl-C stops it)\n")
    sys.stderr.flush()
    # In this process, which has read the planner already: it is there a second sooner.
    from app.page.asking import set_time_limit
    from app.page.server import serve

    set_time_limit(time_limit_s)

    sys.path[:] = [path for path in sys.path if path]  # nothing of ours lies where the user stands
    serve(options, address if is_seen else None)
