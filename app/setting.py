"""A setting's row: where its value goes, how it is typed, drawn, kept in a link and said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from app.kinds import Flag, Kind, Value
from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.request import Request

LIMITS, COST, TUNE, SOLVER, ASKED = (
    "Goal and limits",
    "Cost conventions",
    "Tune the cluster",
    "Solver",
    "Prompt and answer",
)
PANELS = (None, ASKED, LIMITS, COST, TUNE, SOLVER)
"""Of a command's help, in their order."""

OF_LANGUAGE = ("answer", "fits")
"""Commands about a language model by its shapes: a workload has limits of its own."""


@dataclass(frozen=True)
class Setting:
    """A row. It is an option if it has an ``option``, and a control if it has a ``label``.

    Attributes
    ----------
    field : str
        Of the core: of `Request`, `Limits`, `CostSettings`, `Case` or `tuned_cluster`
        (`app.question.ask` puts it there). A name of its own where the core has none.
    kind : Kind
    default : optional
        Of the option and the control; a flag is off.
    name : str
        The option's, where it is not the field.
    option : str
        The command line's help.
    panel : str, optional
        Of the help, one of `PANELS`.
    commands : tuple of str
        Those that have the option; without any all that take a case.
    bounds : (float or None, float or None)
        What typer lets through.
    metavar : str, optional
    label, help : str
        Of the control; without a help of its own it has the option's.
    key : str
        Of the control and in the address, where it is not the name.
    look : {"", "segments", "hidden"}
        For one of some words: a list, a row of buttons, or one without its label.
    section : str
        Whose controls are drawn one below the other; others have a place of their own.
    start : optional
        Where the control begins if not at the default.
    placeholder : str, optional
        In an empty field.
    preset : callable, optional
        What a cluster itself has, in the core's form; the control begins there.
    words : str or callable
        How it is said of an answer: a format for the control's value, or a function of case and
        request. Nothing is said of what is empty, off or at its default.
    """

    field: str
    kind: Kind
    default: Any = None
    name: str = ""
    option: str = ""
    panel: str | None = None
    commands: tuple[str, ...] = ()
    bounds: tuple[float | None, float | None] = (None, None)
    metavar: str | None = None
    label: str = ""
    help: str | None = None
    key: str = ""
    look: Literal["", "segments", "hidden"] = ""
    section: str = ""
    start: Value = None
    placeholder: str | None = None
    preset: Callable[[Cluster], Any] | None = None
    words: str | Callable[[Case, Request], str] = ""

    def __post_init__(self) -> None:
        """Fill in what follows from the field."""
        if isinstance(self.kind, Flag):
            object.__setattr__(self, "default", False)
        object.__setattr__(self, "name", self.name or self.field)
        object.__setattr__(self, "key", self.key or self.name)
        object.__setattr__(self, "help", self.help or self.option or None)
        object.__setattr__(self, "start", self.default if self.start is None else self.start)

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return f"--{self.name.replace('_', '-')}"
