"""Command-line options of several commands that set nothing of the core (`app.settings`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand

from app.render import Format
from planner.errors import BadInputError
from profiles.files import check_writable, is_same_file, one_line
from profiles.language import LANGUAGE_HELP
from profiles.sources import SOURCE_HELP

WRITTEN = ("--output", "--measure")
"""Options of files that are written."""


def _models(incomplete: str) -> list[str]:
    """The catalogue's models that begin so; a shell offers files where there are none."""
    from profiles.catalog import model_names

    return [name for name in model_names() if name.startswith(incomplete)]


def _clusters(incomplete: str) -> list[str]:
    from profiles.catalog import cluster_names

    return [name for name in cluster_names() if name.startswith(incomplete)]


Source = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help=f"The model: {SOURCE_HELP}.", autocompletion=_models),
]
ClusterName = Annotated[
    str,
    typer.Option(
        "--cluster",
        "-c",
        help="A catalogue cluster (planner catalog clusters) or a .json file.",
        autocompletion=_clusters,
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
LanguageSource = Annotated[
    str, typer.Argument(metavar="SOURCE", help=f"The model: {LANGUAGE_HELP}.")
]
_ASKED = "Prompt and answer"
Prompt = Annotated[int, typer.Option(min=1, help="Tokens of the prompt.", rich_help_panel=_ASKED)]
Answer = Annotated[int, typer.Option(min=1, help="Tokens of the answer.", rich_help_panel=_ASKED)]
Context = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Tokens of a request for which memory is kept (default: prompt and answer).",
        rich_help_panel=_ASKED,
    ),
]
Requests = Annotated[int, typer.Option(min=1, help="Requests at once.", rich_help_panel=_ASKED)]
GoalOption = Annotated[
    str,
    typer.Option(
        help="answer (seconds of the whole answer), first-token, token (seconds from one to the "
        "next) or tokens-per-second (of all requests).",
        rich_help_panel=_ASKED,
    ),
]
Fill = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Tokens that are kept when a token is timed (default: the answer's middle).",
        rich_help_panel=_ASKED,
    ),
]
CacheBits = Annotated[
    float | None,
    typer.Option(
        metavar="BITS",
        help="Of every key and value that is kept, such as 8.5 (default: as computed).",
        rich_help_panel=_ASKED,
    ),
]
MaxFirstToken = Annotated[
    str | None,
    typer.Option(help="Limit on the first token, such as 2s.", rich_help_panel=_ASKED),
]
MaxToken = Annotated[
    str | None,
    typer.Option(help="Limit on the time per token, such as 100ms.", rich_help_panel=_ASKED),
]
Chunk = Annotated[
    str | None,
    typer.Option(
        metavar="TOKENS|best",
        help="Read the prompt in chunks of so many tokens that pass a pipeline's stages one behind "
        "the other; best: whichever power of two, or all at once (default: all at once).",
        rich_help_panel=_ASKED,
    ),
]
NoWitness = Annotated[bool, typer.Option("--no-witness", help="Do not let fvcore count as well.")]


class CheckedCommand(TyperCommand):
    """A command of which more is checked than typer does, before it works for minutes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; numbers are digits: Python would take ``1_000`` for one as well.

        An empty word names no file: as a path it would be the folder that one is in.
        """
        given, _, _ = self.make_parser(ctx).parse_args(args=[*args])
        for parameter in self.get_params(ctx):
            kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
            kinds = set(get_args(kind) or (kind,))
            found = given.get(parameter.name or "")
            for text in found if isinstance(found, (list, tuple)) else (found,):
                wrong = ""
                if kinds & {int, float} and isinstance(text, str) and "_" in text:
                    wrong = f"found {text[:40]!r}; a number has digits only"
                elif Path in kinds and text == "":
                    wrong = "found nothing; name a file or a folder"
                if wrong:
                    raise typer.BadParameter(wrong, ctx, parameter)  # type: ignore[arg-type]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run it, if what it is to write has a place that is no file of those that it reads."""
        for parameter in self.get_params(ctx):
            flag = parameter.opts[0]
            path = ctx.params.get(parameter.name)
            if path is None or flag not in WRITTEN:
                continue
            others = {name: x for name, x in ctx.params.items() if name != parameter.name}
            if any(is_same_file(path, Path(text)) for text in _texts(others)):
                raise BadInputError(
                    f"{flag} {one_line(str(path))}: is a file that the command reads; name another"
                )
            # of torchrun's processes the first one writes; the others' folders do not matter
            if flag == "--output" and os.environ.get("RANK", "0") == "0":
                check_writable(path)
        return super().invoke(ctx)


def _texts(values: dict[str, Any]) -> Iterator[str]:
    """What may name a file that is read: a path, a source, or what stands behind ``csv:``."""
    for value in values.values():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, Path):
                yield str(one)
            elif isinstance(one, str) and not isinstance(one, Enum):
                # a word without an ending is a name of the catalogue, or a choice
                yield from (text for text in (one, one.partition(":")[2]) if Path(text).suffix)
