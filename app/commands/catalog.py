"""``planner catalog``."""

from __future__ import annotations

from typing import Annotated

import typer

from app import options
from app.render import Format, emit
from planner.errors import BadInputError


def catalog(
    kind: Annotated[
        str | None, typer.Argument(help="models, clusters or accuracy (default: all).")
    ] = None,
    output: options.Output = Format.table,
) -> None:
    """List what ships: models, clusters and published accuracy curves, with their sources."""
    from app.catalog_tables import CATALOG_TABLES

    if kind is not None and kind not in CATALOG_TABLES:
        raise BadInputError(f"KIND {kind!r}: give one of {', '.join(CATALOG_TABLES)}")
    kinds = [kind] if kind else list(CATALOG_TABLES)
    if output is Format.json:
        documents = {name: CATALOG_TABLES[name].document() for name in kinds}
        emit(output, CATALOG_TABLES[kinds[0]].table(), documents)
        return
    for name in kinds:
        emit(output, CATALOG_TABLES[name].table(), None)
