"""``planner app``."""

from __future__ import annotations

from typing import Annotated

import typer

from app.kinds import LARGEST, Number


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8501,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
    time_limit: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a plan, on a slow machine more.")
    ] = 3.0,
) -> None:
    """Serve the what-if page on 127.0.0.1."""
    from app.serve import run_page

    time_limit_s = Number(0.1, LARGEST).parse(time_limit, "--time-limit")  # typer lets inf through
    run_page(port, headless=headless, time_limit_s=time_limit_s)
