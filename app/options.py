"""Command-line options of several commands that set nothing of the core (`app.settings`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand

from app.render import Format
from profiles.sources import SOURCE_HELP

Source = Annotated[str, typer.Argument(metavar="SOURCE", help=f"The model: {SOURCE_HELP}.")]
ClusterName = Annotated[
    str,
    typer.Option(
        "--cluster", "-c", help="A catalogue cluster (planner catalog clusters) or a .json file."
    ),
]
Output = Annotated[Format, typer.Option("--format", help="What stdout carries.")]
OutputFile = Annotated[
    Path | None, typer.Option("--output", "-o", help="Also write the JSON document here.")
]
InputShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape",
        metavar="NAME=1,3,224,224",
        help="Shape of an input; of a config.json also past_tokens=1024, what was read before.",
    ),
]
InputTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--input-type",
        metavar="NAME=int64",
        help="Element type of an input of a module or a config.json (default: by its name).",
    ),
]
Batch = Annotated[int | None, typer.Option(min=1, help="Dimension 0 of every input.")]
WeightBits = Annotated[
    float | None,
    typer.Option(metavar="BITS", help="Of every weight with its scales, such as 4.5 or 8.5."),
]
NoWitness = Annotated[bool, typer.Option("--no-witness", help="Do not let fvcore count as well.")]


class PlainNumbers(TyperCommand):
    """A command whose numbers are digits: Python would take ``1_000`` for one as well."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words after the command's name."""
        given, _, _ = self.make_parser(ctx).parse_args(args=[*args])
        for parameter in self.get_params(ctx):
            kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
            if {int, float}.isdisjoint(get_args(kind) or (kind,)):
                continue
            found = given.get(parameter.name or "")
            for text in found if isinstance(found, (list, tuple)) else (found,):
                if isinstance(text, str) and "_" in text:
                    raise typer.BadParameter(
                        f"found {text[:40]!r}; a number has digits only",
                        ctx,
                        parameter,  # type: ignore[arg-type]
                    )
        return super().parse_args(ctx, args)
