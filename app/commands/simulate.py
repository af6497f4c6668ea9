"""``planner simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import options
from app.progress import working
from app.render import Format, Outcome, show
from app.scenarios import read_policy, read_scenario
from app.simulation_tables import simulation_heading, simulation_notes, simulation_table


def simulate(
    scenario: Annotated[
        Path, typer.Argument(metavar="SCENARIO", help="A scenario .json (examples/scenarios/).")
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="local, ddi, ar-mdi, ms-mdi, balance, rehearsed, or module:Class of your own; "
            "repeatable (default: the scenario's).",
        ),
    ] = None,
    replications: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Runs with other random numbers, for intervals."),
    ] = None,
    allow_dir: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder beside the scenario's own whose files it may name; repeatable.",
        ),
    ] = None,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Simulate several sources on one ring of workers: which policy keeps up, and how late."""
    from planner.simulation.study import simulate as run

    found = read_scenario(scenario, allow_dir or ())
    policies = [read_policy(name) for name in policy or ()]
    doing = f"simulating {found.name}"
    with working(doing) as tell:
        result = run(
            found,
            policies or None,
            replications,
            progress=lambda share, policy: tell(f"{doing}, {policy}, {share:.0%}"),
        )
    heading, notes = simulation_heading(result), simulation_notes(result)
    show(Outcome(result, simulation_table(result), heading, notes), output, output_file)
