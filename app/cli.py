"""The ``planner`` command."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from typer.exceptions import TyperException

from app.commands.answering import answer, fits
from app.commands.catalog import catalog
from app.commands.cluster import cluster
from app.commands.export import export
from app.commands.measure import measure
from app.commands.planning import compare, needs, pareto, plan, sweep
from app.commands.profile_model import profile
from app.commands.run import run, slice_plan
from app.commands.sensitivity import sensitivity
from app.commands.simulate import simulate
from app.kinds import LARGEST, Number
from app.options import CheckedCommand
from planner.errors import PlannerError
from profiles.files import one_line

INTERRUPTED = 130

cli = typer.Typer(
    name="planner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Plan how several devices run one neural network together: what each layer costs, "
    "which features to send, on how many nodes, and what to train.",
    epilog="Exit codes: 0 done; 2 bad input; 3 no plan fits; 4 the solver stopped without a plan, "
    "or a node of a run stopped; 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


for command in (
    profile,
    plan,
    compare,
    pareto,
    sweep,
    needs,
    answer,
    fits,
    simulate,
    export,
    sensitivity,
    catalog,
):
    cli.command(cls=CheckedCommand)(command)
cli.command(name="slice", cls=CheckedCommand)(slice_plan)
cli.command(cls=CheckedCommand)(run)
cli.add_typer(cluster, name="cluster")
cli.add_typer(measure, name="measure")


@cli.command(name="app", cls=CheckedCommand)
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the terminal what libraries tell their developers."""
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.showwarning = lambda *_, **__: None
            yield
    finally:
        logging.disable(disabled)


def main() -> None:
    """Run the command; what goes wrong becomes one line on stderr and its exit code."""
    try:
        with _quiet():
            code = cli(standalone_mode=False)
    except PlannerError as error:
        sys.stderr.write(f"planner: {one_line(str(error))}\n")
        sys.exit(error.exit_code)
    except TyperException as error:  # of the words themselves: an unknown option, a missing SOURCE
        if message := error.format_message():  # without any words the help was shown
            sys.stderr.write(f"planner: {one_line(message)}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    if code == INTERRUPTED:  # typer's word for Ctrl-C
        sys.stderr.write("planner: interrupted\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # a solver's thread may still run
    sys.exit(code)
